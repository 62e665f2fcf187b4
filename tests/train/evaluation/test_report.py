"""The charts and the pages: well-formed, self-contained, and true to the numbers."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from regad.train.evaluation import command as eval_cli
from regad.train.evaluation.charts import Curve, histogram, roc, theta_words, transforms

from ..helpers import draw, make_data, save_edge


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_a_roc_curve_runs_from_corner_to_corner() -> None:
    labels = np.array([False, False, True, True])
    curve = Curve("k = 2", np.array([1, 3, 2, 4], np.float32), 0.75)
    chart = parsed(roc(labels, [curve]))
    line = chart.find(".//polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert points[0] == (40, 230)
    assert points[-1] == (260, 10)
    # the highest is defective, then a good one, then a defective one: up half, right half, up half
    assert (40, 120) in points
    assert (150, 120) in points
    assert any("k = 2  75.0" in (text.text or "") for text in chart.iter("text"))
    assert "all of one class" in roc(np.array([True]), [curve])


def test_a_histogram_counts_every_image_and_marks_the_threshold() -> None:
    labels = np.array([False] * 3 + [True] * 2)
    chart = parsed(histogram(labels, np.array([1, 1, 1, 9, 9], np.float32), 4.5, bins=10))
    bars = {kind: [r for r in chart.iter("rect") if r.attrib["class"] == kind] for kind in ("good", "bad")}
    assert [len(bars[kind]) for kind in ("good", "bad")] == [1, 1]
    assert float(bars["good"][0].attrib["height"]) == pytest.approx(206)
    assert float(bars["bad"][0].attrib["height"]) == pytest.approx(206 * 2 / 3, abs=0.1)
    limit = next(line for line in chart.iter("line") if line.attrib["class"] == "limit")
    assert float(limit.attrib["x1"]) == pytest.approx(40 + 400 * 4.5 / (9 * 1.02), abs=0.1)


def test_transforms_show_where_the_frame_goes() -> None:
    theta = np.array([[[1, 0, 0.5], [0, 1, 0]]], np.float32)
    polygon = parsed(transforms(theta)).find(".//polygon")
    assert polygon is not None
    assert polygon.attrib["points"] == "-0.500,-1.000 1.500,-1.000 1.500,1.000 -0.500,1.000"
    a = np.radians(30)
    turn = np.array([[[2 * np.cos(a), -np.sin(a), 0], [2 * np.sin(a), np.cos(a), 0.1]]], np.float32)
    words = theta_words(turn)
    assert "rotation +30.00 ± 0.00°" in words
    assert "scale x 2.000" in words
    assert "shift y +0.100" in words


def test_the_pages_are_whole_and_fetch_nothing(tmp_path: Path) -> None:
    """Every category, with pictures, thetas and the published numbers where the name is one of theirs.

    The categories share pictures, which are encoded once.
    """
    root = make_data(tmp_path / "data", {"a": 2})
    for kind, seed in (("good", 50), ("good", 52), ("dent", 51), ("dent", 53)):
        draw(root / "a" / "test" / kind / f"{seed}.png", seed)
    draw(root / "a" / "ground_truth" / "dent" / "51_mask.png", 3)
    shutil.copytree(root / "a", root / "bottle")
    save_edge(tmp_path / "model.pt")
    page, text = tmp_path / "out" / "report.html", tmp_path / "out" / "report.md"
    ablate = ["--ablate", "composed", "--ablate", "views-shifts"]
    where = ["--html", str(page), "--markdown", str(text)]
    args = ["--ckpt", str(tmp_path / "model.pt"), "--data", str(root), "--shot", "2", "--rounds", "2", *ablate, *where]
    eval_cli.command.main(args, standalone_mode=False)
    content = page.read_text()
    assert not re.search(r"(src|href)=['\"]?(?!data:)", content.replace("src='data:", ""))
    assert "<script" not in content
    for piece in re.findall(r"<svg.*?</svg>", content):
        parsed(piece)
    assert content.count("<polyline") == 2
    assert content.count("<svg class='poses'") == 6
    assert content.count("class='item'") == 2 * 4
    assert "inverse composed to one warp" in content
    assert "RegAD (released code)" in content
    lines = text.read_text().splitlines()
    assert any(line.startswith("|   RegAD | 2 |  | 99.4 | 98.0 | - |") for line in lines)
    assert any(line.startswith("| views: no shifts | 2 | 4 | ") for line in lines)
    assert "95 % intervals" in text.read_text()
