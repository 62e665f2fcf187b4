"""The detector on a real exported artifact: teach, judge, swap, save; self-test; every refusal."""

from __future__ import annotations

import json
import shutil
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib.prepared import teach_inputs
from regad.calib.teach import teach
from regad.runtime import Artifact, ArtifactError, CategoryError, Detector, DeviceError, InputError, InputSpec, kernels
from regad.runtime.formats.category import Category
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.model import Model
from regad.runtime.selftest import compare, self_test

from .formats.test_registration import registration
from .plain import taught_plainly


def part(seed: int, defect: bool = False, shape: tuple[int, int] = (180, 260)) -> np.ndarray:
    """A plate with a hole, slightly noisy; with a bright scratch if ``defect``."""
    import cv2

    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), 60, np.uint8)
    cv2.rectangle(image, (30, 30), (shape[1] - 30, shape[0] - 30), (150, 150, 140), -1)
    cv2.circle(image, (shape[1] // 2, shape[0] // 2), 25, (40, 40, 45), -1)
    if defect:
        cv2.line(image, (60, 50), (130, 120), (250, 250, 255), 4)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(artifact_dir: Path) -> Detector:
    detector = Detector.load(artifact_dir, threads=1)
    detector.fit([part(0), part(1)])
    return detector


@pytest.fixture(scope="module")
def small(small_artifact: Path) -> Iterator[Detector]:
    """Taught the same with the small encoder, for what is taught again and again."""
    with Detector.load(small_artifact, threads=1) as detector:
        detector.fit([part(0), part(1)])
        yield detector


def test_a_defect_scores_above_good_parts_and_is_located(detector: Detector) -> None:
    good = [detector.predict(part(seed)) for seed in (10, 11)]
    bad = detector.predict(part(12, defect=True))
    assert max(result.score for result in good) < bad.score
    assert not any(result.anomalous for result in good)
    assert bad.anomaly_map.shape == (224, 224)
    assert bad.anomaly_map.dtype == np.float32
    assert bad.score == bad.anomaly_map.max()
    assert bad.thetas.shape == (3, 2, 3)
    y, x = np.unravel_index(bad.anomaly_map.argmax(), (224, 224))
    assert 45 <= y * 180 / 224 <= 125
    assert 50 <= x * 260 / 224 <= 140
    assert bad.threshold == detector.category.threshold.value  # type: ignore[union-attr]
    assert bad.timings.total >= bad.timings.encode > 0


def test_two_images_have_two_thetas(detector: Detector) -> None:
    one, two = detector.predict_batch([part(0), 255 - part(1)])
    assert np.abs(one.thetas - two.thetas).max() > 1e-4


def test_a_batch_gives_what_single_images_give(detector: Detector) -> None:
    images = [part(20), part(21, True), part(22, shape=(300, 200))[:, :, 0]]
    for alone, together in zip(map(detector.predict, images), detector.predict_batch(images), strict=True):
        assert together.score == pytest.approx(alone.score, rel=1e-5)
        assert np.abs(together.anomaly_map - alone.anomaly_map).max() < 1e-4 * alone.score
    assert detector.predict_batch([]) == []


def test_a_frame_that_shows_no_part_is_rejected_without_a_score(detector: Detector) -> None:
    black = np.zeros((180, 260, 3), np.uint8)
    whole, dark = detector.predict_batch([part(20), black])
    taught = detector.category.limits["brightness"].taught  # type: ignore[union-attr]
    assert (dark.reason, dark.anomalous, dark.score) == ("no_part", True, np.inf)
    assert dark.detail == f"brightness 0, taught with {taught[0]:.3g} to {taught[1]:.3g}"
    assert dark.message == f"the frame shows no part ({dark.detail})"
    assert np.isinf(dark.anomaly_map).all()
    assert dark.anomaly_map.shape == (224, 224)
    assert (dark.thetas == 0).all()
    assert (whole.reason, whole.detail, whole.message) == ("good", "", "")
    assert whole.score == pytest.approx(detector.predict(part(20)).score, rel=1e-5)
    assert detector.predict(part(12, defect=True)).reason == "anomalous"


@pytest.mark.parametrize("frame", ["white", "grey", "noise", "blurred"])
def test_other_frames_of_nothing_are_rejected_too(detector: Detector, frame: str) -> None:
    rng = np.random.default_rng(0)
    frames = {
        "white": np.full((180, 260), 255.0),
        "grey": np.full((180, 260), 90.0),
        "noise": rng.normal(90, 40, (180, 260)),
        "blurred": np.full((180, 260), 90.0) + np.linspace(-1, 1, 260),
    }
    result = detector.predict(np.clip(frames[frame], 0, 255).astype(np.uint8))
    assert result.reason == "no_part", frame


def test_a_stored_input_is_judged_again_in_every_bit(detector: Detector) -> None:
    for image in (part(20), part(21, defect=True), part(22, shape=(300, 200))):
        first = detector.predict(image)
        (again,) = detector.predict_inputs(preprocess(image, detector.spec)[None])
        assert again.score == first.score
        assert again.anomaly_map.tobytes() == first.anomaly_map.tobytes()
        assert again.thetas.tobytes() == first.thetas.tobytes()
        assert (again.reason, again.warn, again.spec) == (first.reason, first.warn, first.spec)


def test_stored_inputs_without_a_part_are_rejected_as_frames_are(detector: Detector) -> None:
    image = part(20)
    black, whole = detector.predict_inputs(
        np.stack([np.zeros((224, 224, 3), np.uint8), preprocess(image, InputSpec())])
    )
    assert (black.reason, black.detail) == ("no_part", detector.predict(image * 0).detail)
    assert whole.reason == "good"
    assert detector.predict_inputs(np.zeros((0, 224, 224, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (np.zeros((224, 224, 3), np.uint8), r"uint8 \[224, 224, 3\]"),
        (np.zeros((1, 224, 224, 3), np.float32), "float32"),
        (np.zeros((1, 100, 224, 3), np.uint8), "100"),
        ([], "list"),
    ],
)
def test_what_is_no_input_of_the_encoder_is_refused(detector: Detector, inputs: Any, found: str) -> None:
    with pytest.raises(InputError, match=f"inputs are .*{found}.*; expected uint8"):
        detector.predict_inputs(inputs)


def test_stored_inputs_are_not_judged_by_a_category_that_registers(detector: Detector) -> None:
    """They were cut out of the frame in which the part would have to be found."""
    assert detector.category is not None
    other = Detector(detector.model)
    other.use(replace(detector.category, registration=registration()))
    with pytest.raises(CategoryError, match=r"registers the part.*predict_prepared"):
        other.predict_inputs(np.zeros((1, 224, 224, 3), np.uint8))


def assert_same(again: Category, first: Category | None) -> None:
    assert first is not None
    assert again.data_sha256 == first.data_sha256
    assert all(again.tensors[name].tobytes() == tensor.tobytes() for name, tensor in first.tensors.items())
    assert (again.threshold, again.limits, again.spec, again.notes) == (
        *(first.threshold, first.limits, first.spec, first.notes),
    )


def test_a_part_taught_from_stored_inputs_is_the_same_part(small: Detector) -> None:
    spec = InputSpec()
    again = teach_inputs(small.model, [preprocess(part(seed), spec) for seed in range(2)], spec)
    assert_same(again, small.category)


def test_so_it_is_with_another_spec_and_further_parts_for_the_threshold(small: Detector) -> None:
    spec = InputSpec(fit="letterbox", resample="lanczos", roi=(10, 5, 200, 150))
    images, more = [part(0), part(1)], [part(4), part(5)]
    inputs, others = ([preprocess(image, spec) for image in group] for group in (images, more))
    first = teach(small.model, images, spec, validation=more)
    assert_same(teach_inputs(small.model, inputs, spec, validation=others), first)
    assert first.spec == spec


def test_teaching_from_what_is_no_input_is_refused(detector: Detector) -> None:
    with pytest.raises(InputError, match=r"an input is uint8 \[180, 260, 3\]; expected uint8 \[224, 224, 3\]"):
        teach_inputs(detector.model, [part(0), part(1)], InputSpec())


def test_what_is_taught_about_frames_is_saved(detector: Detector, tmp_path: Path) -> None:
    detector.save_category(tmp_path / "part.safetensors")
    other = Detector(detector.model)
    other.load_category(tmp_path / "part.safetensors")
    assert other.category.limits == detector.category.limits  # type: ignore[union-attr]
    assert other.predict(np.zeros((10, 10), np.uint8)).reason == "no_part"


def test_a_steady_state_allocates_the_map_it_returns_and_little_else(detector: Detector) -> None:
    image = part(30)
    for _ in range(2):
        detector.predict(image)
    tracemalloc.start()
    try:
        results = []
        for _ in range(3):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            results.append(detector.predict(image))
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = results[0].anomaly_map.nbytes + 2 * 224 * 224 * 3  # and the resized image, as pixels and as a batch
    assert peak - before < 1.2 * held
    assert not np.shares_memory(results[0].anomaly_map, results[1].anomaly_map)
    assert np.array_equal(results[0].thetas, results[1].thetas)
    assert not np.shares_memory(results[0].thetas, results[1].thetas)


@pytest.mark.skipif(not kernels.available(), reason="the compiled scorer was not built (no C++ compiler)")
def test_both_scorers_give_the_same_verdicts_and_the_device_names_which(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = part(31, defect=True)
    ours = detector.predict(image)
    assert f"{kernels.kernels()} scorer" in detector.device
    monkeypatch.setattr(kernels, "available", lambda: False)
    plain = Detector(detector.model)
    plain.use(detector.category)  # type: ignore[arg-type]
    assert "NumPy scorer" in plain.device
    theirs = plain.predict(image)
    assert ours.score == pytest.approx(theirs.score, rel=1e-5)
    assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() < 1e-5 * theirs.score


def test_a_saved_category_gives_the_same_verdicts(detector: Detector, artifact_dir: Path, tmp_path: Path) -> None:
    detector.save_category(tmp_path / "part.safetensors")
    other = Detector.load(artifact_dir, threads=1)
    other.load_category(tmp_path / "part.safetensors")
    mine, theirs = detector.predict(part(30, True)), other.predict(part(30, True))
    assert theirs.score == pytest.approx(mine.score, rel=1e-6)
    assert theirs.threshold == mine.threshold
    assert other.describe()["category"]["hash"] == detector.describe()["category"]["hash"]
    json.dumps(other.describe())
    other.set_threshold(mine.score + 1)
    assert not other.predict(part(30, True)).anomalous
    assert detector.category.threshold.method == "leave-one-out"  # type: ignore[union-attr]


def test_categories_are_swapped_while_threads_predict(small: Detector) -> None:
    shared = Detector(small.model)
    first, second = small.category, taught_plainly(shared.model, [part(3), part(4)])
    assert first is not None
    image = part(40, True)
    expected = {}
    for category in (first, second):
        shared.use(category)
        expected[category.threshold.value] = shared.predict(image).score
    seen: list[tuple[float, float]] = []

    def judge() -> None:
        for _ in range(6):
            result = shared.predict(image)
            seen.append((result.threshold, result.score))

    threads = [threading.Thread(target=judge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        shared.use(first if turn % 2 else second)
    for thread in threads:
        thread.join()
    assert len(seen) == 24
    for threshold, score in seen:
        assert score == pytest.approx(expected[threshold], rel=1e-5)


def test_the_golden_self_test_passes_and_notices_damage(artifact_dir: Path, detector: Detector) -> None:
    checks = self_test(detector.artifact, detector.backend)
    assert [check.output for check in checks] == ["f1", "f2", "f3", "theta", "anomaly_map", "anomaly_score"]
    assert all(check.ok for check in checks)
    assert all(check.ok for check in self_test(detector.artifact, detector.backend, batch=2)), "2 and 1 at once"
    golden = detector.artifact.golden()
    assert golden.images.shape == (3, 224, 224, 3)
    wrong = golden.anomaly_score * 1.1
    assert not compare("anomaly_score", golden.anomaly_score, wrong, 1e-3).ok
    assert not compare("f1", np.full(3, np.nan, np.float32), np.ones(3, np.float32), 1.0).ok


def test_golden_results_of_another_version_are_refused(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regad.runtime.formats.artifact.GOLDEN_VERSION", 3)
    with pytest.raises(ArtifactError, match="regad-golden 2; expected regad-golden 3: export the artifact again"):
        Artifact.open(artifact_dir).golden()


def test_what_is_missing_is_said(artifact_dir: Path, tmp_path: Path) -> None:
    fresh = Detector.load(artifact_dir)
    with pytest.raises(CategoryError, match="fit"):
        fresh.predict(part(0))
    with pytest.raises(InputError, match="1 support image"):
        fresh.fit([part(0)])
    with pytest.raises(DeviceError, match="expected one of"):
        Detector.load(artifact_dir, device="tpu")
    with pytest.raises(ArtifactError, match="regad-export"):
        Detector.load(tmp_path)
    with pytest.raises(CategoryError, match="mean/std"):
        Detector.load(artifact_dir, spec=InputSpec(mean=(0.5, 0.5, 0.5)))


def test_a_device_that_is_not_there_is_an_error(artifact_dir: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime offers CUDA")
    with pytest.raises(DeviceError, match="CUDAExecutionProvider"):
        Detector.load(artifact_dir, device="cuda")
    assert Detector.load(artifact_dir, device="auto").device.startswith("cpu")


def test_a_category_of_another_artifact_is_refused(detector: Detector, artifact_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other.regad"
    shutil.copytree(artifact_dir, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["encoder.onnx"]["sha256"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    other = Artifact.open(copy, verify=False)
    assert other.hash != detector.artifact.hash
    stranger = Detector(Model(other, detector.backend))
    detector.save_category(tmp_path / "part.safetensors")
    with pytest.raises(CategoryError, match="was taught on artifact"):
        stranger.load_category(tmp_path / "part.safetensors")
    assert stranger.category is None
