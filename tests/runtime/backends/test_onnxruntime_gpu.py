"""ONNX Runtime's GPU providers: which options they get, and what the IO binding moves. On a recording stand-in."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from regad.runtime.backends.base import Backend
from regad.runtime.backends.ort import reason, runs_nowhere
from regad.runtime.backends.table import open_backend
from regad.runtime.errors import CategoryError, DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics, cast_statistics
from regad.runtime.formats.spec import Dtype
from regad.runtime.scoring.reference import graph_tensors
from regad.runtime.selftest import self_test

from ..ort_double import FakeOrt


@pytest.mark.parametrize("device", ["cuda", "ort-tensorrt"])
def test_statistics_are_uploaded_once_and_features_stay(
    ort: FakeOrt, small_artifact: Path, reference: Backend, images: np.ndarray, statistics: Statistics, device: str
) -> None:
    artifact = Artifact.open(small_artifact)
    backend = open_backend(artifact, device)
    handle = backend.prepare(statistics)
    assert ort.moves.count("upload") == len(graph_tensors(statistics, "fp32"))
    assert (ort.moves.count("up image"), ort.moves.count("down anomaly_map")) == (1, 1), "a first run, of no image"
    ort.moves.clear()
    expected = reference.infer(images[:1], reference.prepare(statistics))
    for _ in range(2):
        done = backend.infer(images[:1], handle)
        np.testing.assert_allclose(done.anomaly_map, expected.anomaly_map, rtol=0, atol=1e-4 * done.anomaly_map.max())
        np.testing.assert_allclose(done.theta, expected.theta, atol=1e-6)
    assert "upload" not in ort.moves
    assert [move for move in ort.moves if move.startswith("up")] == ["up image"] * 2
    assert [move for move in ort.moves if move.startswith("down")] == [
        "down theta",
        "down anomaly_map",
        "down anomaly_score",
    ] * 2
    assert all(check.ok for check in self_test(artifact, backend))


@pytest.mark.parametrize(("device", "ran"), [("cuda", [0, 0, 1, 1, 0, 1]), ("ort-tensorrt", [0] * 6)])
def test_on_cuda_one_image_and_batches_have_sessions_of_their_own(
    ort: FakeOrt, small_artifact: Path, reference: Backend, images: np.ndarray, device: str, ran: list[int]
) -> None:
    """A change of the batch makes the CUDA provider plan its convolutions anew; TensorRT's would build an engine."""
    with closing(open_backend(Artifact.open(small_artifact), device)) as backend:
        for count in (1, 1, 3, 2, 1, 3):
            got, wanted = (one.features(images[:count]).f3 for one in (backend, reference))
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * wanted.max())
    assert ort.runs == ran
    assert [name for name, _, _ in ort.opened] == ["encoder.onnx"] * (1 + max(ran))
    assert all(opened == ort.opened[0] for opened in ort.opened)


def test_features_are_fetched_in_a_turn_whose_errors_are_told(
    ort: FakeOrt, small_artifact: Path, images: np.ndarray
) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cuda")
    encoded: Any = backend.encode(images[:1])

    class Lost:
        def numpy(self) -> None:
            raise Fail("CUDA failure 719: unspecified launch failure")

    kept, encoded.values = encoded.values, dict.fromkeys(encoded.values, Lost())
    for attempt in (lambda: encoded.theta, encoded.features):
        with pytest.raises(DeviceError, match="Provider failed: CUDA failure 719"):
            attempt()
    encoded.values = kept
    backend.close()
    for attempt in (lambda: encoded.theta, encoded.features):
        with pytest.raises(DeviceError, match="closed"):
            attempt()


@pytest.mark.parametrize(
    ("device", "dtype", "encoder", "scorer"),
    [
        ("cuda", "fp32", {"use_tf32": "0"}, {"use_tf32": "0"}),
        ("cuda", "fp16", {"use_tf32": "0"}, {"use_tf32": "0"}),
        ("cuda", "int8", {"use_tf32": "0"}, {"use_tf32": "0"}),
        ("ort-tensorrt", "fp32", {}, {}),
        ("ort-tensorrt", "fp16", {"trt_fp16_enable": "1"}, {}),
        ("ort-tensorrt", "int8", {"trt_int8_enable": "1"}, {}),
    ],
)
def test_no_provider_changes_the_dtype(
    ort: FakeOrt,
    artifact_dir: Path,
    statistics: Statistics,
    device: str,
    dtype: Any,
    encoder: dict[str, str],
    scorer: dict[str, str],
) -> None:
    artifact = dataclasses.replace(Artifact.open(artifact_dir), dtype=dtype)
    open_backend(artifact, device).prepare(statistics)
    assert [(name, options) for name, _, options in ort.opened] == [("encoder.onnx", encoder), ("scorer.onnx", scorer)]


def test_an_fp16_encoder_without_stns_has_nothing_that_could_be_tf32(ort: FakeOrt, artifact_dir: Path) -> None:
    artifact = Artifact.open(artifact_dir)
    identity = {**artifact.manifest, "transforms": "identity"}
    for dtype in get_args(Dtype):
        open_backend(dataclasses.replace(artifact, dtype=dtype, manifest=identity), "cuda")
    assert [options for _, _, options in ort.opened] == [{"use_tf32": "0"}, {}, {"use_tf32": "0"}]


