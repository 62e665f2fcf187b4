"""The scorer graphs: features and a category's statistics in, anomaly map and score out. They carry no weights.

They are written as text, one line an operator, after the equations of `regad.runtime.scoring.reference`, which is their
plain reference. Vectors lie in rows, [P, B, C], so that a batch reads the statistics once; ``up21`` takes cells of the
28 x 28 grid to the 56 x 56 one, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from regad.runtime.formats.encodings import ENCODINGS, Encoding, StatisticsDtype, stored_dtype
from regad.runtime.formats.spec import EPSILON, LEVELS
from regad.runtime.scoring.reference import smoothing_matrix, upsample

__all__ = ["scorer_text", "write_scorer"]

_DEVIATIONS = """
    from_mean1 = Sub(f1, mean1)  d1 = Transpose<perm=[1,0,2]>(from_mean1)
    from_mean2 = Sub(f2, mean2)  d2 = Transpose<perm=[1,0,2]>(from_mean2)
    from_mean3 = Sub(f3, mean3)  d3 = Transpose<perm=[1,0,2]>(from_mean3)
"""

_GRAM = """
    x1_t = Transpose<perm=[0,2,1]>(x1)  y1 = MatMul(d1, x1_t)
    x2_t = Transpose<perm=[0,2,1]>(x2)  y2 = MatMul(d2, x2_t)  y2_up = Gather<axis=0>(y2, up21)
    x3_t = Transpose<perm=[0,2,1]>(x3)  y3 = MatMul(d3, x3_t)  y3_up = Gather<axis=0>(y3, up31)
    y12 = Add(y1, y2_up)  y = Add(y12, y3_up)
    l_t = Transpose<perm=[0,2,1]>(l)  z = MatMul(y, l_t)
    d1_d1 = Mul(d1, d1)  n1 = ReduceSum<keepdims=0>(d1_d1, last)
    d2_d2 = Mul(d2, d2)  n2 = ReduceSum<keepdims=0>(d2_d2, last)  n2_up = Gather<axis=0>(n2, up21)
    d3_d3 = Mul(d3, d3)  n3 = ReduceSum<keepdims=0>(d3_d3, last)  n3_up = Gather<axis=0>(n3, up31)
    n12 = Add(n1, n2_up)  n = Add(n12, n3_up)
    z_z = Mul(z, z)  explained = ReduceSum<keepdims=0>(z_z, last)
    rest = Sub(n, explained)  squared = Div(rest, epsilon)
"""

_HYBRID = """
    x2_t = Transpose<perm=[0,2,1]>(x2)  y2 = MatMul(d2, x2_t)
    x3_t = Transpose<perm=[0,2,1]>(x3)  y3 = MatMul(d3, x3_t)  y3_up = Gather<axis=0>(y3, up32)
    y = Add(y2, y3_up)
    l_t = Transpose<perm=[0,2,1]>(l)  z = MatMul(y, l_t)
    d2_d2 = Mul(d2, d2)  n2 = ReduceSum<keepdims=0>(d2_d2, last)
    d3_d3 = Mul(d3, d3)  n3 = ReduceSum<keepdims=0>(d3_d3, last)  n3_up = Gather<axis=0>(n3, up32)
    n = Add(n2, n3_up)
    z_z = Mul(z, z)  explained = ReduceSum<keepdims=0>(z_z, last)
    rest = Sub(n, explained)  squared23 = Div(rest, epsilon)  coarse = Gather<axis=0>(squared23, up21)
    a = MatMul(z, l)  a_up = Gather<axis=0>(a, up21)  expected = MatMul(a_up, x1)
    surprise = Sub(d1, expected)  w1_t = Transpose<perm=[0,2,1]>(w1)  z1 = MatMul(surprise, w1_t)
    z1_z1 = Mul(z1, z1)  fine = ReduceSum<keepdims=0>(z1_z1, last)
    squared = Add(coarse, fine)
"""

_CHOLESKY = """
    w3_t = Transpose<perm=[0,2,1]>(w3)  z3 = MatMul(d3, w3_t)
    z3_z3 = Mul(z3, z3)  n3 = ReduceSum<keepdims=0>(z3_z3, last)  coarse = Gather<axis=0>(n3, up31)
    d3_up2 = Gather<axis=0>(d3, up32)
    w2_cross_t = Transpose<perm=[0,2,1]>(w2_cross)  from3 = MatMul(d3_up2, w2_cross_t)
    w2_t = Transpose<perm=[0,2,1]>(w2)  from2 = MatMul(d2, w2_t)  z2 = Add(from3, from2)
    z2_z2 = Mul(z2, z2)  n2 = ReduceSum<keepdims=0>(z2_z2, last)  middle = Gather<axis=0>(n2, up21)
    d32 = Concat<axis=2>(d3_up2, d2)  context = Gather<axis=0>(d32, up21)
    w1_cross_t = Transpose<perm=[0,2,1]>(w1_cross)  from32 = MatMul(context, w1_cross_t)
    w1_t = Transpose<perm=[0,2,1]>(w1)  from1 = MatMul(d1, w1_t)  z1 = Add(from32, from1)
    z1_z1 = Mul(z1, z1)  fine = ReduceSum<keepdims=0>(z1_z1, last)
    both = Add(coarse, middle)  squared = Add(both, fine)
