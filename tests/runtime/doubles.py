"""Stand-ins for TensorRT and the CUDA runtime that record every call and compute with ONNX Runtime on host memory.

An engine's "plan" is the ONNX file itself, so what the TensorRT backend computes through them can be compared with the
ONNX Runtime backend, number by number. Freed memory is overwritten: reading it again does not go unnoticed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import hashlib
import types
from typing import Any

import numpy as np
import onnxruntime

from regad.runtime.backends.tensorrt.engines import EngineKey, EngineRecord, write_engine
from regad.runtime.formats.artifact import Artifact

NAME = "Double"
GPU = (8, 7)
MAX_BATCH = 2


class Status(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815


class FakeCuda(types.ModuleType):
    """``cuda.bindings.runtime`` on host memory. ``memory`` is what the card has left."""

    def __init__(self, memory: int = 1 << 34, devices: int = 1) -> None:
        super().__init__("cuda.bindings.runtime")
        self.memory = memory
        self.devices = devices
        self.blocks: dict[int, Any] = {}
        self.calls: list[str] = []
        self.destroyed: list[str] = []
        self.capturing: list[Any] | None = None
        self.cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
        self.cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def _allocate(self, size: int) -> tuple[Any, ...]:
        if size > self.memory:
            return Status.cudaErrorMemoryAllocation, None
        self.memory -= size
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return Status.cudaSuccess, ctypes.addressof(block)

    def _free(self, pointer: int) -> tuple[Any, ...]:
        block = self.blocks.pop(pointer)
        self.memory += len(block)
        ctypes.memset(block, 0xFF, len(block))
        return (Status.cudaSuccess,)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:  # noqa: N802
        if not self.devices:
            return Status.cudaErrorNoDevice, None
        return Status.cudaSuccess, self.devices

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:  # noqa: N802
        return Status.cudaSuccess, types.SimpleNamespace(name=NAME.encode() + b"\0\0", major=GPU[0], minor=GPU[1])

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:  # noqa: N802
        self.calls.append("malloc")
        return self._allocate(size)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return self._allocate(size)

    def cudaFree(self, pointer: int) -> tuple[Any, ...]:  # noqa: N802
        return self._free(pointer)

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Any, ...]:  # noqa: N802
        self.calls.append("upload" if kind == 1 else "download")
        device = target if kind == 1 else source
        if size > len(self.blocks[device]):
            return (Status.cudaErrorInvalidValue,)
        ctypes.memmove(target, source, size)
        return (Status.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:  # noqa: N802
        self.capturing = []
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:  # noqa: N802
        recorded, self.capturing = self.capturing, None
        return Status.cudaSuccess, recorded

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return Status.cudaSuccess, list(graph)

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Any, ...]:  # noqa: N802
        self.calls.append("launch")
        for work in graph:
            work()
        return (Status.cudaSuccess,)

    def cudaStreamCreate(self) -> tuple[Any, ...]:  # noqa: N802
        return Status.cudaSuccess, 7

    def cudaEventCreate(self) -> tuple[Any, ...]:  # noqa: N802
        return Status.cudaSuccess, object()

    def cudaEventElapsedTime(self, start: Any, end: Any) -> tuple[Any, ...]:  # noqa: N802
        return Status.cudaSuccess, 1.5

    def _done(self, *args: Any) -> tuple[Any, ...]:
        return (Status.cudaSuccess,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:  # noqa: N802
        self.destroyed.append("stream")
        return (Status.cudaSuccess,)

    def cudaEventDestroy(self, event: Any) -> tuple[Any, ...]:  # noqa: N802
        self.destroyed.append("event")
        return (Status.cudaSuccess,)

    cudaSetDevice = cudaStreamSynchronize = cudaEventRecord = cudaGraphDestroy = cudaGraphExecDestroy = _done  # noqa: N815


class _Context:
    def __init__(self, trt: FakeTensorRT, session: onnxruntime.InferenceSession) -> None:
        self.trt = trt
        self.session = session
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return name in {value.name for value in self.session.get_inputs()}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.trt.cuda.capturing is not None:
            self.trt.cuda.capturing.append(self._compute)
            return True
        self.trt.cuda.calls.append("execute")
        return self._compute()

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        address, size = self.addresses[name], int(np.prod(shape)) * np.dtype(dtype).itemsize
        blocks = self.trt.cuda.blocks.items()
        start, block = next((start, block) for start, block in blocks if start <= address < start + len(block))
        offset = address - start
        assert offset % 256 == 0, f"{name} lies at {offset}, which TensorRT does not take"
        assert offset + size <= len(block), f"{name} reads beyond its memory"
        return np.frombuffer(block, dtype, int(np.prod(shape)), offset).reshape(shape)

    def _compute(self) -> bool:
        inputs = {
            value.name: self._array(value.name, self.shapes[value.name], _ORT[value.type])
            for value in self.session.get_inputs()
        }
        names = [value.name for value in self.session.get_outputs()]
        for name, output in zip(names, self.session.run(names, inputs), strict=True):
            self._array(name, output.shape, output.dtype)[:] = output
        return True


_ORT = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class _Engine:
    def __init__(self, trt: FakeTensorRT, plan: bytes) -> None:
        self.trt = trt
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(plan, options, providers=["CPUExecutionProvider"])
        self.tensors = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, number: int) -> str:
        return str(self.tensors[number].name)

    def get_tensor_dtype(self, name: str) -> str:
        return next(str(value.type) for value in self.tensors if value.name == name)

    def create_execution_context(self) -> _Context:
        return _Context(self.trt, self.session)


class FakeTensorRT(types.ModuleType):
    """``tensorrt`` as far as the backend touches it."""

    def __init__(self, cuda: FakeCuda, version: str = "10.3.0") -> None:
        super().__init__("tensorrt")
        self.cuda = cuda
        self.__version__ = version

        class Logger:
            class Severity(enum.Enum):
                INTERNAL_ERROR = 0
                ERROR = 1
                WARNING = 2

            def __init__(self) -> None:
                pass

        double = self

        class Runtime:
            def __init__(self, log: Any) -> None:
                self.log = log

            def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
                try:
                    return _Engine(double, plan)
                except Exception as error:
                    self.log.log(Logger.Severity.ERROR, f"not an engine of this library\n{type(error).__name__}")
                    return None

        self.ILogger = Logger
        self.Runtime = Runtime

    def nptype(self, dtype: str) -> Any:
        return _ORT[dtype]


def write_engines(artifact: Artifact, **changes: object) -> None:
    """Engines whose plans are the graphs themselves, for the doubles; ``changes`` are to the key."""
    batch = (1, 1, MAX_BATCH)
    ranks = {"x2": tuple((784, rank, 128) for rank in (2, 4, 6)), "x3": tuple((196, rank, 256) for rank in (2, 4, 6))}
    profiles: dict[str, Any] = {"encoder.onnx": {"image": tuple((count, 224, 224, 3) for count in batch)}}
    profiles |= {name: ranks for form, name in artifact.manifest["scorers"].items() if form.startswith("gram")}
    for graph, profile in profiles.items():
        plan = (artifact.path / graph).read_bytes()
        digest = artifact.manifest["files"][graph]["sha256"]
        key = dataclasses.replace(EngineKey(digest, "Double", "8.7", "tensorrt", "10.3.0"), **changes)  # type: ignore[arg-type]
        sha256 = hashlib.sha256(plan).hexdigest()
        write_engine(artifact, EngineRecord(graph, key, sha256, len(plan), batch, 2, profile, {}), plan)
