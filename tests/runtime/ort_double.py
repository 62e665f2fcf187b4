"""A stand-in for ONNX Runtime's GPU build that records what is moved and opened, and computes on the CPU."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class FakeBinding:
    """Binds on the host what is asked for on the device, and notes where it was asked for."""

    def __init__(self, moves: list[str], binding: Any) -> None:
        self.moves = moves
        self.binding = binding

    def bind_cpu_input(self, name: str, value: Any) -> None:
        self.moves.append(f"up {name}")
        self.binding.bind_cpu_input(name, value)

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.moves.append(f"stay {name}")
        self.binding.bind_ortvalue_input(name, value)

    def bind_input(self, name: str, device: str, number: int, dtype: Any, shape: Any, address: int) -> None:
        assert device == "cuda"
        self.moves.append(f"stay {name}")
        self.binding.bind_input(name, "cpu", number, dtype, shape, address)

    def bind_output(self, name: str, device: str) -> None:
        self.moves.append(f"{'down' if device == 'cpu' else 'stay'} {name}")
        self.binding.bind_output(name, "cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.binding, name)


class FakeOrt(types.ModuleType):
    """``onnxruntime`` with GPU providers, which compute on the CPU. ``starts`` says whether they can be started.

    ``kernels`` says whether they have any: without them ONNX Runtime leaves every node to the CPU, and names them all
    the same.
    """

    def __init__(self, starts: bool = True, kernels: bool = True) -> None:
        super().__init__("onnxruntime")
        self.__version__ = onnxruntime.__version__
        self.SessionOptions = onnxruntime.SessionOptions
        self.moves: list[str] = []
        self.kept_from_falling_back = 0
        self.opened: list[tuple[str, str, dict[str, str]]] = []
        self.runs: list[int] = []
        """Which of the opened sessions ran, by its place in ``opened``."""
        self.OrtValue = self
        double = self

        class Session:
            def __init__(
                self, path: str, options: Any, providers: list[tuple[str, dict[str, str]]], enable_fallback: int
            ) -> None:
                ((self.provider, given),) = providers
                assert not enable_fallback
                self.place = len(double.opened)
                double.opened.append((Path(path).name, self.provider, given))
                options.intra_op_num_threads = options.intra_op_num_threads or 1
                self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

            def disable_fallback(self) -> None:
                double.kept_from_falling_back += 1

            def get_providers(self) -> list[str]:
                return [self.provider, "CPUExecutionProvider"] if starts else ["CPUExecutionProvider"]

            def get_provider_graph_assignment_info(self) -> list[types.SimpleNamespace]:
                holders = [*([self.provider] if kernels else []), "CPUExecutionProvider"]
                return [types.SimpleNamespace(ep_name=holder) for holder in holders]

            def io_binding(self) -> FakeBinding:
                return FakeBinding(double.moves, self.session.io_binding())

            def run_with_iobinding(self, binding: FakeBinding) -> None:
                double.runs.append(self.place)
                self.session.run_with_iobinding(binding.binding)

            def run(self, names: Any, inputs: Any) -> Any:
                return self.session.run(names, inputs)

        self.InferenceSession = Session

    def get_available_providers(self) -> list[str]:
        return PROVIDERS

    def ortvalue_from_numpy(self, value: np.ndarray, device: str, number: int) -> Any:
        assert (device, number) == ("cuda", 0)
        self.moves.append("upload")
        return onnxruntime.OrtValue.ortvalue_from_numpy(value, "cpu", 0)
