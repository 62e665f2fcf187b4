"""The scorer graphs: features and a category's statistics in, anomaly map and score out. They carry no weights.

They are written as text, one line an operator, after the equations of `regad.runtime.scoring.reference`, which is their
plain reference. Vectors lie in rows, [P, B, C], so that a batch reads the statistics once; ``up21`` takes cells of the
28 x 28 grid to the 56 x 56 one, and so on; what belongs to a Gaussian of one level has its number. One graph serves
every scoring of its groups: what distances are multiplied by, and how much the map's maximum and each of the ranked
distances weigh in the score, are inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Form,
    StatisticsDtype,
    packed_side,
    stored_dtype,
    triangle_of,
    views_of,
)
from regad.runtime.formats.spec import EPSILON, GRID, LEVELS, Levels, used_levels
from regad.runtime.scoring.reference import bilinear_matrix, smoothing_matrix, upsample

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
    return text


def _gram(levels: Sequence[str], own: str) -> str:
    products = "".join(f"x{n}_t = Transpose<perm=[0,2,1]>(x{n})  y{n} = MatMul(d{n}, x{n}_t)\n" for n in levels)
    lengths = "".join(f"d{n}_d{n} = Mul(d{n}, d{n})  n{n} = ReduceSum<keepdims=0>(d{n}_d{n}, last)\n" for n in levels)
    triangle = triangle_of(tuple(f"f{n}" for n in levels))
    y, n = ("y", "n") if len(levels) > 1 else (f"y{levels[0]}", f"n{levels[0]}")
    return f"""{products}{_summed("y", levels)}
    {triangle}_t = Transpose<perm=[0,2,1]>({triangle})  z{own} = MatMul({y}, {triangle}_t)
    {lengths}{_summed("n", levels)}
    z{own}_z = Mul(z{own}, z{own})  explained{own} = ReduceSum<keepdims=0>(z{own}_z, last)
    rest{own} = Sub({n}, explained{own})  squared{own} = Div(rest{own}, epsilon)
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


def _cholesky(levels: Sequence[str], own: str) -> str:
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
    return f"{text}squared{own} = Identity(total{before})\n"


_RAW_MAP = """
    positive = Relu(squared)  distance = Sqrt(positive)
    by_image = Transpose<perm=[1,0]>(distance)  grid = Reshape(by_image, grid_shape)
    smooth_rows = MatMul(smooth, grid)  anomaly_map = MatMul(smooth_rows, smooth_t)
    one_channel = Unsqueeze(anomaly_map, first)
    highest_pixel = GlobalMaxPool(one_channel)  highest = Reshape(highest_pixel, column)
    scaled = Mul(grid, score_factors)  positions = Reshape(scaled, row)
    ranked, ranked_at = TopK<axis=1>(positions, every_position)
    candidates = Concat<axis=1>(highest, ranked)
    weighed = Mul(candidates, score_weights)  anomaly_score = ReduceSum<keepdims=0>(weighed, first)
"""
_PRODUCT_MAP = """
    positive2 = Relu(squared2)  distance2 = Sqrt(positive2)
    positive3 = Relu(squared3)  distance3 = Sqrt(positive3)
    by_image2 = Transpose<perm=[1,0]>(distance2)  grid2 = Reshape(by_image2, finer_shape)
    by_image3 = Transpose<perm=[1,0]>(distance3)  grid3 = Reshape(by_image3, grid_shape)
    grown_rows = MatMul(grow, grid3)  grown = MatMul(grown_rows, grow_t)
    both = Mul(grid2, grown)  mean = Sqrt(both)  shown = Mul(mean, map_gain)
    smooth_rows = MatMul(smooth, shown)  anomaly_map = MatMul(smooth_rows, smooth_t)
    scaled = Mul(grid3, score_factors)  positions = Reshape(scaled, row)
    ranked, ranked_at = TopK<axis=1>(positions, every_position)
    weighed = Mul(ranked, score_weights)  anomaly_score = ReduceSum<keepdims=0>(weighed, first)
"""


