"""The scorer graphs: features and a category's statistics in, anomaly map and score out. They carry no weights.

They are written as text, one line an operator, after the equations of `regad.runtime.scoring.reference`, which is their
plain reference. Vectors lie in rows, [P, B, C], so that a batch reads the statistics once; ``up21`` takes cells of the
28 x 28 grid to the 56 x 56 one, and so on. One graph serves every scoring: what distances are multiplied by, and how
much the map's maximum and each of the ranked distances weigh in the score, are inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from regad.runtime.formats.encodings import ENCODINGS, Form, StatisticsDtype, packed_side, stored_dtype
from regad.runtime.formats.spec import EPSILON, Levels, used_levels
from regad.runtime.scoring.reference import smoothing_matrix, upsample

__all__ = ["scorer_text", "write_scorer"]


def _deviations(levels: Sequence[str]) -> str:
    return "".join(f"from_mean{n} = Sub(f{n}, mean{n})  d{n} = Transpose<perm=[1,0,2]>(from_mean{n})\n" for n in levels)


def _summed(name: str, levels: Sequence[str]) -> str:
    """Sum ``name`` of every level into ``name``, from fine to coarse, at the positions of the finest one."""
    finest, *coarser = levels
    text, total = "", f"{name}{finest}"
    for n in coarser:
        out = name if n == coarser[-1] else f"{total}{n}"
        text += f"{name}{n}_up = Gather<axis=0>({name}{n}, up{n}{finest})  {out} = Add({total}, {name}{n}_up)\n"
        total = out
    return text if coarser else f"{name} = Identity({total})\n"


def _gram(levels: Sequence[str]) -> str:
    products = "".join(f"x{n}_t = Transpose<perm=[0,2,1]>(x{n})  y{n} = MatMul(d{n}, x{n}_t)\n" for n in levels)
    lengths = "".join(f"d{n}_d{n} = Mul(d{n}, d{n})  n{n} = ReduceSum<keepdims=0>(d{n}_d{n}, last)\n" for n in levels)
    return f"""{products}{_summed("y", levels)}
    l_t = Transpose<perm=[0,2,1]>(l)  z = MatMul(y, l_t)
    {lengths}{_summed("n", levels)}
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


def _cholesky(levels: Sequence[str]) -> str:
    coarsest, *finer = reversed(levels)
    text = f"""w{coarsest}_t = Transpose<perm=[0,2,1]>(w{coarsest})  z{coarsest} = MatMul(d{coarsest}, w{coarsest}_t)
    z{coarsest}_z = Mul(z{coarsest}, z{coarsest})  total{coarsest} = ReduceSum<keepdims=0>(z{coarsest}_z, last)
"""
    given, before = f"d{coarsest}", coarsest
    for n in finer:
        text += f"""context{n} = Gather<axis=0>({given}, up{before}{n})
    coarser{n} = Gather<axis=0>(total{before}, up{before}{n})
    w{n}_cross_t = Transpose<perm=[0,2,1]>(w{n}_cross)  cross{n} = MatMul(context{n}, w{n}_cross_t)
    w{n}_t = Transpose<perm=[0,2,1]>(w{n})  own{n} = MatMul(d{n}, w{n}_t)  z{n} = Add(cross{n}, own{n})
    z{n}_z = Mul(z{n}, z{n})  fine{n} = ReduceSum<keepdims=0>(z{n}_z, last)  total{n} = Add(coarser{n}, fine{n})
"""
        if n != finer[-1]:
            text += f"given{n} = Concat<axis=2>(context{n}, d{n})\n"
        given, before = f"given{n}", n
    return f"{text}squared = Identity(total{before})\n"


_MAP = """
    positive = Relu(squared)  distance = Sqrt(positive)
    by_image = Transpose<perm=[1,0]>(distance)  grid = Reshape(by_image, grid_shape)
    shown = Mul(grid, map_factors)
    smooth_rows = MatMul(smooth, shown)  anomaly_map = MatMul(smooth_rows, smooth_t)
    one_channel = Unsqueeze(anomaly_map, first)
    highest_pixel = GlobalMaxPool(one_channel)  highest = Reshape(highest_pixel, column)
    scaled = Mul(grid, score_factors)  positions = Reshape(scaled, row)
    ranked, ranked_at = TopK<axis=1>(positions, every_position)
    candidates = Concat<axis=1>(highest, ranked)
    weighed = Mul(candidates, score_weights)  anomaly_score = ReduceSum<keepdims=0>(weighed, first)
"""