"""

_MAP = """
    positive = Relu(squared)  distance = Sqrt(positive)
    by_image = Transpose<perm=[1,0]>(distance)  grid = Reshape(by_image, grid_shape)
    smooth_rows = MatMul(smooth, grid)  anomaly_map = MatMul(smooth_rows, smooth_t)
    one_channel = Unsqueeze(anomaly_map, channel)
    highest = GlobalMaxPool(one_channel)  anomaly_score = Reshape(highest, flat)
"""

_FORMS: Mapping[Encoding, str] = {"gram": _GRAM, "hybrid": _HYBRID, "cholesky": _CHOLESKY}


def _constants() -> dict[str, NDArray[Any]]:
    cells2, cells3 = (np.arange(level.positions, dtype=np.int64) for level in LEVELS[1:])
    return {
        "smooth": smoothing_matrix(),
        "smooth_t": np.ascontiguousarray(smoothing_matrix().T),
        "epsilon": np.asarray(EPSILON, np.float32),
        "up21": upsample(cells2, 2),
        "up31": upsample(cells3, 4),
        "up32": upsample(cells3, 2),
        "last": np.array([2]),
        "channel": np.array([1]),
        "flat": np.array([-1]),
        "grid_shape": np.array([-1, LEVELS[0].grid, LEVELS[0].grid]),
    }


def _inputs(encoding: Encoding, dtype: StatisticsDtype) -> list[str]:
    """Declarations of the features and of the statistics, x3 as [P, R, 256], packed triangles as dense [P, R, R]."""
    features = [f"float[batch,{level.positions},{level.channels}] {level.name}" for level in LEVELS]
    # Two ranks tell the dimensions that depend on it from those that do not.
    shapes, others = (ENCODINGS[encoding](rank) for rank in (2, 3))
    statistics = []
    for name, shape in shapes.items():
        dims = [str(size) if size == other else "rank" for size, other in zip(shape, others[name], strict=True)]
        if name == "x3_packed":
            dims = [dims[0], "rank", str(LEVELS[2].channels)]
        elif name.endswith("_packed"):
            side = "rank" if dims[1] == "rank" else str(round((2 * shape[1] + 0.25) ** 0.5 - 0.5))
            dims = [dims[0], side, side]
        kind = "float16" if stored_dtype(name, dtype) == np.float16 else "float"
        statistics.append(f"{kind}[{','.join(dims)}] {name.removesuffix('_packed')}")
    return features + statistics


def scorer_text(encoding: Encoding, dtype: StatisticsDtype = "fp32") -> str:
    """Return the graph in ONNX's textual syntax, without its constants and casts."""
    return (
        f'<ir_version: 8, opset_import: ["": 16]>\nregad_scorer_{encoding} ({", ".join(_inputs(encoding, dtype))})'
        f" => (float[batch,224,224] anomaly_map, float[batch] anomaly_score)\n"
        f"{{{_DEVIATIONS}{_FORMS[encoding]}{_MAP}}}"
    )


def _widen(graph: onnx.GraphProto) -> None:
    """Cast every float16 input to float32 before anything reads it, in place."""
    stored = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}
    for node in graph.node:
        renamed = [f"{name}_wide" if name in stored else name for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    for name in sorted(stored):
        graph.node.insert(0, helper.make_node("Cast", [name], [f"{name}_wide"], to=onnx.TensorProto.FLOAT))


def write_scorer(encoding: Encoding, dtype: StatisticsDtype = "fp32") -> onnx.ModelProto:
    """Return the scorer graph of one encoding of the statistics, at opset 16, the lowest it needs.

    Inputs: f1 [B, 3136, 64], f2 [B, 784, 128], f3 [B, 196, 256] and the tensors of
    `regad.runtime.scoring.reference.graph_tensors`; B and the rank are dynamic. Outputs: anomaly_map [B, 224, 224],
    anomaly_score [B]. All are float32 but statistics stored as ``dtype`` fp16, which are widened at once.
    """
    model = onnx.parser.parse_model(scorer_text(encoding, dtype))
    _widen(model.graph)
    used = {name for node in model.graph.node for name in node.input}
    for name, value in _constants().items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model
