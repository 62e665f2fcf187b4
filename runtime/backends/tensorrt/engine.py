"""An opened engine: its tensors checked, bound to memory, its work queued on a stream or replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import DeviceError
from ...formats.artifact import Artifact
from .cuda import Cuda, DeviceMemory, GraphCapture
from .engines import EngineRecord, read_plan
from .library import Library, logger

__all__ = ["Engine"]


class Engine:
    """An opened engine with its execution context, its tensors checked against what the artifact says."""

    def __init__(self, library: Library, artifact: Artifact, record: EngineRecord, wanted: Mapping[str, Any]) -> None:
        self._log = logger(library)
        self._runtime = library.module.Runtime(self._log)
        # A plan for later versions carries its own small runtime as code; its bytes are those that were built here.
        self._runtime.engine_host_code_allowed = record.key.portable
        self._engine = self._runtime.deserialize_cuda_engine(read_plan(artifact, record))
        again = f"build it again: regad-export --engine --artifact {artifact.path}"
        if self._engine is None:
            raise DeviceError(f"{library} cannot open the engine {record.stem} ({self._why()}); {again}")
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        found = {name: np.dtype(library.module.nptype(self._engine.get_tensor_dtype(name))) for name in names}
        if found != dict(wanted):
            told = ", ".join(f"{name} {dtype}" for name, dtype in sorted(found.items()))
            raise DeviceError(f"the engine {record.stem} has other tensors than {record.graph} ({told}); {again}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceError(
                f"{library} cannot run the engine {record.stem}: {self._why()}; free GPU memory or {again}"
            )
        self.record = record
        self._bound: object = None
        self._recording: GraphCapture | None = None

    def bind(self, name: str, memory: DeviceMemory, shape: tuple[int, ...] | None = None, offset: int = 0) -> None:
        """Read or write tensor ``name`` in ``memory``, from byte ``offset`` on; inputs give their shape."""
        fits = shape is None or self._context.set_input_shape(name, shape)
        if not (fits and self._context.set_tensor_address(name, memory.pointer + offset)):
            raise DeviceError(f"the engine {self.record.stem} does not take {name} {list(shape or ())}: {self._why()}")

    def run(self, key: object, bind: Callable[[], None], cuda: Cuda, stream: int, replay: bool) -> None:
        """Queue the work on the stream, with the tensors that ``bind`` binds; equal keys mean that they are bound.

        With ``replay`` the second run under a key is recorded as a CUDA graph, which the later ones replay: the first
        lets TensorRT settle its shapes. Another key drops the recording, which is tied to what was bound. A key refers
        to memory weakly, so that it keeps none: a dead reference equals no other.
        """
        if self._bound != key:
            self._bound, self._recording = None, None
            bind()
            self._execute(stream)
            self._bound = key
            return
        if not replay:
            self._execute(stream)
            return
        if self._recording is None:
            with cuda.capture(stream) as recording:
                self._execute(stream)
            self._recording = recording
        cuda.launch(self._recording.graph, stream)

    def _execute(self, stream: int) -> None:
        if not self._context.execute_async_v3(stream):
            raise DeviceError(f"the engine {self.record.stem} failed: {self._why()}")

    def _why(self) -> str:
        return self._log.errors[-1] if self._log.errors else "no reason given"
