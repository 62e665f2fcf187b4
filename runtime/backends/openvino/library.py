"""The one place where OpenVINO is imported, its devices are looked at, and its errors become a line."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import DeviceError
from ...text import reason_of
from ..base import Precision

__all__ = [
    "AUTO",
    "DeviceInfo",
    "devices",
    "gpu_available",
    "load_core",
    "load_openvino",
    "npu_available",
    "openvino_available",
    "reason",
]

AUTO = "AUTO"
"""OpenVINO's name for the device that it chooses itself."""
_TELEMETRY = "openvino_telemetry"
_CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
_INSTRUCTIONS = {"bf16": {"avx512_bf16", "amx_bf16", "bf16"}, "f16": {"avx512_fp16", "amx_fp16", "asimdhp"}}
"""What a processor computes them with, as /proc/cpuinfo has it on x86-64 and Arm.

Without these they are emulated, in more time than f32 takes.
"""
_NO_REASON = re.compile(r"Exception from \S+:\d+:?|Check '.*' failed at \S+:\d+:?")
_importing = threading.Lock()


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports every import to a host and writes an id into HOME.

    An application that has imported it before stays as it is. Raises DeviceError naming what to install.
    """
    with _importing:
        silenced = _TELEMETRY not in sys.modules
        if silenced:  # OpenVINO goes on without a module that it cannot import
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            import openvino
        except ImportError as error:
            raise DeviceError(
                f"OpenVINO cannot be imported ({reason_of(error)})",
                remedy="install it: pip install 'regad[openvino]'",
                code="missing",
            ) from error
        finally:
            if silenced:
                del sys.modules[_TELEMETRY]
    return openvino


def load_core() -> Any:
    """Return the process's one Core, which lives as long as the process. Raises DeviceError naming what to install.

    OpenVINO's processor plugin gives the thread that loads it a stack for signals, and unmaps it when the last Core and
    graph are gone: the next Ctrl-C would then end the process with a segmentation fault.
    """
    return _core_of(load_openvino())


@cache
def _core_of(openvino: Any) -> Any:
    return openvino.Core()


def openvino_available() -> bool:
    """Whether OpenVINO is installed; nothing is imported."""
    return sys.modules.get("openvino") is not None or importlib.util.find_spec("openvino") is not None


def gpu_available() -> bool:
    """Whether OpenVINO finds a GPU."""
    return _finds("GPU")


def npu_available() -> bool:
    """Whether OpenVINO finds an NPU."""
    return _finds("NPU")


def _finds(target: str) -> bool:
    if not openvino_available():
        return False
    try:
        return any(_is(name, target) for name in load_core().available_devices)
    except (DeviceError, RuntimeError):  # broken, as regad-doctor says; the other devices are not
        return False


def _is(name: str, target: str) -> bool:
    return name == target or name.startswith(f"{target}.")  # several GPUs are GPU.0, GPU.1


class DeviceInfo(NamedTuple):
    """A device that OpenVINO finds: its ``name`` there, its ``full_name``, and what it can do, in OpenVINO's words."""

    name: str
    full_name: str
    capabilities: tuple[str, ...]

    def computes(self, precision: Precision) -> bool:
        """Whether it computes in ``precision`` itself: it is no emulation, and no other one in its place."""
        if _CAPABILITY[precision] not in self.capabilities:
            return False
        needed = _INSTRUCTIONS.get(precision) if self.name == "CPU" else None
        return needed is None or not needed.isdisjoint(_processor_flags())


def devices(core: Any, target: str | None = None) -> list[DeviceInfo]:
    """Return what OpenVINO finds, or only what ``target`` names. Raises DeviceError where that is nothing."""
    names = [str(name) for name in core.available_devices]
    found = [
        DeviceInfo(
            name,
            str(core.get_property(name, "FULL_DEVICE_NAME")),
            tuple(sorted(core.get_property(name, "OPTIMIZATION_CAPABILITIES"))),
        )
        for name in names
        if target in (None, AUTO) or _is(name, str(target))
    ]
    if not found:
        raise DeviceError(
            f"OpenVINO finds no {target or 'device'} here; it has {', '.join(names) or 'no device'}",
            remedy="install Intel's driver for it (its user needs the group render), or use --device openvino:CPU",
            code="absent",
        )
    return found


def reason(error: Exception) -> str:
    """OpenVINO's words in one line, without its files, line numbers and conditions."""
    said = " ".join(_NO_REASON.sub(" ", str(error)).split())
    return reason_of(RuntimeError(said)) if said else reason_of(error)


@cache
def _processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
