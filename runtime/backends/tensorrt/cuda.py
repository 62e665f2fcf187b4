"""CUDA memory, streams and events through NVIDIA's ``cuda-python``, every call checked."""

from __future__ import annotations

import ctypes
import importlib
import weakref
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DeviceError
from .engines import Gpu

__all__ = ["Cuda", "DeviceMemory", "GraphCapture", "HostMemory"]

_OUT_OF_MEMORY = 2
_STATUS = {_OUT_OF_MEMORY: "the GPU has no memory left: close other programs, teach fewer images or lower --max-batch"}


class DeviceMemory:
    """A block of GPU memory; freed with the last reference to it."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.size = size
        self.pointer: int = cuda.call("cudaMalloc", max(size, 1), doing=f"allocate {size / 1e6:.1f} MB")
        weakref.finalize(self, cuda.release, "cudaFree", self.pointer)


class HostMemory:
    """Page-locked host memory as a NumPy ``array`` of the given shape and dtype; freed with the last reference."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        size = int(np.prod(shape)) * dtype.itemsize
        self.pointer: int = cuda.call("cudaHostAlloc", size, 0, doing=f"lock {size / 1e6:.1f} MB of host memory")
        weakref.finalize(self, cuda.release, "cudaFreeHost", self.pointer)
        block = (ctypes.c_uint8 * size).from_address(self.pointer)
        self.array: NDArray[Any] = np.ctypeslib.as_array(block).view(dtype).reshape(shape)


class Cuda:
    """The CUDA runtime on the first GPU. Raises DeviceError if cuda-python, the driver or the GPU is missing."""

    def __init__(self) -> None:
        self._runtime = _load()
        count = self.call("cudaGetDeviceCount", doing="find a GPU")
        if count < 1:
            raise DeviceError("CUDA finds no GPU on this machine; use --device cpu")
        self.use()
        kind = self._runtime.cudaMemcpyKind
        self._to_device, self._to_host = kind.cudaMemcpyHostToDevice, kind.cudaMemcpyDeviceToHost

    def call(self, name: str, *args: Any, doing: str) -> Any:
        """Call a function of the runtime; returns what it gives besides its status. Raises DeviceError."""
        status, *results = getattr(self._runtime, name)(*args)
        if int(status) != 0:
            why = _STATUS.get(int(status)) or f"{getattr(status, 'name', status)}: check the driver with regad-doctor"
            raise DeviceError(f"CUDA cannot {doing}: {why}")
        return results[0] if results else None

    def use(self) -> None:
        """Let the calling thread's work go to this GPU."""
        self.call("cudaSetDevice", 0, doing="use the first GPU")

    def release(self, name: str, handle: Any) -> None:
        """Call a function that frees ``handle``; a failure at that point helps nobody and is passed over."""
        getattr(self._runtime, name)(handle)

    def gpu(self) -> Gpu:
        """Name and compute capability of the GPU."""
        properties = self.call("cudaGetDeviceProperties", 0, doing="ask the GPU's name")
        name = properties.name
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return Gpu(text.strip("\0 "), f"{properties.major}.{properties.minor}")

    def stream(self) -> int:
        """Return a new stream, as the integer that TensorRT takes."""
        return int(self.call("cudaStreamCreate", doing="create a stream"))

    def event(self) -> Any:
        """Return a new event."""
        return self.call("cudaEventCreate", doing="create an event")

    def record(self, event: Any, stream: int) -> None:
        """Let ``event`` happen when the stream has come this far."""
        self.call("cudaEventRecord", event, stream, doing="record an event")

    def milliseconds(self, start: Any, end: Any) -> float:
        """Time between two events that have happened."""
        return float(self.call("cudaEventElapsedTime", start, end, doing="read a time"))

    def upload(self, memory: DeviceMemory, values: NDArray[Any], stream: int) -> None:
        """Copy host values to the front of a block. ``values`` must live until the stream is synchronised."""
        args = (memory.pointer, values.ctypes.data, values.nbytes, self._to_device, stream)
        self.call("cudaMemcpyAsync", *args, doing="copy to the GPU")

    def download(self, values: NDArray[Any], memory: DeviceMemory, stream: int) -> None:
        """Copy the front of a block to the host; there once the stream is synchronised."""
        args = (values.ctypes.data, memory.pointer, values.nbytes, self._to_host, stream)
        self.call("cudaMemcpyAsync", *args, doing="copy from the GPU")

    def synchronize(self, stream: int) -> None:
        """Wait for everything on the stream."""
        self.call("cudaStreamSynchronize", stream, doing="finish its work")

    def capture(self, stream: int) -> GraphCapture:
        """Return a block inside which work on the stream is recorded as a CUDA graph instead of being run."""
        return GraphCapture(self, stream)

    def launch(self, graph: Any, stream: int) -> None:
        """Run a captured graph."""
        self.call("cudaGraphLaunch", graph, stream, doing="launch a CUDA graph")


class GraphCapture:
    """Records work on a stream; ``graph`` is what `Cuda.launch` takes, once the block has ended without an error."""

    def __init__(self, cuda: Cuda, stream: int) -> None:
        self._cuda = cuda
        self._stream = stream
        self.graph: Any = None

    def __enter__(self) -> GraphCapture:
        """Begin."""
        mode = self._cuda._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda.call("cudaStreamBeginCapture", self._stream, mode, doing="record a CUDA graph")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and make the recording ready to run."""
        recorded = self._cuda.call("cudaStreamEndCapture", self._stream, doing="record a CUDA graph")
        if kind is None:
            self.graph = self._cuda.call("cudaGraphInstantiate", recorded, 0, doing="prepare a CUDA graph")
            weakref.finalize(self, self._cuda.release, "cudaGraphExecDestroy", self.graph)
        self._cuda.release("cudaGraphDestroy", recorded)


def _load() -> Any:
    """The bindings' runtime module, under its name from 12.6 on or the one before."""
    try:
        try:
            return importlib.import_module("cuda.bindings.runtime")
        except ImportError:
            return importlib.import_module("cuda.cudart")
    except ImportError as error:
        raise DeviceError(
            f"cuda-python cannot be imported ({error}); install the one of your CUDA version, "
            "like: pip install 'cuda-python~=12.6' (JetPack 6) or pip install cuda-python"
        ) from error
