"""The TensorRT backend on recording stand-ins, against the ONNX Runtime backend; and on a GPU where there is one."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.base import Backend
from regad.runtime.backends.table import open_backend
from regad.runtime.backends.tensorrt.backend import TrtBackend
from regad.runtime.backends.tensorrt.cuda import Cuda
from regad.runtime.backends.tensorrt.library import load_tensorrt
from regad.runtime.errors import CategoryError, DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics, cast_statistics
from regad.runtime.formats.features import Features
from regad.runtime.scoring.reference import graph_tensors
from regad.runtime.selftest import self_test

from ..doubles import FakeCuda, FakeTensorRT, write_engines


def test_it_gives_what_onnxruntime_gives(
    cuda: FakeCuda, built: Path, reference: Backend, images: np.ndarray, statistics: Statistics
) -> None:
    backend = open_backend(Artifact.open(built), "tensorrt")
    assert (backend.device, backend.name) == ("tensorrt", "tensorrt 10.3.0 on Double (8.7)")
    expected = reference.features(images)
    for name, got, wanted in zip(Features._fields, backend.features(images), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(), err_msg=name)
    wanted_map, wanted_score, theta, *_ = reference.infer(images, reference.prepare(statistics))
    done = backend.infer(images, backend.prepare(statistics))
    np.testing.assert_allclose(done.anomaly_map, wanted_map, rtol=0, atol=1e-4 * wanted_map.max())
    np.testing.assert_allclose(done.anomaly_score, wanted_score, rtol=1e-4)
    np.testing.assert_allclose(done.theta, theta, atol=1e-6)
    assert (done.encode_ms, done.score_ms) == (4.5, 4.5), "three passes of 1.5 ms each"


def test_the_golden_self_test_passes(cuda: FakeCuda, built: Path) -> None:
    artifact = Artifact.open(built)
    assert all(check.ok for check in self_test(artifact, TrtBackend(artifact)))


def test_features_and_statistics_stay_on_the_device(
    cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics
) -> None:
    backend = TrtBackend(Artifact.open(built))
    handle = backend.prepare(statistics)
    allocated = cuda.calls.count("malloc")
    cuda.calls.clear()
    for _ in range(2):
        backend.infer(images[:1], handle)
    one_pass = ["upload", "execute", "execute", "download", "download", "download"]
    assert cuda.calls == one_pass * 2, "the image goes up; map, score and theta come down"
    assert allocated == 7 + len(graph_tensors(statistics, "fp32"))


def test_a_cuda_graph_is_recorded_once_and_replayed(
    cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics
) -> None:
    backend = TrtBackend(Artifact.open(built), cuda_graph=True)
    plain = TrtBackend(Artifact.open(built))
    handle, other = backend.prepare(statistics), plain.prepare(statistics)
    for count in (1, 1, 1, 2, 2, 1):
        cuda.calls.clear()
        got = backend.infer(images[:count], handle)
        ran = [call for call in cuda.calls if call in ("execute", "launch")]
        expected = plain.infer(images[:count], other)
        np.testing.assert_array_equal(got.anomaly_map, expected.anomaly_map)
        np.testing.assert_array_equal(got.theta, expected.theta)
        assert len(ran) == 2
    assert ran == ["execute"] * 2, "another batch size dropped the recording"
    again = backend.infer(images[3:4], handle)
    assert again.anomaly_score[0] == plain.infer(images[3:4], other).anomaly_score[0]
    assert cuda.calls.count("launch") == 2


def test_memory_is_given_back(cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics) -> None:
    backend = TrtBackend(Artifact.open(built))
    before = len(cuda.blocks)
    for _ in range(3):
        handle = backend.prepare(statistics)
        backend.infer(images[:1], handle)
    del handle
    gc.collect()
    assert len(cuda.blocks) == before, "nothing of a category that nobody holds"
    backend.close()
    gc.collect()
    assert cuda.blocks == {}
    with pytest.raises(DeviceError, match="closed"):
        backend.features(images)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_category_after_another_is_bound_anew(
    cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics, cuda_graph: bool
) -> None:
    backend = TrtBackend(Artifact.open(built), cuda_graph=cuda_graph)
    scores = []
    for _ in range(3):
        handle = backend.prepare(statistics)
        scores += [backend.infer(images[:1], handle).anomaly_score[0] for _ in range(3)]
        del handle
        gc.collect()  # its memory is overwritten, and may be the next one's
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 1


def test_a_batch_that_is_released_twice_is_given_back_once(cuda: FakeCuda, built: Path, images: np.ndarray) -> None:
    backend = TrtBackend(Artifact.open(built))
    encoded = backend.encode(images[:1])
    encoded.release()
    first = backend.encode(images[1:2])
    wanted = first.features().f1
    encoded.release()
    second = backend.encode(images[2:3])
    np.testing.assert_array_equal(first.features().f1, wanted)
    assert not np.array_equal(second.features().f1, wanted)
    with pytest.raises(DeviceError, match="the features were released"):
        encoded.features()


def test_threads_take_turns(cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics) -> None:
    backend = TrtBackend(Artifact.open(built))
    handle = backend.prepare(statistics)
    expected = [backend.infer(images[n : n + 1], handle).anomaly_score[0] for n in range(3)]
    seen: list[tuple[int, float]] = []

    def judge(number: int) -> None:
        image = images[number : number + 1]
        seen.extend((number, backend.infer(image, handle).anomaly_score[0]) for _ in range(3))

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 9
    assert all(score == expected[number] for number, score in seen)


def test_a_full_card_is_said(
    cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TrtBackend(Artifact.open(built))
    handle = backend.prepare(statistics)
    expected = backend.infer(images[:1], handle).anomaly_score
    cuda.memory = 1000
    with pytest.raises(DeviceError, match=r"cannot allocate .* MB: the GPU has no memory left"):
        backend.prepare(statistics)
    np.testing.assert_array_equal(backend.infer(images[:1], handle).anomaly_score, expected)


def test_statistics_beyond_the_engine_are_refused(
    cuda: FakeCuda, built: Path, reference: Backend, images: np.ndarray
) -> None:
    backend = TrtBackend(Artifact.open(built))
    many = fit_statistics(reference.features(np.concatenate([images, 255 - images])), "gram")
    with pytest.raises(CategoryError, match=r"10 views; the engine takes 7.*--max-shot"):
        backend.prepare(many)


def test_fp16_statistics_are_widened_for_an_fp32_graph_and_never_narrowed(
    cuda: FakeCuda, artifact_dir: Path, images: np.ndarray, tmp_path: Path
) -> None:
    """With the encoder whose features are of the size that fp16 rounds so."""
    shutil.copytree(artifact_dir, tmp_path / "model.regad")
    artifact = Artifact.open(tmp_path / "model.regad")
    write_engines(artifact)
    backend = TrtBackend(artifact)
    statistics = fit_statistics(backend.features(images[:3]), "gram")
    exact = backend.infer(images, backend.prepare(statistics)).anomaly_score
    rounded = backend.infer(images, backend.prepare(cast_statistics(statistics, "fp16"))).anomaly_score
    assert 0 < np.abs(rounded / exact - 1).max() < 2e-2
    narrow = dataclasses.replace(artifact, manifest={**artifact.manifest, "statistics_dtype": "fp16"})
    with pytest.raises(CategoryError, match="regad-calib --stats-dtype fp16"):
        TrtBackend(narrow).prepare(statistics)


def test_what_is_missing_is_said(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = Artifact.open(artifact_dir)
    double = FakeCuda(devices=0)
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DeviceError, match=r"TensorRT cannot be imported.*pip install 'regad\[tensorrt\]'"):
        open_backend(artifact, "tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(double, "9.2.0"))
    with pytest.raises(DeviceError, match=r"tensorrt is 9\.2\.0; .* knows tensorrt 10\.x"):
        open_backend(artifact, "tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(double))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "cuda.cudart", None)
    with pytest.raises(DeviceError, match="cuda-python cannot be imported"):
        open_backend(artifact, "tensorrt")
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", double)
    with pytest.raises(DeviceError, match="cannot find a GPU: cudaErrorNoDevice"):
        open_backend(artifact, "tensorrt")
    double.devices = 1
    with pytest.raises(DeviceError, match=r"no engine of encoder\.onnx fits Double .*there is none"):
        open_backend(artifact, "tensorrt")


def test_the_real_bindings_take_the_calls_as_they_are_made() -> None:
    """Without a driver every call fails, but by its status: a wrong name or type of an argument would raise."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("there is a GPU: the test below runs the calls for real")
    kind = runtime.cudaMemcpyKind
    values = np.zeros(4, np.uint8)
    calls = {
        "cudaSetDevice": (0,),
        "cudaGetDeviceProperties": (0,),
        "cudaMalloc": (16,),
        "cudaFree": (4096,),
        "cudaHostAlloc": (16, 0),
        "cudaFreeHost": (4096,),
        "cudaMemcpyAsync": (4096, values.ctypes.data, 4, kind.cudaMemcpyHostToDevice, 7),
        "cudaStreamCreate": (),
        "cudaStreamSynchronize": (7,),
        "cudaEventCreate": (),
        "cudaStreamBeginCapture": (7, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
        "cudaStreamEndCapture": (7,),
    }
    for name, args in calls.items():
        status, *_ = getattr(runtime, name)(*args)
        assert status.name == "cudaErrorInsufficientDriver" or int(status) != 0, name
    for name in ("EventRecord", "EventElapsedTime", "StreamDestroy"):
        assert callable(getattr(runtime, f"cuda{name}"))
    for name in ("Instantiate", "Launch", "Destroy", "ExecDestroy"):
        assert callable(getattr(runtime, f"cudaGraph{name}"))
    with pytest.raises(DeviceError, match="cannot find a GPU"):
        Cuda()


@pytest.mark.gpu
def test_on_a_real_gpu(artifact_dir: Path, tmp_path: Path, images: np.ndarray) -> None:
    """Builds engines on this machine, and compares them with ONNX Runtime's CPU: needs TensorRT and a GPU."""
    from regad.export.engine import EngineConfig, build_engines

    try:
        load_tensorrt()
        Cuda()
    except DeviceError as error:
        pytest.skip(f"needs an NVIDIA GPU, its driver and TensorRT: {error}")
    shutil.copytree(artifact_dir, tmp_path / "model.regad")
    artifact = Artifact.open(tmp_path / "model.regad")
    build_engines(artifact, EngineConfig(batch=(1, 1, 2), max_shot=2, encodings=("gram",)))
    reference = open_backend(artifact, "cpu")
    statistics = fit_statistics(reference.features(images[:3]), "gram")
    expected = reference.infer(images, reference.prepare(statistics))
    for cuda_graph in (False, True):
        backend = TrtBackend(artifact, cuda_graph=cuda_graph)
        assert all(check.ok for check in self_test(artifact, backend))
        handle = backend.prepare(statistics)
        for _ in range(3):
            done = backend.infer(images, handle)
            np.testing.assert_allclose(
                done.anomaly_map, expected.anomaly_map, rtol=0, atol=1e-3 * done.anomaly_map.max()
            )
        backend.close()
