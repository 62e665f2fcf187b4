"""docs/scale.md holds what its script computes, and the script's arithmetic is that of the graphs."""

from __future__ import annotations

import re
import sys
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


def test_the_encoders_operations_are_those_of_its_graph(artifact_dir: Path) -> None:
    """Convolutions of the exported encoder, counted from its shapes: all that is counted, and little else is there."""
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact_dir / "encoder.onnx"))
    shapes = {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in model.graph.value_info}
    weights = {one.name: list(one.dims) for one in model.graph.initializer}
    counted = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            made, given, high, wide = weights[node.input[1]]
            counted += 2 * made * given * high * wide * shapes[node.output[0]][2] * shapes[node.output[0]][3]
    assert counted / 1e9 >= scale.encoder_gflop() * 0.999
    assert counted / 1e9 <= scale.encoder_gflop() * 1.1


def test_the_prose_repeats_no_number_that_the_tables_contradict() -> None:
    page = PAGE.read_text()
    servers = [machine for machine in scale.MACHINES if machine.cores == 16]
    rates = {machine.name.split()[0]: scale.machine_rate(machine) for machine in servers}
    assert rates["L40S"] == rates["H100"] == pytest.approx(1400, rel=0.05), page.splitlines()[4]
    assert round(100 * scale.share_of_peak()) == 18
    assert scale.process_rate(scale.MACHINES[2]) > 50 * scale.RATE