def _group_text(encoding: Encoding, names: Levels) -> str:
    """From features and statistics to ``squared``, with the level's number where it is alone."""
    levels = [name[1] for name in names]
    own = levels[0] if len(levels) == 1 else ""
    if encoding == "hybrid":
        return _deviations(levels) + _HYBRID
    return _deviations(levels) + (_gram if encoding == "gram" else _cholesky)(levels, own)


def _form_text(form: Form) -> str:
    groups = "".join(map(_group_text, form.encodings, form.groups))
    return groups + (_RAW_MAP if len(form.groups) == 1 else _PRODUCT_MAP)


def _grid(form: Form) -> int:
    """Side of the grid that the score is taken from."""
    return used_levels(form.groups[-1])[0].grid


def _constants(form: Form) -> dict[str, NDArray[Any]]:
    """Every constant that a graph may use."""
    grid = _grid(form)
    smooth = smoothing_matrix("raw" if grid == GRID else "product")
    grow = bilinear_matrix(LEVELS[1].grid, LEVELS[2].grid).astype(np.float32)
    upsampling = {
        f"up{coarse.name[1]}{fine.name[1]}": upsample(
            np.arange(coarse.positions, dtype=np.int64), fine.grid // coarse.grid
        )
        for fine in LEVELS
        for coarse in LEVELS
        if coarse.grid < fine.grid
    }
    return {
        "smooth": smooth,
        "smooth_t": np.ascontiguousarray(smooth.T),
        "grow": grow,
        "grow_t": np.ascontiguousarray(grow.T),
        "epsilon": np.asarray(EPSILON, np.float32),
        **upsampling,
        "first": np.array([1]),
        "last": np.array([2]),
        "column": np.array([-1, 1]),
        "row": np.array([-1, grid * grid]),
        "grid_shape": np.array([-1, grid, grid]),
        "finer_shape": np.array([-1, LEVELS[1].grid, LEVELS[1].grid]),
        "every_position": np.array([grid * grid]),
    }


def _statistics_inputs(encoding: Encoding, levels: Levels, dtype: StatisticsDtype) -> list[str]:
    """Declarations of a group's tensors: the coarsest views as [P, R, C], packed triangles as dense [P, R, R]."""
    coarsest = used_levels(levels)[-1]
    # Two ranks tell the dimensions that depend on it from those that do not.
    shapes, others = (ENCODINGS[encoding](rank, levels) for rank in (2, 3))
    inputs = []
    for name, shape in shapes.items():
        dims = [str(size) if size == other else "rank" for size, other in zip(shape, others[name], strict=True)]
        if name == f"{views_of(levels)}_packed":
            dims = [dims[0], "rank", str(coarsest.channels)]
        elif name.endswith("_packed"):
            side = "rank" if dims[1] == "rank" else str(packed_side(shape[1]))
            dims = [dims[0], side, side]
        kind = "float16" if stored_dtype(name, dtype) == np.float16 else "float"
        inputs.append(f"{kind}[{','.join(dims)}] {name.removesuffix('_packed')}")
    return inputs


def _inputs(form: Form, dtype: StatisticsDtype) -> list[str]:
    """Declarations of features, statistics and scoring."""
    used = [level for levels in form.groups for level in used_levels(levels)]
    features = [f"float[batch,{level.positions},{level.channels}] {level.name}" for level in used]
    groups = zip(form.encodings, form.groups, strict=True)
    statistics = [text for encoding, levels in groups for text in _statistics_inputs(encoding, levels, dtype)]
    grid, alone = _grid(form), len(form.groups) == 1
    scoring = [f"float[{grid},{grid}] score_factors", f"float[{grid * grid + alone}] score_weights"]
    return [*features, *statistics, *scoring, *([] if alone else ["float[1] map_gain"])]


def scorer_text(form: Form, dtype: StatisticsDtype = "fp32") -> str:
    """Return the graph in ONNX's textual syntax, without its constants and casts."""
    return (
        f'<ir_version: 8, opset_import: ["": 16]>\nregad_scorer_{form.name} ({", ".join(_inputs(form, dtype))})'
        f" => (float[batch,224,224] anomaly_map, float[batch] anomaly_score)\n"
        f"{{{_form_text(form)}}}"
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
    for name, value in _constants(form).items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model
