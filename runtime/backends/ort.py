"""The one place where ONNX Runtime is imported, sessions are opened, and its errors become ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from ..kernels import usable_cores
from ..text import reason_of
from .base import Backend
from .failures import device_errors

__all__ = ["OrtTurns", "load_onnxruntime", "load_quantization", "open_session", "reason", "runs_nowhere"]


def load_onnxruntime() -> Any:
    """Import ONNX Runtime, without its telemetry: 1.29 and later look up a host and write a device's id into HOME.

    ``ORT_DISABLE_TELEMETRY`` is set in this process's environment unless it is there. Raises DeviceError naming what to
    install.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error})",
            remedy="install it: pip install 'regad[cpu]' (or 'regad[gpu]')",
            code="missing",
        ) from error
    return onnxruntime


def load_quantization() -> Any:
    """Import ONNX Runtime's quantizer. Raises DeviceError without ONNX Runtime, ImportError without onnx."""
    load_onnxruntime()
    from onnxruntime import quantization

    return quantization


def reason(error: Exception) -> str:
    """ONNX Runtime's words in one line; of CUDA's errors only what failed, without its functions, files and lines."""
    found = re.search(r"\bCU\w+ failure \d+: [^;\n]+", str(error))
    return found.group().strip() if found else reason_of(error)


def open_session(
    ort: Any, path: Path, provider: str, provider_options: Mapping[str, str], threads: int | None = None
) -> Any:
    """Open a graph on an execution provider, and on no other. Raises what ONNX Runtime raises; see `reason`.

    Where the provider cannot be started ONNX Runtime may go on on the CPU: the caller asks ``get_providers()``.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin after a run would keep the scorer's from the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `runs_nowhere`
    if threads is None and usable_cores() < (os.cpu_count() or 1):
        threads = usable_cores()  # it would count the cores that this process may not use, too
    if threads is not None:
        options.intra_op_num_threads = threads
    # Left to itself ONNX Runtime goes on on the CPU, when a session is made or later when a run fails.
    session = ort.InferenceSession(
        str(path), options, providers=[(provider, dict(provider_options))], enable_fallback=0
    )
    session.disable_fallback()  # its early versions do not know the argument
    return session


def runs_nowhere(session: Any, provider: str) -> bool:
    """Whether a session that was opened on ``provider`` has all its nodes elsewhere; False where it cannot tell.

    From ONNX Runtime 1.24 on it can.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return False
    holders = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    return bool(holders) and provider not in holders


class OrtTurns(Backend):
    """A backend that ONNX Runtime works for: what it raises within a turn becomes a DeviceError."""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with super()._turn(), device_errors(self.name, _is_onnxruntimes, reason):
            yield


def _is_onnxruntimes(error: Exception) -> bool:
    return isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
