"""The native detector on a real GPU, against Python's on the CPU; skipped, with the reason, where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from standin import FORMS, photo, screw

from regad.runtime.backends.onnxruntime_gpu import cuda_available
from regad.runtime.cabi import NativeDetector
from regad.runtime.commands.checks import gpus
from regad.runtime.detector import Detector
from regad.runtime.errors import CategoryError, DeviceError
from regad.runtime.formats.artifact import Artifact

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import random_pose

pytestmark = pytest.mark.gpu
Open = Callable[..., NativeDetector]


@pytest.fixture
def open_cuda(open_native: Open, standin: Artifact) -> Open:
    if not gpus() or not cuda_available():
        pytest.skip("needs an NVIDIA GPU and ONNX Runtime's GPU build (pip install 'regad[gpu]')")
    return lambda **options: open_native(standin.path, device="cuda", **options)


@pytest.mark.parametrize("form", [f"{form.name}{suffix}" for form in FORMS for suffix in ("", "-fp16")])
@pytest.mark.parametrize("scorer", ["auto", "native"])
def test_every_form(open_cuda: Open, standin: Artifact, form: str, scorer: str) -> None:
    """The graph's scorer on the device, or the compiled one on the host behind an encoder on the device."""
    category = standin.path.parent / f"{form}.safetensors"
    images = [photo(seed, 200 + 30 * seed, 300) for seed in range(4)]
    with Detector.load(standin.path) as python, open_cuda(scorer=scorer) as native:
        assert max(native.self_test()) < 1e-3
        python.load_category(category)
        native.load_category(category)
        assert native.describe()["scorer"] == {"auto": "graph"}.get(scorer, scorer)
        expected = [python.predict(image) for image in images]
        for got in ([native.predict(image) for image in images], native.predict_batch(images)):
            for one, wanted in zip(got, expected, strict=True):
                assert one.score == pytest.approx(wanted.score, rel=1e-4)
                assert np.abs(one.anomaly_map - wanted.anomaly_map).max() <= 1e-3 * wanted.anomaly_map.max()
                assert one.anomalous == wanted.anomalous


@pytest.mark.parametrize("scorer", ["auto", "native"])
def test_a_registered_part_and_frames_that_are_not_judged(
    open_cuda: Open, standin: Artifact, tmp_path: Path, scorer: str
) -> None:
    """Pose, reason and detail come of the host, so they are those of the library on the CPU (test_parity.py)."""
    poses = [random_pose(np.random.default_rng(seed), 0.06) for seed in range(6)]
    photos = [screw(seed, pose) for seed, pose in enumerate(poses)]
    y, x = np.mgrid[0:300, 0:300] - 150
    ring = np.where((abs(np.hypot(x, y) - 90) < 20)[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    frames = [*photos[3:], ring, np.full((300, 300, 3), 190, np.uint8)]
    with Detector.load(standin.path) as python, open_cuda(scorer=scorer) as native:
        python.fit(photos[:3], registration="on")
        python.save_category(tmp_path / "part.safetensors")
        native.load_category(tmp_path / "part.safetensors")
        assert native.describe()["category"]["registered"] is True
        wanted = [python.predict(frame) for frame in frames]
        for got in ([native.predict(frame) for frame in frames], native.predict_batch(frames)):
            for one, want in zip(got, wanted, strict=True):
                assert (one.reason, one.detail, one.anomalous) == (want.reason, want.detail, want.anomalous)
                assert (one.pose is None) == (want.pose is None)
                if one.pose is not None and want.pose is not None:
                    assert np.abs(np.array(one.pose) - want.pose).max() < 0.02
                if want.refusal is None:
                    assert one.score == pytest.approx(want.score, rel=1e-3)
                    assert np.abs(one.anomaly_map - want.anomaly_map).max() <= 1e-3 * want.anomaly_map.max()
            assert [one.reason for one in got[-2:]] == ["misplaced", "no_part"]


def test_a_category_that_cannot_be_read_leaves_the_one_in_force(
    open_cuda: Open, standin: Artifact, tmp_path: Path
) -> None:
    folder = standin.path.parent
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with open_cuda() as native:
        with pytest.raises(CategoryError, match="no category is loaded"):
            native.predict(photo(1))
        native.load_category(folder / "gram_f2_gram_f3.safetensors")
        before = native.predict(photo(1)).score
        with pytest.raises(CategoryError):
            native.load_category(tmp_path / "junk.safetensors")
        assert native.predict(photo(1)).score == pytest.approx(before, rel=1e-5)
    with pytest.raises(DeviceError, match="closed"):
        native.predict(photo(1))


def test_parts_are_replaced_while_others_judge(open_cuda: Open, standin: Artifact) -> None:
    """Each verdict is wholly that of one of the two parts; four threads share the scorer's binding."""
    categories = [standin.path.parent / f"{form}.safetensors" for form in ("gram_f2_gram_f3", "gram")]
    with open_cuda() as native:
        scores = []
        for category in categories:
            native.load_category(category)
            scores.append(native.predict(photo(2)).score)
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(native.predict, photo(2)) for _ in range(40)]
            for number in range(8):
                native.load_category(categories[number % 2])
            for job in jobs:
                assert min(abs(job.result().score / score - 1) for score in scores) < 1e-4


def test_a_destroyed_detector_gives_its_memory_back(open_cuda: Open, standin: Artifact) -> None:
    """Sessions, statistics and workspaces: the later rounds leave the GPU as the second did."""
    cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

    def round_trip() -> int:
        with open_cuda() as native:
            for form in ("gram_f2_gram_f3", "cholesky_f2_gram_f3", "gram"):
                native.load_category(standin.path.parent / f"{form}.safetensors")
                native.predict_batch([photo(seed) for seed in range(3)])
        status, free, _ = cuda.cudaMemGetInfo()
        assert int(status) == 0
        return int(free)

    first = [round_trip() for _ in range(2)][-1]
    assert [round_trip() for _ in range(3)][-1] >= first - 2**22


def test_threads(open_cuda: Open, standin: Artifact) -> None:
    with open_cuda() as native:
        native.load_category(standin.path.parent / "gram.safetensors")
        alone = [native.predict(photo(seed)).score for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            jobs = [(seed % 4, pool.submit(native.predict, photo(seed % 4))) for seed in range(40)]
        for seed, job in jobs:
            assert job.result().score == pytest.approx(alone[seed], rel=1e-5)


def test_a_gpu_that_is_not_there(open_cuda: Open, open_native: Open, standin: Artifact) -> None:
    with pytest.raises(DeviceError):
        open_native(standin.path, device="cuda:99")
