"""The native detector against the Python one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from standin import ENCODINGS, FORMS, photo, write_standin

from regad.calib.limits import learn_limits
from regad.runtime.cabi import NativeDetector, NativeResult
from regad.runtime.detector import Detector, Result
from regad.runtime.errors import ArtifactError, CategoryError, DeviceError, InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import load_category, save_category
from regad.runtime.formats.encodings import Encoding

Open = Callable[..., NativeDetector]


def check_same(native: NativeResult, python: Result) -> None:
    """The issue's tolerances: score 1e-5 and map 1e-4 relative, same verdict."""
    assert abs(native.score - python.score) <= 1e-5 * python.score
    assert np.abs(native.anomaly_map - python.anomaly_map).max() <= 1e-4 * python.anomaly_map.max()
    assert (native.anomalous, native.threshold) == (python.anomalous, pytest.approx(python.threshold, rel=1e-12))
    np.testing.assert_allclose(native.thetas, python.thetas, atol=1e-5)


@pytest.mark.parametrize("scorer", ["native", "graph"])
@pytest.mark.parametrize("form", [f"{form.name}{suffix}" for form in FORMS for suffix in ("", "-fp16")])
def test_every_form_and_scorer(open_native: Open, standin: Artifact, form: str, scorer: str) -> None:
    """Single images and a batch, with both scorers; an fp32 graph is fed with widened fp16 statistics."""
    category = standin.path.parent / f"{form}.safetensors"
    python = Detector.load(standin.path)
    python.load_category(category)
    with open_native(standin.path, scorer=scorer) as native:
        native.load_category(category)
        dtype = native.describe()["category"]["dtype"]
        assert dtype == ("fp16" if form.endswith("fp16") else "fp32")
        images = [photo(seed, 200 + 30 * seed, 300) for seed in range(4)]
        expected = [python.predict(image) for image in images]
        for image, result in zip(images, expected, strict=True):
            check_same(native.predict(image), result)
        for got, result in zip(native.predict_batch(images), expected, strict=True):
            check_same(got, result)


@pytest.mark.parametrize("scorer", ["native", "graph"])
def test_frames_that_show_no_part(open_native: Open, standin: Artifact, tmp_path: Path, scorer: str) -> None:
    """The same frames are refused, for the same reason in the same words, alone and in a batch."""
    category = load_category(standin.path.parent / "gram.safetensors")
    limits = learn_limits([photo(seed, 224, 224) for seed in range(3)])
    save_category(replace(category, limits=limits), tmp_path / "part.safetensors")
    rng = np.random.default_rng(0)
    nothing = [
        np.zeros((48, 64, 3), np.uint8),
        np.full((300, 200), 255, np.uint8),
        np.full((224, 224, 3), 130, np.uint8),
        rng.integers(0, 256, (224, 224, 3), np.uint8),
    ]
    images = [nothing[0], photo(7), nothing[1], nothing[2], photo(8), nothing[3]]
    python = Detector.load(standin.path)
    python.load_category(tmp_path / "part.safetensors")
    with open_native(standin.path, scorer=scorer, max_batch=4) as native:
        native.load_category(tmp_path / "part.safetensors")
        for image, expected, got in zip(
            images, python.predict_batch(images), native.predict_batch(images), strict=True
        ):
            for one in (got, native.predict(image)):
                assert (one.reason, one.detail) == (expected.reason, expected.detail)
                assert (one.anomalous, one.threshold) == (expected.anomalous, expected.threshold)
                if expected.reason == "no_part":
                    assert (one.score, expected.score) == (np.inf, np.inf)
                    assert np.isinf(one.anomaly_map).all()
                    assert (one.thetas == expected.thetas).all()
                else:
                    check_same(one, expected)


def test_a_kept_category_is_read(open_native: Open, standin: Artifact, tmp_path: Path) -> None:
    """Every version from 3 on: it is refused for its artifact alone, which comes after everything is read."""
    kept = sorted((Path(__file__).parents[1] / "runtime" / "formats" / "kept").glob("category-*.gz"))
    with open_native(standin.path) as native:
        for file in kept:
            (tmp_path / "part.safetensors").write_bytes(gzip.decompress(file.read_bytes()))
            with pytest.raises(CategoryError, match="taught on artifact abab"):
                native.load_category(tmp_path / "part.safetensors")
    assert kept


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_self_test_and_description(open_native: Open, standin: Artifact, encoding: Encoding) -> None:
    """The golden file is reproduced; describe tells what is loaded."""
    with open_native(standin.path, threads=1) as native:
        assert max(native.self_test()) < 1e-4
        assert native.describe()["category"] is None
        native.load_category(standin.path.parent / f"{encoding}.safetensors")
        description = native.describe()
        assert description["artifact"]["hash"] == standin.hash
        assert description["category"]["encoding"] == encoding
        assert description["category"]["shot"] == 2


def test_graphs_that_take_fp16(open_native: Open, standin: Artifact, tmp_path: Path) -> None:
    """They get the stored halves; fp32 statistics would be rounded and are refused, by Python's scorer graphs too."""
    artifact = write_standin(tmp_path / "model.regad", "fp16")
    files = standin.path.parent
    python = Detector.load(artifact.path)
    python.load_category(files / "hybrid-fp16.safetensors")
    expected = python.predict(photo(3))
    with open_native(artifact.path, scorer="graph") as native:
        assert max(native.self_test()) < 1e-2
        native.load_category(files / "hybrid-fp16.safetensors")
        check_same(native.predict(photo(3)), expected)
        with pytest.raises(CategoryError, match="--stats-dtype fp16"):
            native.load_category(files / "hybrid.safetensors")
        check_same(native.predict(photo(3)), expected)
    with open_native(artifact.path, scorer="native") as native:
        assert max(native.self_test()) < 1e-2
        native.load_category(files / "hybrid.safetensors")
        assert native.describe()["artifact"]["statistics_dtype"] == "fp16"


def test_threshold_as_in_python(open_native: Open, standin: Artifact) -> None:
    """A score equal to the threshold is not above it."""
    category = standin.path.parent / "gram.safetensors"
    with open_native(standin.path) as native:
        native.load_category(category)
        score = native.predict(photo(5)).score
        native.set_threshold(score)
        assert not native.predict(photo(5)).anomalous
        native.set_threshold(float(np.nextafter(np.float32(score), np.float32(0))))
        assert native.predict(photo(5)).anomalous


def test_errors_become_the_python_errors(open_native: Open, standin: Artifact, tmp_path: Path) -> None:
    """Each status has its exception, and the message names the remedy."""
    with pytest.raises(ArtifactError, match="regad-export"):
        open_native(tmp_path)
    with pytest.raises(DeviceError, match="CUDAExecutionProvider"):
        open_native(standin.path, device="cuda")
    with pytest.raises(DeviceError, match="cannot be opened"):
        NativeDetector(standin.path, library=tmp_path / "absent.so")
    with open_native(standin.path) as native:
        with pytest.raises(CategoryError, match="no category"):
            native.predict(photo(1))
        (tmp_path / "junk.safetensors").write_bytes(b"junk")
        with pytest.raises(CategoryError, match="regad-calib"):
            native.load_category(tmp_path / "junk.safetensors")
        native.load_category(standin.path.parent / "gram.safetensors")
        with pytest.raises(InputError, match="interleaved"):
            native.predict(np.asfortranarray(photo(1)))
        with pytest.raises(InputError, match="uint8"):
            native.predict(photo(1).astype(np.float32))  # type: ignore[arg-type]
