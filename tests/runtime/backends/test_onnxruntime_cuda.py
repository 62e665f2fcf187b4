"""ONNX Runtime's CUDA provider on a real GPU, against the CPU; skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.base import Backend, Inference
from regad.runtime.backends.onnxruntime_gpu import cuda_available
from regad.runtime.backends.table import open_backend
from regad.runtime.backends.tensorrt.cuda import Cuda, DeviceMemory, HostMemory
from regad.runtime.commands.checks import gpus
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Encoding, cast_statistics
from regad.runtime.formats.features import Features
from regad.runtime.selftest import self_test

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cpu(artifact_dir: Path) -> Backend:
    return open_backend(Artifact.open(artifact_dir), "cpu")


@pytest.fixture(scope="module")
def gpu(artifact_dir: Path) -> Iterator[Backend]:
    if not gpus() or not cuda_available():
        pytest.skip("needs an NVIDIA GPU and ONNX Runtime's GPU build (pip install 'regad[gpu]')")
    backend = open_backend(Artifact.open(artifact_dir), "cuda")
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), np.uint8)


def check_same(got: Inference, wanted: Inference) -> None:
    """TF32 would be off by 1e-2; transforms far from the identity leave some 1e-4."""
    np.testing.assert_allclose(got.anomaly_score, wanted.anomaly_score, rtol=1e-3)
    np.testing.assert_allclose(got.anomaly_map, wanted.anomaly_map, rtol=0, atol=1e-3 * wanted.anomaly_map.max())
    np.testing.assert_allclose(got.theta, wanted.theta, rtol=0, atol=2e-4)


def test_features(cpu: Backend, gpu: Backend, images: np.ndarray) -> None:
    assert gpu.device == "cuda"
    for name, got, wanted in zip(Features._fields, gpu.features(images), cpu.features(images), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("encoding", get_args(Encoding))
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_every_encoding(cpu: Backend, gpu: Backend, images: np.ndarray, encoding: Encoding, dtype: str) -> None:
    """Statistics of 4 views; batches of 1 and 5, twice, so that buffers are used again."""
    statistics = fit_statistics(cpu.features(images[:4]), encoding)
    statistics = cast_statistics(statistics, "fp16") if dtype == "fp16" else statistics
    handle, reference = gpu.prepare(statistics), cpu.prepare(statistics)
    for batch in (images[4:5], images[:5], images[4:5], images[1:6]):
        check_same(gpu.infer(batch, handle), cpu.infer(batch, reference))


def test_the_golden_self_test_passes(artifact_dir: Path, gpu: Backend) -> None:
    assert all(check.ok for check in self_test(Artifact.open(artifact_dir), gpu))


def test_threads_that_judge_two_parts_at_once(cpu: Backend, gpu: Backend, images: np.ndarray) -> None:
    features = cpu.features(images)
    parts = [
        fit_statistics(Features(*(level[rows] for level in features)), "gram") for rows in (slice(0, 3), slice(2, 5))
    ]
    handles = [gpu.prepare(part) for part in parts]
    alone = [gpu.infer(images[5:], handle).anomaly_score for handle in handles]
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(4) as pool:
        jobs = [(index % 2, pool.submit(gpu.infer, images[5:], handles[index % 2])) for index in range(40)]
        for which, job in jobs:
            np.testing.assert_allclose(job.result().anomaly_score, alone[which], rtol=1e-5)


def test_device_memory_does_not_grow(gpu: Backend, cpu: Backend, images: np.ndarray) -> None:
    """Neither with frames nor with categories that replace each other."""
    cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

    def free() -> int:
        status, left, _ = cuda.cudaMemGetInfo()
        assert int(status) == 0
        return int(left)

    statistics = fit_statistics(cpu.features(images[:4]), "gram")

    def work() -> None:
        for _ in range(5):
            handle = gpu.prepare(statistics)
            for _ in range(10):
                gpu.infer(images[5:], handle)

    work()
    before = free()
    for _ in range(5):
        work()
    assert free() >= before - 2**20


def test_teaching_and_judging(artifact_dir: Path, gpu: Backend) -> None:
    """A part taught on the GPU is judged the same on the CPU, and the other way round."""
    frames = np.random.default_rng(1).integers(0, 256, (3, 240, 320, 3), np.uint8)
    with Detector.load(artifact_dir, "cuda") as on_gpu, Detector.load(artifact_dir) as on_cpu:
        assert on_gpu.device.startswith("cuda (onnxruntime ")
        taught = on_gpu.fit(list(frames[:2]))
        on_cpu.use(taught)
        check = [(on_gpu.predict(frame), on_cpu.predict(frame)) for frame in frames]
        on_gpu.use(on_cpu.fit(list(frames[:2])))
        check += [(on_gpu.predict(frame), on_cpu.predict(frame)) for frame in frames]
        for got, wanted in check:
            assert got.score == pytest.approx(wanted.score, rel=1e-3)
            assert got.anomalous == wanted.anomalous


def test_cuda_python_copies_and_captures() -> None:
    """What the TensorRT backend needs of CUDA itself, where TensorRT may be missing; the second round is a graph's."""
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    if not gpus():
        pytest.skip("needs an NVIDIA GPU")
    cuda = Cuda()
    assert float(cuda.gpu().compute_capability) >= 5
    assert cuda.gpu().name
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    there, back = (HostMemory(cuda, (1000,), np.dtype(np.float32)) for _ in range(2))
    memory = DeviceMemory(cuda, 4000)

    def there_and_back() -> None:
        cuda.upload(memory, there.array, stream)
        cuda.download(back.array, memory, stream)

    there.array[:] = np.arange(1000)
    cuda.record(start, stream)
    there_and_back()
    cuda.record(end, stream)
    cuda.synchronize(stream)
    np.testing.assert_array_equal(back.array, there.array)
    assert cuda.milliseconds(start, end) > 0
    with cuda.capture(stream) as recording:
        there_and_back()
    there.array[:] = -1
    cuda.launch(recording.graph, stream)
    cuda.synchronize(stream)
    np.testing.assert_array_equal(back.array, there.array)
    cuda.release("cudaStreamDestroy", stream)
    with pytest.raises(DeviceError, match=r"CUDA cannot allocate .* MB: the GPU has no memory left"):
        DeviceMemory(cuda, 2**50)
