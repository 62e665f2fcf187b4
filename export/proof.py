"""Proof of dtype for an ONNX graph: `count_onnx`. TensorRT networks are counted by `regad.export.network`."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import shape_inference

from .counts import Counts

__all__ = ["count_onnx"]

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
    return {kind: dict(by_dtype) for kind, by_dtype in counts.items()}
