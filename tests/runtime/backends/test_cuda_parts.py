"""Parts on a real GPU as a line has them, against the CPU; skipped, with the reason, where there is none.

Scores are compared to 1e-3 and maps to 1e-3 of their maximum: float32 sums in another order give 1e-6 behind identity
transforms and up to 1e-4 behind lively ones, TF32 would give 1e-2. Whatever the host does (the pose, what a frame
shows, the reasons) is the same on both, in every bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.base import Backend
from regad.runtime.backends.onnxruntime_gpu import cuda_available
from regad.runtime.backends.table import open_backend
from regad.runtime.commands.checks import gpus
from regad.runtime.detector import Detector, Result
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Form, StatisticsDtype, cast_statistics, forms_of
from regad.runtime.formats.registration import Register
from regad.runtime.formats.scoring import SCORINGS, Calibration
from regad.runtime.formats.spec import EDGE_GROUPS, InputSpec
from regad.runtime.selftest import self_test

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw, random_pose

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not gpus() or not cuda_available(),
        reason="needs an NVIDIA GPU and ONNX Runtime's GPU build (pip install 'regad[gpu]')",
    ),
]
EDGE = SCORINGS["edge"]
EDGE_FORMS = [form for form in forms_of(EDGE_GROUPS) if form.groups == EDGE_GROUPS]
SIDE = 320


@pytest.fixture(scope="module")
def both(every_form: Path) -> Iterator[tuple[Backend, Backend]]:
    artifact = Artifact.open(every_form)
    with closing(open_backend(artifact, "cpu", 2)) as cpu, closing(open_backend(artifact, "cuda")) as gpu:
        yield cpu, gpu


def screw(seed: int, pose: ScrewPose = UPRIGHT, defect: str | None = None) -> np.ndarray:
    return draw_screw(np.random.default_rng(seed), pose, defect, size=SIDE)[0]


def posed(seed: int, defect: str | None = None) -> np.ndarray:
    return screw(seed, random_pose(np.random.default_rng(seed), 0.06), defect)


def frames() -> list[np.ndarray]:
    """Good and defective screws as they lie, an empty frame and a black one, a ring, and noise."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2
    ring = np.where((abs(np.hypot(x, y) - 80) < 20)[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    parts = [posed(seed, defect) for seed, defect in enumerate([None, "tip", None, "head", "thread", None], 40)]
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return [*parts, np.full((SIDE, SIDE, 3), 190, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8), ring, noise]


def check_results(got: Sequence[Result], wanted: Sequence[Result]) -> None:
    for one, want in zip(got, wanted, strict=True):
        assert (one.reason, one.detail, one.anomalous, one.warn) == (
            *(want.reason, want.detail),
            *(want.anomalous, want.warn),
        )
        assert one.located == want.located
        if want.refusal is None:
            assert one.score == pytest.approx(want.score, rel=1e-3)
            laid, expected = (result.map_over((SIDE, SIDE)) for result in (one, want))
            np.testing.assert_allclose(laid, expected, rtol=0, atol=1e-3 * expected.max())
        else:
            assert np.isinf(one.anomaly_map).all() and np.isinf(want.anomaly_map).all()


@pytest.mark.parametrize("form", EDGE_FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_every_graph_of_one_gaussian_a_level(
    both: tuple[Backend, Backend], images: np.ndarray, form: Form, dtype: StatisticsDtype
) -> None:
    """Statistics of 3 views, calibrated; batches of 1 and 5, twice, so that buffers are used again."""
    cpu, gpu = both
    features = cpu.features(images[:3])
    groups = zip(form.encodings, form.groups, strict=True)
    fitted = [fit_statistics(features, encoding, levels=levels) for encoding, levels in groups]
    statistics = tuple(cast_statistics(one, dtype) for one in fitted)
    scale = 0.5 + np.random.default_rng(2).random((EDGE.grid, EDGE.grid), dtype=np.float32)
    calibration = Calibration(scale, np.float32([3.0, 7.0]))
    handle, reference = (backend.prepare(statistics, EDGE, calibration) for backend in (gpu, cpu))
    for batch in (images[3:4], images, images[3:4], images[::-1].copy()):
        got, wanted = gpu.infer(batch, handle), cpu.infer(batch, reference)
        np.testing.assert_allclose(got.anomaly_score, wanted.anomaly_score, rtol=1e-3)
        np.testing.assert_allclose(got.anomaly_map, wanted.anomaly_map, rtol=0, atol=1e-3 * wanted.anomaly_map.max())


@pytest.mark.parametrize("registration", ["off", "on", "auto"])
def test_a_part_taught_on_either_is_judged_alike(every_form: Path, registration: Register) -> None:
    """Scores, maps in the camera's frame, verdicts, reasons and poses, one frame at a time and in a batch."""
    photos = [screw(0), *(posed(seed) for seed in (1, 2))]
    judged, registered = frames(), []
    with Detector.load(every_form, "cuda") as gpu, Detector.load(every_form) as cpu:
        for teacher, other in ((cpu, gpu), (gpu, cpu)):
            category = teacher.fit(photos, registration=registration)
            registered.append(category.registration is not None)
            other.use(category)
            wanted = [cpu.predict(frame) for frame in judged]
            check_results([gpu.predict(frame) for frame in judged], wanted)
            check_results(gpu.predict_batch(judged), wanted)
            assert {"good", "anomalous"} & {one.reason for one in wanted}
            assert "no_part" in {one.reason for one in wanted}
            assert ("misplaced" in {one.reason for one in wanted}) == registered[-1]
    assert registered in {"off": ([False] * 2,), "on": ([True] * 2,), "auto": ([False] * 2, [True] * 2)}[registration]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, identity transforms, normalised features: parts taught on it are scored by ``edge``."""
    import torch

    from regad.train.model.checkpoint import Checkpoint, save_checkpoint
    from regad.train.model.heads import Predictor, SiameseEncoder
    from regad.train.model.registration import RegistrationEncoder
    from regad.train.run.config import EDGE_FEATURES

    torch.manual_seed(0)
    encoder = RegistrationEncoder(normalization=EDGE_FEATURES).eval()
    states = (encoder.state_dict(), SiameseEncoder().state_dict(), Predictor().state_dict())
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    save_checkpoint(path, Checkpoint(*states, "rotation_scale", InputSpec(), normalization=EDGE_FEATURES))
    return path


@pytest.fixture(scope="module")
def narrow(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Export the checkpoint with options."""
    from regad.export.cli import command

    def export(*options: str) -> Path:
        out = tmp_path_factory.mktemp("narrow") / "model.regad"
        command.main(["--ckpt", str(checkpoint), "--out", str(out), *options], standalone_mode=False)
        return out

    return export


@pytest.mark.parametrize("options", [("--fp16",), ("--fp16", "--stats-dtype", "fp16"), ("--int8",)], ids=" ".join)
def test_a_narrow_encoder_passes_its_self_test_and_scores_as_on_the_cpu(
    narrow: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The CPU rounds fp16 and int8 after each operator, the GPU where its kernels do: tolerances of the dtype itself.

    1e-2 for fp16, as the gate of the export allows of map and score; 2e-1 for int8, for the same reason.
    """
    if "--int8" in options:
        from PIL import Image

        for seed in range(4):
            Image.fromarray(posed(seed)).save(tmp_path / f"{seed}.png")
        options = (*options, "--calib-images", str(tmp_path))
    artifact = narrow(*options)
    tolerance = 2e-1 if "--int8" in options else 1e-2
    with Detector.load(artifact, "cuda") as gpu, Detector.load(artifact) as cpu:
        assert gpu.artifact.scoring == EDGE
        assert [check for check in self_test(gpu.artifact, gpu.backend) if not check.ok] == []
        gpu.use(cpu.fit([screw(0), posed(1), posed(2)]))
        for frame in frames():
            got, wanted = gpu.predict(frame), cpu.predict(frame)
            assert (got.refusal, got.detail) == (wanted.refusal, wanted.detail)
            if wanted.refusal is None:
                assert got.score == pytest.approx(wanted.score, rel=tolerance)
                limit = tolerance * wanted.anomaly_map.max()
                np.testing.assert_allclose(got.anomaly_map, wanted.anomaly_map, rtol=0, atol=limit)


def test_a_part_is_replaced_while_others_judge(every_form: Path) -> None:
    """Each verdict is wholly that of one of the two parts."""
    with Detector.load(every_form, "cuda") as detector:
        parts = [detector.fit([posed(seed), posed(seed + 1)], registration="off") for seed in (1, 5)]
        frame, scores = posed(30), []
        for part in parts:
            detector.use(part)
            scores.append(detector.predict(frame).score)
        assert scores[0] != pytest.approx(scores[1], rel=1e-2)
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(detector.predict, frame) for _ in range(60)]
            for number in range(10):
                detector.use(parts[number % 2])
            for job in jobs:
                assert min(abs(job.result().score / score - 1) for score in scores) < 1e-4


def test_a_closed_detector_gives_its_memory_back(every_form: Path) -> None:
    """Sessions, statistics and what they computed with: the second round leaves the GPU as the first did."""
    cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    photos = [screw(0), posed(1), posed(2)]

    def round_trip() -> int:
        with Detector.load(every_form, "cuda") as detector:
            detector.fit(photos)
            detector.predict_batch(photos)
        with pytest.raises(DeviceError, match="closed"):
            detector.predict(photos[0])
        status, free, _ = cuda.cudaMemGetInfo()
        assert int(status) == 0
        return int(free)

    first = [round_trip() for _ in range(2)][-1]
    assert [round_trip() for _ in range(3)][-1] >= first - 2**22
