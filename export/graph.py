"""An ONNX graph under construction: operators and constants go in, the names of their results come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["Graph", "Operand"]

Operand = str | float | Sequence[int] | NDArray[Any]
"""The name of a value, or a constant: numbers are float32 scalars, lists of whole numbers int64."""


class Graph:
    """Calling it adds an operator and returns the name of its output; what was added before is not added again."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._known: dict[object, list[str]] = {}
        self._numbers: Counter[str] = Counter()

    def __call__(self, operator: str, *inputs: Operand, **attributes: Any) -> str:
        """Add an operator of one output."""
        (output,) = self._add(operator, inputs, attributes, 1)
        return output

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Split ``value`` along ``axis``; the sizes are an input, which means the same from opset 13 on."""
        return self._add("Split", (value, sizes), {"axis": axis}, len(sizes))

    def parameter(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant under a name of its own, never shared with an equal one."""
        self._initializers[name] = numpy_helper.from_array(value, name)
        return name

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Mapping[str, onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the graph as a model of opset 16. ``outputs`` are keyed by the values that get their names."""
        names = {value: info.name for value, info in outputs.items()}
        for node in self._nodes:
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]
        initializers = list(self._initializers.values())
        graph = helper.make_graph(self._nodes, name, inputs, list(outputs.values()), initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)

    def _add(self, operator: str, inputs: Sequence[Operand], attributes: dict[str, Any], outputs: int) -> list[str]:
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        key = (operator, *names, repr(sorted(attributes.items())), outputs)
        if key not in self._known:
            self._known[key] = [self._name(operator) for _ in range(outputs)]
            made = self._known[key]
            self._nodes.append(helper.make_node(operator, names, made, name=made[0], **attributes))
        return self._known[key]

    def _constant(self, value: float | Sequence[int] | NDArray[Any]) -> str:
        if not isinstance(value, np.ndarray):
            value = np.asarray(value, np.float32 if isinstance(value, (int, float)) else np.int64)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = [self.parameter(self._name("constant"), value)]
        return self._known[key][0]

    def _name(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind.lower()}_{self._numbers[kind]}"