def _form_text(form: Form) -> str:
    levels = [name[1] for name in form.levels]
    forms = {"gram": lambda: _gram(levels), "hybrid": lambda: _HYBRID, "cholesky": lambda: _cholesky(levels)}
    return _deviations(levels) + forms[form.encoding]()


def _constants(levels: Levels) -> dict[str, NDArray[Any]]:
    used = used_levels(levels)
    grid = used[0].grid
    upsampling = {
        f"up{coarse.name[1]}{fine.name[1]}": upsample(
            np.arange(coarse.positions, dtype=np.int64), fine.grid // coarse.grid
        )
        for fine in used
        for coarse in used
        if coarse.grid < fine.grid
    }
    return {
        "smooth": smoothing_matrix(grid),
        "smooth_t": np.ascontiguousarray(smoothing_matrix(grid).T),
        "epsilon": np.asarray(EPSILON, np.float32),
        **upsampling,
        "first": np.array([1]),
        "last": np.array([2]),
        "column": np.array([-1, 1]),
        "row": np.array([-1, grid * grid]),
        "grid_shape": np.array([-1, grid, grid]),
        "every_position": np.array([grid * grid]),
    }


def _inputs(form: Form, dtype: StatisticsDtype) -> list[str]:
    """Declarations of features, statistics (x3 as [P, R, 256], packed triangles as dense [P, R, R]) and scoring."""
    used = used_levels(form.levels)
    features = [f"float[batch,{level.positions},{level.channels}] {level.name}" for level in used]
    # Two ranks tell the dimensions that depend on it from those that do not.
    shapes, others = (ENCODINGS[form.encoding](rank, form.levels) for rank in (2, 3))
    statistics = []
    for name, shape in shapes.items():
        dims = [str(size) if size == other else "rank" for size, other in zip(shape, others[name], strict=True)]
        if name == "x3_packed":
            dims = [dims[0], "rank", str(used[-1].channels)]
        elif name.endswith("_packed"):
            side = "rank" if dims[1] == "rank" else str(packed_side(shape[1]))
            dims = [dims[0], side, side]
        kind = "float16" if stored_dtype(name, dtype) == np.float16 else "float"
        statistics.append(f"{kind}[{','.join(dims)}] {name.removesuffix('_packed')}")
    grid, positions = used[0].grid, used[0].positions
    factors = [f"float[{grid},{grid}] {name}" for name in ("score_factors", "map_factors")]
    return [*features, *statistics, *factors, f"float[{1 + positions}] score_weights"]


def scorer_text(form: Form, dtype: StatisticsDtype = "fp32") -> str:
    """Return the graph in ONNX's textual syntax, without its constants and casts."""
    return (
        f'<ir_version: 8, opset_import: ["": 16]>\nregad_scorer_{form.name} ({", ".join(_inputs(form, dtype))})'
        f" => (float[batch,224,224] anomaly_map, float[batch] anomaly_score)\n"
        f"{{{_form_text(form)}{_MAP}}}"
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


def write_scorer(form: Form, dtype: StatisticsDtype = "fp32") -> onnx.ModelProto:
    """Return the scorer graph of one form of the statistics, at opset 16, the lowest it needs.

    Inputs: of f1 [B, 3136, 64], f2 [B, 784, 128] and f3 [B, 196, 256] the form's levels, and the tensors of
    `regad.runtime.scoring.reference.graph_tensors`; B and the rank are dynamic. Outputs: anomaly_map [B, 224, 224],
    anomaly_score [B]. All are float32 but statistics stored as ``dtype`` fp16, which are widened at once.
    """
    model = onnx.parser.parse_model(scorer_text(form, dtype))
    _widen(model.graph)
    used = {name for node in model.graph.node for name in node.input}
    for name, value in _constants(form.levels).items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model
