"""Proof of dtype: how many convolutions and products a graph computes in which dtype, and whether that was asked for.

The counts come from the ONNX graph itself; `regad.export.engine` counts the parsed TensorRT network the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx
from onnx import shape_inference

from regad.runtime.errors import RegadError
from regad.runtime.spec import Dtype

__all__ = ["ENCODER_COUNTS", "Counts", "count_onnx", "describe", "require_counts"]

Counts = Mapping[str, Mapping[str, int]]
"""By kind of operation (``convolutions``, ``products``): how many are computed in each dtype."""

ENCODER_COUNTS: Mapping[Dtype, Counts] = {
    "fp32": {"convolutions": {"fp32": 21}, "products": {"fp32": 6}},
    "fp16": {"convolutions": {"fp16": 21}, "products": {"fp16": 3, "fp32": 3}},
    "int8": {"convolutions": {"int8": 15, "fp32": 6}, "products": {"fp32": 6}},
}
"""What an encoder of each dtype must show: 15 convolutions of the backbone, two and two products in each STN."""

_KINDS = {"Conv": "convolutions", "ConvTranspose": "convolutions", "Gemm": "products", "MatMul": "products"}
_DTYPES = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.DOUBLE: "fp64",
}


def count_onnx(model: onnx.ModelProto) -> Counts:
    """Count the convolutions and products of a graph by the dtype of their operands.

    An operation is int8 if both its operands come out of DequantizeLinear: that is what Q/DQ means to ONNX Runtime and
    TensorRT. Operands of two dtypes, or of an unknown one, are counted under a name that no request fits.
    """
    graph = shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    types |= {item.name: item.data_type for item in graph.initializer}
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    counts: dict[str, Counter[str]] = {}
    for node in graph.node:
        if node.op_type in _KINDS:
            operands = node.input[:2]
            found = {_DTYPES.get(types.get(name, 0), "unknown") for name in operands}
            dtype = "int8" if dequantized.issuperset(operands) else "+".join(sorted(found))
            counts.setdefault(_KINDS[node.op_type], Counter())[dtype] += 1
    return counts


def describe(counts: Counts) -> str:
    """Lay counts out in one line: ``21 convolutions fp16; 3 products fp16, 3 fp32``."""
    return "; ".join(
        f"{kind} " + ", ".join(f"{count} {dtype}" for dtype, count in sorted(by_dtype.items()))
        for kind, by_dtype in sorted(counts.items())
    )


def require_counts(found: Counts, wanted: Counts, where: str) -> None:
    """Raise RegadError unless ``found`` is ``wanted``: what was asked for is not what ``where`` computes."""
    if {kind: dict(by_dtype) for kind, by_dtype in found.items()} != wanted:
        raise RegadError(
            f"{where} is not of the dtype asked for: it has {describe(found) or 'no convolutions'}; expected "
            f"{describe(wanted)}; nothing was written: report it with the versions of constraints.txt"
        )
