from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.detector import Detector, Result, Timings
from regad.runtime.errors import InputError
from regad.runtime.spec import InputSpec
from regad.train import eval_cli, evaluate

from .helpers import draw, make_data

LIMIT = 0.5


class FakeDetector:
    """Calls every pixel as anomalous as it is bright, and an image as its brightest pixel."""

    artifact = SimpleNamespace(hash="abc")
    device = "cpu (fake)"

    def __init__(self) -> None:
        self.taught: list[tuple[str, int, int]] = []

    def __enter__(self) -> FakeDetector:
        return self

    def __exit__(self, *args: object) -> None: ...

    def predict(self, image: NDArray[np.uint8]) -> Result:
        heat = image[:, :, 0].astype(np.float32) / 255
        score = float(heat.max())
        times = Timings(1, 2, 3, 6)
        return Result(score, LIMIT, score > LIMIT, heat, np.zeros((3, 2, 3), np.float32), times, InputSpec())


def fake_teach(detector: FakeDetector, folder: Path, *, shot: int, seed: int) -> Any:
    detector.taught.append((folder.parent.parent.name, shot, seed))
    support = tuple(SimpleNamespace(name=f"{seed}-{index}.png") for index in range(shot))
    return SimpleNamespace(threshold=SimpleNamespace(value=LIMIT), support=support)


def paint(path: Path, value: int, bright: int = 0) -> None:
    """Write a 224 x 224 picture of ``value`` whose first ``bright`` rows are white."""
    image = np.full((224, 224), value, np.uint8)
    image[:bright] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Category a: 2 good (one above the limit), 2 defective with masks, 1 defective without, below the limit."""
    root = make_data(tmp_path / "data", {"a": 4, "b": 2})
    test, truth = root / "a" / "test", root / "a" / "ground_truth"
    paint(test / "good" / "0.png", 100)
    paint(test / "good" / "1.png", 200)
    for name in ("0", "1"):
        paint(test / "dent" / f"{name}.png", 10, bright=50)
        paint(truth / "dent" / f"{name}_mask.png", 0, bright=100)
    paint(test / "stain" / "0.png", 120)
    monkeypatch.setattr(evaluate, "teach_folder", fake_teach)
    return root


def test_measures(root: Path) -> None:
    detector = FakeDetector()
    counts: list[tuple[int, int]] = []
    got = evaluate.evaluate(detector, root, "a", 2, 7, lambda *c: counts.append(c))  # type: ignore[arg-type]
    assert detector.taught == [("a", 2, 7)]
    assert got.support == ("7-0.png", "7-1.png")
    assert (got.good, got.defective, got.masked) == (2, 3, 2)
    # scores: good 100 and 200; defective 255, 255, 120: 5 of 6 pairs in the right order
    assert got.image_auroc == pytest.approx(5 / 6)
    assert (got.false_reject, got.escape) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    # defect pixels: half white, half 10; good pixels: 100, 200, and 10 below the masks (124 rows of two images)
    below = 2 * 124 / (2 * 224 + 2 * 124)
    assert got.pixel_auroc == pytest.approx(0.5 + 0.5 * below / 2)
    assert got.ms == 6
    assert counts == [(n, 5) for n in range(1, 6)]


def test_one_class_gives_no_auroc() -> None:
    assert evaluate.auroc(np.zeros(3, np.bool_), np.zeros(3, np.float32)) is None
    assert evaluate.auroc(np.ones(3, np.bool_), np.zeros(3, np.float32)) is None
    assert evaluate.auroc(np.array([False, True]), np.array([0, 1], np.float32)) == 1


def test_without_masks_there_is_no_pixel_measure(root: Path) -> None:
    for mask in (root / "a" / "ground_truth" / "dent").iterdir():
        mask.unlink()
    got = evaluate.evaluate(FakeDetector(), root, "a", 2, 0)  # type: ignore[arg-type]
    assert (got.masked, got.pixel_auroc) == (0, None)
    assert got.image_auroc is not None


def test_masks_take_the_geometry_of_the_image(tmp_path: Path) -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[:, 100:] = 1
    Image.fromarray(mask).save(tmp_path / "m.png")
    got = evaluate.read_mask(tmp_path / "m.png", (100, 200, 3), InputSpec())
    assert got.shape == (224, 224)
    assert not got[:, :112].any()
    assert got[:, 112:].all()
    assert evaluate.read_mask(tmp_path / "m.png", (100, 200, 3), InputSpec(fit="letterbox")).sum() == 112 * 112


def test_a_mask_of_another_size_is_named(root: Path) -> None:
    draw(root / "a" / "ground_truth" / "dent" / "1_mask.png", 0)
    with pytest.raises(InputError, match=r"1_mask\.png is 48x40 pixels; its image is 224x224"):
        evaluate.evaluate(FakeDetector(), root, "a", 2, 0)  # type: ignore[arg-type]


def test_an_unknown_category_names_the_known(root: Path) -> None:
    with pytest.raises(InputError, match=r"category 'c' is not in .*; it holds a, b"):
        evaluate.evaluate(FakeDetector(), root, "c", 2, 0)  # type: ignore[arg-type]


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["regad-eval", *args])
    with pytest.raises(SystemExit) as stop:
        eval_cli.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    detector = FakeDetector()
    monkeypatch.setattr(Detector, "load", lambda model, device: detector)
    out = root.parent / "result.json"
    args = ["--model", "m", "--data", str(root), "--category", "a", "--shot", "2,3", "--rounds", "2", "--seed", "5"]
    assert run(monkeypatch, *args, "--json", str(out)) == 0
    assert detector.taught == [("a", 2, 5), ("a", 2, 6), ("a", 3, 5), ("a", 3, 6)]
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split()[:3] == ["category", "shot", "good/defective"]
    assert lines[2].split()[:5] == ["a", "2", "2/3", "0.833", "+-0.000"]
    assert len(lines) == 4
    content = json.loads(out.read_text())
    assert (content["format"], content["artifact"], len(content["results"])) == ("regad-evaluation", "abc", 4)
    assert content["results"][1]["support"] == ["6-0.png", "6-1.png"]


def test_the_table_has_a_mean_over_categories_and_dashes_for_nothing() -> None:
    def result(category: str, auroc: float) -> evaluate.Evaluation:
        return evaluate.Evaluation(category, 4, 0, (), 3, 4, 0, auroc, None, 1.0, 0.25, 0.5, 6.0)

    lines = eval_cli.table([result("a", 0.5), result("b", 1.0)]).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["a", "4", "3/4", "0.500", "-", "0.250", "0.500", "6.0"],
        ["b", "4", "3/4", "1.000", "-", "0.250", "0.500", "6.0"],
        ["mean", "4", "0.750", "-", "0.250", "0.500", "6.0"],
    ]


@pytest.mark.parametrize("shots", ["x", "1", "", "2,"])
def test_wrong_shots_are_wrong_usage(
    shots: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", "m", "--data", str(root), "--shot", shots) == 2
    assert "expected numbers of 2 or more" in capfd.readouterr().err


def test_a_model_that_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", str(root / "absent"), "--data", str(root)) == 1
    assert capfd.readouterr().err.startswith("error: ")
