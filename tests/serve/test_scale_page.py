"""docs/scale.md holds what its script computes, and the script's arithmetic is that of the graphs."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import scale

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def test_the_page_holds_the_tables_of_its_script() -> None:
    page = PAGE.read_text()
    assert scale.page_with_tables(page) == page, "run: python tests/bench/scale.py --write docs/scale.md"
    assert set(re.findall(r"<!-- scale: (\w+) -->", page)) == {*scale.tables(), "end"}


def test_the_convolutions_that_are_counted_are_those_of_the_encoders_graph(artifact_dir: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact_dir / "encoder.onnx"))
    shapes = {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in model.graph.value_info}
    weights = {one.name: list(one.dims) for one in model.graph.initializer}
    found = Counter[tuple[int, int, int, int]]()
    for node in model.graph.node:
        if node.op_type == "Conv":
            made, given, high, _ = weights[node.input[1]]
            found[high, given, made, shapes[node.output[0]][2]] += 1
    assert Counter(scale.encoder_layers()) <= found, "the others are the transforms', which the default has none of"
    assert scale.encoder_gflop() == pytest.approx(2.805, abs=1e-3)


def test_the_prose_says_what_the_tables_say() -> None:
    page = " ".join(PAGE.read_text().split())
    machines = {machine.name.split()[0]: machine for machine in scale.MACHINES}
    assert scale.machine_rate(machines["L40S"]) == scale.machine_rate(machines["H100"])
    assert f"about {round(scale.machine_rate(machines['H100']), -1):.0f} frames of 1080p a second" in page
    assert f"reached {100 * scale.share_of_peak():.0f} % of its peaks" in page
    frame = scale.MEASURED["frame"].value
    assert f"{frame} ms, so {1000 / frame:.0f} frames a second" in page
    assert scale.process_rate(machines["L4"]) > 40 * scale.RATE, "up to about 40 cameras"
