"""The native detector against the Python one."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from registered_parts import FITS, Registered, registered_part
from standin import FORMS, judged, photo, write_standin

from regad.calib.limits import learn_limits
from regad.runtime.cabi import NativeDetector, NativeResult
from regad.runtime.detector import Detector, Result
from regad.runtime.errors import ArtifactError, CategoryError, DeviceError, InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import load_category, save_category
from regad.runtime.formats.encodings import Form, StatisticsDtype
from regad.runtime.imaging.warp import frame_to_map

Open = Callable[..., NativeDetector]


def check_same(native: NativeResult, python: Result, tolerance: float = 1e-5) -> None:
    """The issue's tolerances: score 1e-5 and map 1e-4 relative, same verdict."""
    assert abs(native.score - python.score) <= tolerance * python.score
    assert np.abs(native.anomaly_map - python.anomaly_map).max() <= 10 * tolerance * python.anomaly_map.max()
    assert (native.anomalous, native.threshold) == (python.anomalous, pytest.approx(python.threshold, rel=1e-12))
    np.testing.assert_allclose(native.thetas, python.thetas, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_and_scorer(open_native: Open, standin: Artifact, form: Form, dtype: StatisticsDtype) -> None:
    """Single images and a batch, with both scorers; an fp32 graph is fed with widened fp16 statistics."""
    category = standin.path.parent / f"{form.name}{'-fp16' if dtype == 'fp16' else ''}.safetensors"
    images = [photo(seed, 200 + 30 * seed, 300) for seed in range(3)]
    expected = judged(standin, category, images)
    for scorer in ("native", "graph"):
        with open_native(standin.path, scorer=scorer) as native:
            native.load_category(category)
            described = native.describe()["category"]
            assert (described["dtype"], described["shot"]) == (dtype, 2)
            assert described["encoding"] == "+".join(form.encodings)
            for image, result in zip(images, expected, strict=True):
                check_same(native.predict(image), result)
            for got, result in zip(native.predict_batch(images), expected, strict=True):
                check_same(got, result)


@pytest.fixture(scope="module", params=FITS)
def registered(request: pytest.FixtureRequest, standin: Artifact) -> Registered:
    """Taught and judged once for both scorers: that is what takes the time."""
    return registered_part(standin, request.param)


@pytest.mark.parametrize("scorer", ["native", "graph"])
def test_a_registered_part_is_found_and_judged_alike(
    open_native: Open, standin: Artifact, registered: Registered, scorer: str
) -> None:
    """Pose to 0.02 pixels and degrees, verdict, detail and map; each pixel format; misplaced parts and empty frames."""
    with open_native(standin.path, scorer=scorer, max_batch=4) as native:
        native.load_category(registered.path)
        assert native.describe()["category"]["registered"] is True
        results = native.predict_batch(registered.frames)
        for got, want in zip(results, registered.expected, strict=True):
            check_placed(got, want, registered.size)
        # The bars of a letterbox are a contrast of their own, so that an empty frame gets as far as the search there.
        empty = "misplaced" if registered.fit == "letterbox" else "no_part"
        assert [one.reason for one in results[-2:]] == ["misplaced", empty]
        blue = native.predict(np.ascontiguousarray(registered.frames[0][..., ::-1]), "BGR")
        assert (blue.score, blue.pose) == (pytest.approx(results[0].score, rel=1e-5), results[0].pose)


def check_placed(got: NativeResult, want: Result, size: tuple[int, int]) -> None:
    assert (got.reason, got.detail) == (want.reason, want.detail)
    if want.pose is not None and want.located is not None and got.pose is not None:
        assert np.abs(np.array(got.pose) - want.pose).max() < 0.02
        assert got.match == pytest.approx(want.located.quality, abs=1e-4)
    assert (got.pose is None) == (want.pose is None)
    if want.reason in ("good", "anomalous"):
        # Under the sanitizers the library is of another compiler than Python's kernels: the pose then differs in its
        # last digits, and a few pixels of the input by 1.
        check_same(got, want, 1e-3 if "REGAD_NATIVE_BUILD" in os.environ else 1e-5)
        assert want.located is not None
        pose = want.located.pose.similarity
        matrix = frame_to_map(want.spec, want.located.box, want.located.centre, pose, size)
        np.testing.assert_allclose(got.to_map, matrix, atol=1e-3)


def test_a_plain_result_says_where_its_map_lies(open_native: Open, standin: Artifact) -> None:
    """A region of 2:1 in a letterbox: the corners of the region come to lie on those of the map's middle half."""
    category = load_category(standin.path.parent / "gram.safetensors")
    spec = replace(category.spec, fit="letterbox", roi=(20, 30, 200, 100))
    save_category(replace(category, spec=spec), standin.path.parent / "placed.safetensors")
    with open_native(standin.path) as native:
        native.load_category(standin.path.parent / "placed.safetensors")
        result = native.predict(photo(1, 200, 260))
    assert result.pose is None and result.match is None
    corners = np.array([[20, 30, 1], [220, 130, 1]]) @ result.to_map.T
    np.testing.assert_allclose(corners, [[0, 56], [224, 168]], atol=1e-4)


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


def test_self_test_and_description(open_native: Open, standin: Artifact) -> None:
    """The golden file is reproduced; describe tells what is loaded."""
    with open_native(standin.path, threads=1) as native:
        assert max(native.self_test()) < 1e-4
        description = native.describe()
        assert description["category"] is None
        assert description["artifact"]["hash"] == standin.hash
        native.load_category(standin.path.parent / "gram.safetensors")
        assert native.describe()["artifact"]["hash"] == standin.hash


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