def test_a_gpu_that_fails_at_work_is_told_in_a_line(
    ort: FakeOrt, small_artifact: Path, images: np.ndarray, statistics: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cuda")
    handle = backend.prepare(statistics)

    def fail(*args: Any) -> None:
        raise Fail("a.cc:154 CudaCall(ERRTYPE) CUDA failure 2: out of memory ; GPU=0 ; hostname=vm ; file=b.cc")

    for call in ("run", "run_with_iobinding"):
        monkeypatch.setattr(ort.InferenceSession, call, fail)
    for attempt in (lambda: backend.infer(images, handle), lambda: backend.features(images)):
        with pytest.raises(DeviceError, match=r"Provider failed: CUDA failure 2: out of memory; close other programs"):
            attempt()
    with pytest.raises(DeviceError, match="out of memory"):  # the first run
        backend.prepare(statistics)
    monkeypatch.setattr(ort, "ortvalue_from_numpy", fail)
    with pytest.raises(DeviceError, match="out of memory"):
        backend.prepare(statistics)


def test_tensorrts_provider_is_kept_from_tf32_or_not_opened(
    ort: FakeOrt, small_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_backend(Artifact.open(small_artifact), "ort-tensorrt")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    open_backend(Artifact.open(small_artifact), "cuda")
    with pytest.raises(DeviceError, match="start with NVIDIA_TF32_OVERRIDE=0 in the environment"):
        open_backend(Artifact.open(small_artifact), "ort-tensorrt")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", "RuntimeError"),
        ("one\ntwo", "one"),
        ("x.cc:1 CUDNN_FE failure 11: CUDNN_BACKEND ; GPU=0 ; hostname=vm", "CUDNN_FE failure 11: CUDNN_BACKEND"),
    ],
)
def test_a_reason_is_one_line(words: str, wanted: str) -> None:
    assert reason(RuntimeError(words)) == wanted


def test_no_session_may_fall_back_later(ort: FakeOrt, small_artifact: Path, statistics: Statistics) -> None:
    """ONNX Runtime's `run` repeats on the CPU what failed on the GPU, unless it is told not to."""
    open_backend(Artifact.open(small_artifact), "cuda").prepare(statistics)
    assert ort.kept_from_falling_back == len(ort.opened) == 2


def test_nor_may_one_of_the_real_library(small_artifact: Path) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cpu")
    assert backend._session._enable_fallback is False  # type: ignore[attr-defined]


def test_preloading_says_nothing(ort: FakeOrt, small_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it prints would stand between the records of regad-run; what is missing is told by the session's error."""
    ort.preload_dlls = lambda: print("Failed to load libcublas.so")  # type: ignore[attr-defined]
    open_backend(Artifact.open(small_artifact), "cuda")
    assert capsys.readouterr().out == ""


def test_a_session_that_cannot_be_made_is_the_devices_error(
    ort: FakeOrt, small_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a.cc:154 Call(\n) CUDA failure 100: no CUDA-capable device is detected ; GPU=-1\nand more")

    monkeypatch.setattr(ort, "InferenceSession", refuse)
    with pytest.raises(DeviceError, match=r"cannot run encoder\.onnx: CUDA failure 100: .* detected; the device needs"):
        open_backend(Artifact.open(small_artifact), "cuda")


def test_a_provider_that_falls_back_is_an_error(monkeypatch: pytest.MonkeyPatch, small_artifact: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt(starts=False))
    with pytest.raises(DeviceError, match="could not start it \\(it fell back to CPUExecutionProvider\\)"):
        open_backend(Artifact.open(small_artifact), "cuda")


def test_a_provider_that_lost_its_kernels_is_an_error(monkeypatch: pytest.MonkeyPatch, small_artifact: Path) -> None:
    """The session names the provider first, and runs wholly on the CPU."""
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt(kernels=False))
    with pytest.raises(DeviceError, match=r"runs nothing of encoder\.onnx on its CUDAExecutionProvider: another copy"):
        open_backend(Artifact.open(small_artifact), "cuda")


def test_where_nodes_went_is_asked_of_the_real_library_in_its_words(small_artifact: Path) -> None:
    session = open_backend(Artifact.open(small_artifact), "cpu")._session  # type: ignore[attr-defined]
    assert not runs_nowhere(session, "CPUExecutionProvider")
    if hasattr(session, "get_provider_graph_assignment_info"):
        assert runs_nowhere(session, "CUDAExecutionProvider")


def test_fp32_statistics_are_never_rounded_for_an_fp16_graph(
    ort: FakeOrt, small_artifact: Path, statistics: Statistics
) -> None:
    artifact = Artifact.open(small_artifact)
    narrow = dataclasses.replace(artifact, manifest={**artifact.manifest, "statistics_dtype": "fp16"})
    backend = open_backend(narrow, "cuda")
    with pytest.raises(CategoryError, match="regad-calib --stats-dtype fp16"):
        backend.prepare(statistics)
    with pytest.raises(DeviceError, match=r"tensor\(float16\)"):  # it is handed halves, which this graph does not take
        backend.prepare(cast_statistics(statistics, "fp16"))
