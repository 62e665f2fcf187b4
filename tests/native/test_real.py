"""The native detector against the Python one with the real encoder on real images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regad.calib.folder import teach_folder
from regad.calib.support import draw_support, list_images
from regad.runtime.cabi import NativeDetector
from regad.runtime.detector import Detector
from regad.runtime.formats.encodings import Encoding, StatisticsDtype
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


@pytest.mark.parametrize(("part", "shot", "encoding", "dtype"), CASES)
def test_same_verdicts(
    artifact: Path,
    data_dir: Path,
    open_native: Callable[..., NativeDetector],
    tmp_path: Path,
    part: str,
    shot: int,
    encoding: Encoding,
    dtype: StatisticsDtype,
) -> None:
    """Score within 1e-5, map within 1e-4 (relative), the same verdict, on good and defective images."""
    python = Detector.load(artifact)
    folder = data_dir / "parts" / part
    category = teach_folder(python, folder / "train" / "good", shot=shot, encoding=encoding, dtype=dtype)
    python.use(category)
    python.save_category(tmp_path / "part.safetensors")
    kinds = sorted(path for path in (folder / "test").iterdir() if path.is_dir())
    paths = [path for kind in kinds for path in draw_support(list_images(kind), PER_KIND)]
    with open_native(artifact) as native:
        assert max(native.self_test()) < 1e-3
        native.load_category(tmp_path / "part.safetensors")
        for path in paths:
            image = read_image(path)
            expected, got = python.predict(image), native.predict(image)
            assert abs(got.score - expected.score) <= 1e-5 * expected.score, path
            difference = np.abs(got.anomaly_map - expected.anomaly_map).max()
            assert difference <= 1e-4 * expected.anomaly_map.max(), path
            assert got.anomalous == expected.anomalous, path
