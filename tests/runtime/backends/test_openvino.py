"""OpenVINO: computes in what was asked for or refuses, keeps what it compiled, reports to nobody."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.base import Backend, Precision
from regad.runtime.backends.openvino import backend as module
from regad.runtime.backends.openvino import library
from regad.runtime.backends.openvino.blobs import MAX_BLOBS, BlobKey, read_blob, write_blob
from regad.runtime.backends.openvino.library import DeviceInfo, devices, load_core
from regad.runtime.backends.table import open_backend, passed_over
from regad.runtime.errors import ArtifactError, DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.features import Features
from regad.runtime.selftest import PRECISIONS, self_test


def uncompiled(source: Path, folder: Path) -> Artifact:
    """The same artifact, in a folder where nothing was compiled yet."""
    folder.mkdir()
    for file in source.iterdir():
        if file.is_file():
            os.link(file, folder / file.name)
    return Artifact.open(folder)


@pytest.fixture
def artifact(small_artifact: Path, tmp_path: Path) -> Artifact:
    """The small artifact, which compiles fast."""
    return uncompiled(small_artifact, tmp_path / "small.regad")


@pytest.fixture
def exported(artifact_dir: Path, tmp_path: Path) -> Artifact:
    """The artifact whose encoder is a real one, and predicts transforms."""
    return uncompiled(artifact_dir, tmp_path / "model.regad")


@pytest.fixture
def opened(artifact: Artifact) -> Iterator[Callable[..., Backend]]:
    """Opens the small artifact or the one given, and closes what was opened at the end."""
    held: list[Backend] = []

    def call(
        target: str = "openvino", threads: int | None = 1, given: Artifact | None = None, **options: Any
    ) -> Backend:
        held.append(open_backend(given or artifact, target, threads, **options))
        return held[-1]

    yield call
    for backend in held:
        backend.close()


def blobs(artifact: Artifact) -> list[Path]:
    return sorted((artifact.path / "engines").glob("*.blob"))


def test_features_and_scores_are_those_of_onnxruntime(
    opened: Callable[..., Backend], exported: Artifact, images: np.ndarray
) -> None:
    backend, reference = opened(given=exported), opened("cpu", given=exported)
    statistics = fit_statistics(reference.features(images[:3]), "gram")
    for name, got, wanted in zip(Features._fields, backend.features(images), reference.features(images), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-4 * np.abs(wanted).max(), err_msg=name)
    got, wanted = (one.infer(images, one.prepare(statistics)) for one in (backend, reference))
    np.testing.assert_allclose(got.anomaly_score, wanted.anomaly_score, rtol=1e-3)


def test_the_golden_self_test_passes_on_the_processor_and_on_what_openvino_prefers(
    opened: Callable[..., Backend], exported: Artifact
) -> None:
    for target in ("openvino:CPU", "openvino:AUTO"):
        backend = opened(target, given=exported)
        assert backend.device == target
        assert ", f32, " in backend.name
        self_test(exported, backend)


def test_a_signal_after_close_is_a_signal_and_no_segmentation_fault(
    opened: Callable[..., Backend], images: np.ndarray
) -> None:
    backend = opened()
    backend.features(images)
    backend.close()
    del backend
    gc.collect()
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_what_was_compiled_is_read_back_in_the_same_precision_and_gives_the_same_bits(
    opened: Callable[..., Backend], artifact: Artifact, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = opened().features(images[:1])
    (blob,) = blobs(artifact)
    monkeypatch.setattr(module, "write_blob", lambda *args: pytest.fail("it was compiled again"))
    backend = opened()
    assert str(backend._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()) == "f32"  # type: ignore[attr-defined]
    for one, two in zip(backend.features(images[:1]), wanted, strict=True):
        np.testing.assert_array_equal(one, two)
    assert blobs(artifact) == [blob]


@pytest.mark.parametrize("damage", ["cut", "altered", "record", "key"])
def test_a_damaged_blob_is_none(damage: str, artifact: Artifact) -> None:
    key = BlobKey("a" * 64, "a processor", "1", {"INFERENCE_PRECISION_HINT": "f32"})
    write_blob(artifact, key, b"compiled")
    assert read_blob(artifact, key) == b"compiled"
    blob = key.path(artifact)
    record = blob.with_suffix(".json")
    if damage == "cut":
        blob.write_bytes(b"compile")
    elif damage == "altered":
        blob.write_bytes(b"compilee")
    elif damage == "record":
        record.write_text("{")
    else:
        data = json.loads(record.read_text())
        data["key"]["version"] = "2"
        record.write_text(json.dumps(data))
    assert read_blob(artifact, key) is None


def test_a_blob_that_openvino_refuses_is_compiled_again(
    opened: Callable[..., Backend], artifact: Artifact, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_blob", lambda *args: b"of another OpenVINO")
    assert opened().features(images[:1]).f1.shape == (1, 3136, 64)
    assert len(blobs(artifact)) == 1


def test_a_folder_that_cannot_be_written_is_no_failure(
    opened: Callable[..., Backend], artifact: Artifact, images: np.ndarray
) -> None:
    (artifact.path / "engines").write_text("in the way")
    assert opened().features(images[:1]).f1.shape == (1, 3136, 64)


def test_only_the_newest_blobs_are_kept_and_each_has_its_record(artifact: Artifact) -> None:
    keys = [BlobKey("a" * 64, "a processor", "1", {"number": str(number)}) for number in range(MAX_BLOBS + 2)]
    for number, key in enumerate(keys):
        write_blob(artifact, key, b"x" * number)
        os.utime(key.path(artifact), (number, number))
    assert [read_blob(artifact, key) is not None for key in keys] == [False] * 2 + [True] * MAX_BLOBS
    assert len(list((artifact.path / "engines").iterdir())) == 2 * MAX_BLOBS


def test_every_part_of_a_key_names_another_file(artifact: Artifact) -> None:
    key = BlobKey("a" * 64, "a processor", "1", {"INFERENCE_PRECISION_HINT": "f32"})
    others = [
        replace(key, graph_sha256="b" * 64),
        replace(key, device="another"),
        replace(key, version="2"),
        replace(key, settings={"INFERENCE_PRECISION_HINT": "bf16"}),
    ]
    assert len({one.path(artifact) for one in (key, *others)}) == 5


def test_as_many_inferences_run_at_once_as_there_are_cores_for(
    opened: Callable[..., Backend], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    backend = opened(threads=1)
    compiled = backend._compiled  # type: ignore[attr-defined]
    assert (compiled.get_property("NUM_STREAMS"), compiled.get_property("INFERENCE_NUM_THREADS")) == (2, 2)
    wanted = backend.features(images).f3
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: backend.features(images).f3, range(4)):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("precision", "flags", "capabilities", "wanted"),
    [
        ("f32", set(), ("FP32",), True),
        ("bf16", {"avx512_bf16"}, ("BF16", "FP32"), True),
        ("bf16", {"amx_bf16"}, ("BF16", "FP32"), True),
        ("bf16", {"avx512f", "avx512_vnni"}, ("BF16", "FP32"), False),
        ("bf16", {"avx512_bf16"}, ("FP32",), False),
        ("f16", {"avx512_fp16"}, ("FP16", "FP32"), True),
        ("f16", set(), ("FP16", "FP32"), False),
    ],
)
def test_a_processor_computes_in_what_it_has_instructions_for(
    precision: Precision, flags: set[str], capabilities: tuple[str, ...], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_processor_flags", lambda: frozenset(flags))
    assert DeviceInfo("CPU", "a processor", capabilities).computes(precision) is wanted
    own = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}[precision] in capabilities
    assert DeviceInfo("GPU.0", "a GPU", capabilities).computes(precision) is own


def without_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "registers", property(lambda self: False))


def test_an_emulated_precision_is_refused_unless_it_is_forced(
    opened: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_transforms(monkeypatch)
    monkeypatch.setattr(library, "_processor_flags", frozenset)
    for target in ("openvino", "openvino:AUTO"):
        with pytest.raises(DeviceError, match="has no bf16 arithmetic; emulated") as caught:
            opened(target, precision="bf16")
        assert caught.value.code == "emulated"
        assert caught.value.remedy == "use --precision f32, or --force to use it anyway"
    if "BF16" in devices(load_core(), "CPU")[0].capabilities:
        assert opened(precision="bf16", force=True).precision == "bf16"


def test_a_precision_that_openvino_replaces_by_another_is_refused_even_if_it_is_forced(
    opened: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_transforms(monkeypatch)
    if devices(load_core(), "CPU")[0].computes("f16"):
        pytest.skip("this processor computes in f16")
    for target in ("openvino", "openvino:AUTO"):
        with pytest.raises(DeviceError, match=r"computes in (bf16|f32), not in f16; choose another --precision"):
            opened(target, precision="f16", force=True)


def test_predicted_transforms_are_computed_in_f32_only(opened: Callable[..., Backend], exported: Artifact) -> None:
    with pytest.raises(DeviceError, match="predicts transforms, which need float32; precision is bf16"):
        opened(given=exported, precision="bf16", force=True)


def test_another_device_takes_no_precision(artifact: Artifact) -> None:
    with pytest.raises(DeviceError, match="precision is 'bf16', and cpu takes f32 only"):
        open_backend(artifact, "cpu", precision="bf16")


@pytest.mark.data
def test_bf16_passes_the_self_test_at_its_own_tolerance_and_not_at_that_of_f32(imagenet_artifact: Path) -> None:
    if not devices(load_core(), "CPU")[0].computes("bf16"):
        pytest.skip("this processor does not compute in bf16")
    artifact = Artifact.open(imagenet_artifact)
    backend = open_backend(artifact, "openvino", 1, precision="bf16")
    checks = self_test(artifact, backend)
    backend.close()
    assert {check.output for check in checks if check.max_rel > 1e-3} >= {"f1", "f2", "f3"}
    assert all(check.tolerance == PRECISIONS["bf16"].get(check.output, check.tolerance) for check in checks)


@pytest.mark.parametrize("target", ["GPU", "NPU"])
def test_a_device_that_is_not_there_is_one_line(target: str, opened: Callable[..., Backend]) -> None:
    if target in "".join(load_core().available_devices):
        pytest.skip(f"this machine has an Intel {target}")
    with pytest.raises(DeviceError) as caught:
        opened(f"openvino:{target}")
    assert str(caught.value).startswith(f"OpenVINO finds no {target} here; it has CPU; install Intel's driver for it")
    assert caught.value.code == "absent"


def test_without_openvino_the_error_names_what_to_install(
    opened: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeviceError, match=r"OpenVINO cannot be imported .*pip install 'regad\[openvino\]'") as caught:
        opened()
    assert caught.value.code == "missing"
    assert not library.openvino_available()
    assert "openvino" not in passed_over()


def test_auto_passes_over_openvino_and_says_so() -> None:
    assert "openvino" in passed_over()


def test_a_graph_that_openvino_cannot_read_is_an_artifact_error(artifact: Artifact) -> None:
    artifact.encoder_path.unlink()
    artifact.encoder_path.write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"encoder.onnx cannot be read by openvino \d+\.\d+"):
        open_backend(artifact, "openvino", 1)


def test_what_openvino_raises_at_work_is_one_line(
    opened: Callable[..., Backend], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError(
            "Exception from src/inference/src/cpp/infer_request.cpp:224:\n"
            "Check 'impl->size > 0' failed at src/plugins/intel_cpu/src/node.cpp:77:\n[CPU] cannot allocate 7 bytes\n\n"
        )

    backend = opened()
    monkeypatch.setattr(backend._workspaces, "take", fail)  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match=r"failed: \[CPU\] cannot allocate 7 bytes; close other programs") as caught:
        backend.encode(images[:1])
    assert caught.value.code == "memory"
