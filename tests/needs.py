"""What tests need of the machine beside Python packages: whether it is there, and what is skipped without it.

The tests skip by this table, and pytest's header (`header`) prints it before the first of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

__all__ = ["CLANG", "DATA", "NATIVE", "NODESET", "absent", "header", "is_there", "needs", "require"]

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
NODESET = ROOT / ".deps" / "opcua" / "Opc.Ua.MachineVision.NodeSet2.xml"
CLANG = next((name for name in ("clang++-14", "clang++") if shutil.which(name)), "")
NATIVE, PEERS = "REGAD_NATIVE_TESTS", "REGAD_DESK_TESTS"
"""Environment variables: where one is ``required``, as in CI, a tool that is missing fails its tests."""


class Tool(NamedTuple):
    """Something to be installed: whether it is there, the tests that skip without it, and when they fail instead."""

    there: Callable[[], bool]
    tests: str
    required: str = PEERS


def _program(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) for name in names)


def _file(*places: Path | str) -> Callable[[], bool]:
    return lambda: any(Path(place).exists() for place in places)


_HEADER = "usr/include/onnxruntime/onnxruntime_c_api.h"
TOOLS = {
    "cmake": Tool(_program("cmake", "cc", "c++"), "the C and C++ library", NATIVE),
    "ONNX Runtime's C headers": Tool(
        _file(ROOT / ".deps" / "onnxruntime" / _HEADER, f"/{_HEADER}"), "the C and C++ library", NATIVE
    ),
    "nlohmann-json3-dev": Tool(_file("/usr/include/nlohmann/json.hpp"), "the C and C++ library", NATIVE),
    "clang": Tool(lambda: bool(CLANG), "its sanitizers and fuzzers", NATIVE),
    "valgrind": Tool(_program("valgrind"), "its C example under valgrind", NATIVE),
    "libopencv-dev": Tool(_file("/usr/include/opencv4"), "its OpenCV example", NATIVE),
    "mosquitto": Tool(_program("mosquitto"), "MQTT"),
    "chromium": Tool(_program("chromium"), "the station's page in a browser"),
    "docker-registry": Tool(_program("docker-registry"), "push and pull"),
    "mbpoll": Tool(_program("mbpoll"), "a second Modbus client"),
    "libaravis-0.8-0": Tool(lambda: find_library("aravis-0.8") is not None, "GenICam cameras"),
    "openssl": Tool(_program("openssl"), "the page over TLS"),
    "OPC UA NodeSet": Tool(NODESET.is_file, "OPC UA", required=""),
}
"""What ``make tools`` installs (packaging/test-tools.sh); the NodeSet only where there is npm."""

OTHERS = {
    "real images in ../shared/data": (DATA.is_dir, "real data"),
    "an NVIDIA GPU": (_file("/dev/nvidiactl", "/dev/nvgpu"), "CUDA"),
    "REGAD_TRITON_TESTS=required": (lambda: os.environ.get("REGAD_TRITON_TESTS") == "required", "a Triton server"),
    "REGAD_RAY_TESTS=required": (lambda: os.environ.get("REGAD_RAY_TESTS") == "required", "a Ray cluster"),
}
"""What no command of ours installs."""


@cache
def is_there(name: str) -> bool:
    """Whether the machine has this tool of `TOOLS`."""
    return TOOLS[name].there()


def absent(reason: str, variable: str = PEERS) -> NoReturn:
    """Skip the test for ``reason``; fail it where ``variable`` says that its tests are required."""
    if os.environ.get(variable) == "required":
        pytest.fail(f"{reason} ({variable}=required)", pytrace=False)
    pytest.skip(reason)


def _reason(name: str) -> str:
    return f"needs {name}: make tools"


def require(name: str) -> None:
    """Skip, or fail, the test that needs this tool where it is missing."""
    if not is_there(name):
        absent(_reason(name), TOOLS[name].required)


def needs(name: str) -> pytest.MarkDecorator:
    """Mark a module or a test that needs this tool. Where the tool is required the test runs, and fails without it."""
    required = os.environ.get(TOOLS[name].required) == "required"
    return pytest.mark.skipif(not required and not is_there(name), reason=_reason(name))


def header() -> list[str]:
    """What will be skipped on this machine, and the command that changes it; no line where nothing is."""
    lines = []
    missing = [f"{name} ({tool.tests})" for name, tool in TOOLS.items() if not is_there(name)]
    if missing:
        lines += [f"missing, and their tests are skipped: {', '.join(missing)}", "to run those tests too: make tools"]
    others = [f"{name} ({tests})" for name, (there, tests) in OTHERS.items() if not there()]
    if others:
        lines.append(f"also skipped, without: {', '.join(others)}")
    return lines
