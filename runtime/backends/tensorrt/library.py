"""TensorRT's three packages behind one table: ``tensorrt`` 10.x and 11.x, and ``tensorrt_rtx``.

Their Python interfaces are the same where this project touches them; what differs stands in `FLAVORS`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import DeviceError
from ...text import reason_of

__all__ = ["FLAVORS", "MODULES", "Flavor", "Library", "load_tensorrt", "logger", "tensorrt_available"]


@dataclass(frozen=True)
class Flavor:
    """What one line of TensorRT does differently.

    ``typed_flag``: a network takes its dtypes from the ONNX file only if asked to; else it always does.
    ``timing_cache``: measured kernel times can be kept between builds. ``cross_build``: engines can be built for a
    named compute capability, on a machine without a GPU. ``install``: the command that installs it.
    """

    typed_flag: bool
    timing_cache: bool
    cross_build: bool
    install: str


MODULES = ("tensorrt", "tensorrt_rtx")
"""In the order in which they are looked for."""

FLAVORS: Mapping[tuple[str, int], Flavor] = {
    ("tensorrt", 10): Flavor(typed_flag=True, timing_cache=True, cross_build=False, install="pip install tensorrt"),
    ("tensorrt", 11): Flavor(typed_flag=False, timing_cache=True, cross_build=False, install="pip install tensorrt"),
    ("tensorrt_rtx", 1): Flavor(
        typed_flag=False, timing_cache=False, cross_build=True, install="pip install tensorrt-rtx-cu13"
    ),
}
"""By module and major version. A version that is not listed is refused: nobody knows what it silently does."""


@dataclass(frozen=True)
class Library:
    """An imported TensorRT: its ``module``, and the name and version that engines are tied to."""

    module: Any
    name: str
    version: str
    flavor: Flavor

    def __str__(self) -> str:
        """Like ``tensorrt 10.3.0``."""
        return f"{self.name} {self.version}"


def tensorrt_available() -> bool:
    """Whether one of `MODULES` is installed; nothing is imported."""
    return any(sys.modules.get(name) is not None or importlib.util.find_spec(name) is not None for name in MODULES)


def load_tensorrt(name: str | None = None) -> Library:
    """Import TensorRT: the module ``name``, or the first of `MODULES` that is there.

    Raises DeviceError, naming what to install, if there is none or its version is not in `FLAVORS`.
    """
    if name is not None and name not in MODULES:
        raise DeviceError(f"TensorRT module is {name!r}; expected one of {', '.join(MODULES)}")
    failures = []
    for candidate in MODULES if name is None else (name,):
        try:
            module = importlib.import_module(candidate)
        except (ImportError, OSError) as error:
            failures.append(f"{candidate}: {reason_of(error)}")
            continue
        version = str(module.__version__)
        flavor = FLAVORS.get((candidate, int(version.partition(".")[0])))
        if flavor is None:
            known = ", ".join(f"{known} {major}.x" for known, major in FLAVORS)
            raise DeviceError(f"{candidate} is {version}; this version of regad knows {known}: install one of those")
        return Library(module, candidate, version, flavor)
    raise DeviceError(
        f"TensorRT cannot be imported ({'; '.join(failures)}); install it on the target: pip install 'regad[tensorrt]' "
        "(on a Jetson it comes with JetPack: python3 -m venv --system-site-packages .venv)"
    )


def logger(library: Library) -> Any:
    """Return a TensorRT logger that keeps its errors in ``.errors`` instead of printing anything."""
    trt = library.module

    class Keep(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Keep()
