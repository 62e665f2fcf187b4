"""The native detector against the Python one with the real encoder on real images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from regad.calib.folder import teach_folder
from regad.calib.support import draw_support, list_images
from regad.runtime.cabi import NativeDetector
from regad.runtime.detector import Detector
from regad.runtime.formats.category import Category, tensors_of, tensors_sha256
from regad.runtime.formats.encodings import Encoding, StatisticsDtype, cast_statistics
from regad.runtime.imaging.reading import read_image

pytestmark = pytest.mark.data
CASES: list[tuple[str, int, Encoding, StatisticsDtype]] = [
    ("cookies", 2, "gram", "fp32"),
    ("magnetic_tile", 2, "gram", "fp32"),
    ("fibre_layup", 2, "gram", "fp32"),
    ("solar_mono", 2, "gram", "fp16"),
    ("solar_poly", 4, "hybrid", "fp32"),
    ("solar_poly", 4, "hybrid", "fp16"),
]
PER_KIND = 4  # images of each kind of defect, and of good ones


@pytest.fixture(scope="module")
def artifact(data_dir: Path, export_artifact: Callable[..., Path]) -> Path:
    """An artifact with ImageNet weights and thetas that differ between images, or the one $REGAD_TEST_MODEL names."""
    given = os.environ.get("REGAD_TEST_MODEL")
    return Path(given) if given else export_artifact(data_dir / "resnet18_imagenet.npz")


@pytest.fixture(scope="module")
def python(artifact: Path) -> Detector:
    return Detector.load(artifact, threads=1)  # ONNX Runtime's threads wait for each other in loops


@pytest.fixture(scope="module")
def native(artifact: Path, open_native: Callable[..., NativeDetector]) -> Iterator[NativeDetector]:
    with open_native(artifact) as detector:
        yield detector


@pytest.fixture(scope="module")
def taught(python: Detector, data_dir: Path) -> Callable[[str, int, Encoding], Category]:
    """A part's category in fp32. Each is taught once: it takes longer than to judge the images."""

    @cache
    def teach(part: str, shot: int, encoding: Encoding) -> Category:
        folder = data_dir / "parts" / part / "train" / "good"
        return teach_folder(python, folder, shot=shot, encoding=encoding, dtype="fp32")

    return teach


def stored_as(category: Category, dtype: StatisticsDtype) -> Category:
    """The category as it is when it is taught with statistics of ``dtype``."""
    statistics = tuple(cast_statistics(group, dtype) for group in category.statistics)
    tensors = tensors_of(statistics, category.calibration, category.registration)
    return replace(category, statistics=statistics, data_sha256=tensors_sha256(tensors))


def test_the_real_encoder_passes_its_self_test(native: NativeDetector) -> None:
    assert max(native.self_test()) < 1e-3


@pytest.mark.parametrize(("part", "shot", "encoding", "dtype"), CASES)
def test_same_verdicts(
    python: Detector,
    native: NativeDetector,
    taught: Callable[[str, int, Encoding], Category],
    data_dir: Path,
    tmp_path: Path,
    part: str,
    shot: int,
    encoding: Encoding,
    dtype: StatisticsDtype,
) -> None:
    """Score within 1e-5, map within 1e-4 (relative), the same verdict, on good and defective images."""
    python.use(stored_as(taught(part, shot, encoding), dtype))
    python.save_category(tmp_path / "part.safetensors")
    native.load_category(tmp_path / "part.safetensors")
    tests = data_dir / "parts" / part / "test"
    kinds = sorted(path for path in tests.iterdir() if path.is_dir())
    for path in (path for kind in kinds for path in draw_support(list_images(kind), PER_KIND)):
        image = read_image(path)
        expected, got = python.predict(image), native.predict(image)
        assert abs(got.score - expected.score) <= 1e-5 * expected.score, path
        difference = np.abs(got.anomaly_map - expected.anomaly_map).max()
        assert difference <= 1e-4 * expected.anomaly_map.max(), path
        assert got.anomalous == expected.anomalous, path
