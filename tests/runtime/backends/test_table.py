"""The table of devices: a new backend is one module and one row, and everything that offers devices reads the table."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, get_args

import pytest

from regad.calib.cli import command as calib
from regad.runtime.backends import table
from regad.runtime.backends.base import Precision
from regad.runtime.backends.onnxruntime_cpu import OrtCpuBackend
from regad.runtime.backends.table import DEVICE_CHOICES, DEVICES, Device, find_device, open_backend, require_precision
from regad.runtime.commands import checks
from regad.runtime.commands.run import command as run
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.serve.batch.cli import command as batch
from regad.runtime.serve.triton.cli import command as triton
from regad.runtime.station.cli import command as station
from regad.train.evaluation.command import command as evaluate


def test_every_row_names_what_can_be_imported() -> None:
    for device in DEVICES:
        for place in filter(None, (device.opens, device.present)):
            assert callable(table._resolve(place)), place
        assert device.needs
        assert device.remedy.format(artifact="a", onnxruntime="b")
    assert [device.name for device in DEVICES if device.required] == ["cpu"]


def test_every_command_offers_the_same_devices_and_the_same_default() -> None:
    stations = (station.commands[name] for name in ("simulate", "import"))
    for command in (run, calib, evaluate, batch, triton, *stations):
        options = {option.name: option for option in command.params}
        for name, choices, default in (("device", DEVICE_CHOICES, "auto"), ("precision", get_args(Precision), "f32")):
            assert (tuple(options[name].type.choices), options[name].default) == (choices, default)  # type: ignore[attr-defined]


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "tensorrt", "ort-tensorrt"])
def test_a_device_that_takes_no_precision_is_known_before_it_is_opened(device: str) -> None:
    require_precision(device, "f32")
    with pytest.raises(DeviceError) as caught:
        require_precision(device, "bf16")
    assert caught.value.message == f"precision is 'bf16', and {device} takes f32 only"
    assert "--device openvino" in caught.value.remedy


def test_openvino_can_be_asked_for_every_precision() -> None:
    for device in (name for name in DEVICE_CHOICES if name.startswith("openvino")):
        for precision in get_args(Precision):
            require_precision(device, precision)


@pytest.mark.parametrize(("cuda", "wanted"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_the_first_that_is_there(monkeypatch: pytest.MonkeyPatch, cuda: bool, wanted: str) -> None:
    monkeypatch.setattr("regad.runtime.backends.onnxruntime_gpu.cuda_available", lambda: cuda)
    assert find_device("auto").name == wanted


def fake_module(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """A module regad.runtime.backends.npu with these functions."""
    module = types.ModuleType("regad.runtime.backends.npu")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_new_backend_is_one_module_and_one_row(monkeypatch: pytest.MonkeyPatch, small_artifact: Path) -> None:
    class Npu(OrtCpuBackend):
        device = "npu"

    opened: list[int | None] = []

    def open_npu(artifact: Artifact, threads: int | None = None) -> Npu:
        opened.append(threads)
        return Npu(artifact, threads)

    fake_module(monkeypatch, open_npu=open_npu, npu_available=lambda: True)
    row = Device(
        "npu", "npu:open_npu", needs="an NPU", remedy="plug it in", present="npu:npu_available", automatic=True
    )
    for place in (table, checks):
        monkeypatch.setattr(place, "DEVICES", (row, *DEVICES[1:2]))
    with Detector.load(small_artifact, "auto", threads=1) as detector:
        assert detector.device.startswith("npu (")
    said = [finding.text for finding in checks.check_artifact(small_artifact) if finding.topic == "self-test"]
    assert [text.partition(":")[0] for text in said] == ["passed on cpu", "passed on npu"]
    assert opened == [1, None]


def test_an_error_of_opening_says_what_the_device_needs(monkeypatch: pytest.MonkeyPatch, small_artifact: Path) -> None:
    def fail(artifact: Artifact, threads: int | None = None) -> None:
        raise DeviceError("no NPU answers", code="absent")

    fake_module(monkeypatch, fail=fail)
    monkeypatch.setattr(table, "DEVICES", (Device("npu", "npu:fail", needs="an NPU", remedy="plug it in"),))
    with pytest.raises(DeviceError) as caught:
        open_backend(Artifact.open(small_artifact), "npu")
    assert str(caught.value) == (
        "no NPU answers; the device needs an NPU; where they are missing, install them or use --device cpu"
    )
    assert caught.value.code == "absent"


def test_what_is_not_in_the_table_is_refused(small_artifact: Path) -> None:
    with pytest.raises(
        DeviceError, match="device is 'tpu'; expected one of auto, cuda, cpu, tensorrt, ort-tensorrt, openvino"
    ):
        open_backend(Artifact.open(small_artifact), "tpu")
    with pytest.raises(DeviceError, match="threads is 0; expected 1 or more"):
        open_backend(Artifact.open(small_artifact), "cpu", 0)
