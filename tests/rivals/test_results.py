"""What `make results` and `make rivals` write: the best of a row marked, nothing claimed that was not run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import RegadError
from regad.runtime.formats.category import SupportImage
from regad.train.evaluation.ablate import Ablation, ablation_json
from regad.train.evaluation.evaluate import Evaluation
from regad.train.evaluation.results import MEASURES

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import results as script  # noqa: E402
import side_by_side  # noqa: E402

IMAGE = MEASURES[0]


def round_of(category: str, shot: int, seed: int, auroc: float, **others: Any) -> Evaluation:
    return Evaluation(
        **{
            **dict.fromkeys(Evaluation.__dataclass_fields__, None),
            **{"category": category, "shot": shot, "seed": seed, "image_auroc": auroc, "scores": (), "held_out": ()},
            **{"support": (SupportImage(f"{category}{seed}.png", "0" * 64),), "good": 2, "defective": 3, **others},
        }
    )


def write(path: Path, rounds: list[Evaluation], **extra: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": "regad-evaluation", "version": 2, "results": [asdict(one) for one in rounds], **extra}
    path.write_text(json.dumps(content))
    return path


def grid(offset: float, categories: str = "ab", shots: tuple[int, ...] = (2, 4)) -> list[Evaluation]:
    return [round_of(c, k, s, 0.5 + 0.01 * s + offset) for c in categories for k in shots for s in (0, 1)]


def test_the_best_of_a_row_is_marked_whoever_it_is(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "a.json", grid(0.0)), write(tmp_path / "b.json", grid(0.1))
    methods = side_by_side.read_methods({"RegAD": [ours], "PatchCore": [theirs]})
    rows = side_by_side.measure_table(methods, IMAGE).rows
    assert rows[0] == ("a", "2", "50.5 ±0.7", "60.5 ±0.7 ★")
    assert [row[0] for row in rows] == ["a", "b", "mean", "a", "b", "mean"]
    difference = side_by_side.difference_table(methods).rows[0]
    assert difference[0] == "RegAD less PatchCore"
    assert difference[2] == "-10.0 [-10.0, -10.0], ahead in 0 of 2"
    assert difference[3] == "-"
    assert side_by_side.measure_table(methods, MEASURES[1]).rows == ()


def test_only_common_rounds_are_paired_and_a_missing_one_is_a_dash(tmp_path: Path) -> None:
    more, fewer = write(tmp_path / "a.json", grid(0.0)), write(tmp_path / "b.json", grid(0.1, "a", (4,)))
    methods = side_by_side.read_methods({"x": [more], "y": [fewer]})
    assert [row[:2] for row in side_by_side.difference_table(methods).rows] == [("x less y", "4")]
    rows = side_by_side.measure_table(methods, IMAGE).rows
    assert [row[3] for row in rows] == ["-", "-", "-", "60.5 ±0.7 ★", "-", "-"]


def test_methods_taught_other_images_are_not_compared(tmp_path: Path) -> None:
    ours = write(tmp_path / "a.json", grid(0.0))
    other = [round_of("a", 4, 0, 0.5, support=(SupportImage("z.png", "1" * 64),))]
    with pytest.raises(SystemExit, match=r"y was taught other images than x at \('a', 4, 0\)"):
        side_by_side.read_methods({"x": [ours], "y": [write(tmp_path / "c.json", other)]})


def test_ablations_of_several_files_come_together(tmp_path: Path) -> None:
    for name in "ab":
        whole = grid(0.0, name)
        less = [round_of(one.category, one.shot, one.seed, (one.image_auroc or 0) - 0.02) for one in whole]
        ablations = ablation_json([Ablation("STN off", list(zip(less, whole, strict=True)))])
        write(tmp_path / "held-out-register" / f"{name}.json", whole, ablations=ablations)
    write(tmp_path / script.GAINS / "a.json", grid(0.0, "a"))
    laid = script.tables(tmp_path)
    assert laid["ablated held-out-register"].splitlines()[2].startswith("| STN off | 2 | 4 | -2.00 [-2.00, -2.00] |")
    assert laid["ablated shots"].splitlines()[2].startswith("| k = 4 instead of 2 | 2 | 2 | +0.00 [+0.00, +0.00] |")
    assert "ablated views" not in laid


def test_the_page_says_what_was_not_run(tmp_path: Path) -> None:
    write(tmp_path / "out" / "frozen" / "a.json", grid(0.0, "a"))
    write(tmp_path / "out" / "rivals" / "a" / "patchcore.json", grid(0.1, "a"))
    script.write_page(tmp_path / "out", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "{{" not in text
    assert "*Not run: PaDiM.*" in text
    assert "60.5 ±0.7 ★" in text
    assert "frozen less PatchCore" in text


def test_every_placeholder_is_a_table_that_can_be(tmp_path: Path) -> None:
    known = {f"all {field}" for field in side_by_side.SHOWN} | {"frozen", *script.OURS, *script.RIVALS}
    known |= {f"{first} - {second}" for first, second in script.PAIRS} | {"commit", "cpu", "python"}
    known |= {f"ablated {name}" for name in ("held-out-register", "alignment", "views", "shots")}
    used = set(script.PLACEHOLDER.findall((HERE / "methods.in.md").read_text()))
    assert used <= known


def test_a_step_that_fails_stops_the_run() -> None:
    with pytest.raises(RegadError, match="ended with status 3"):
        script.call([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("name", ["regad-train", "regad-eval"])
def test_the_programs_that_it_starts_are_there(name: str) -> None:
    done = subprocess.run([script.program(name), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
