"""The table of an evaluation, and the file of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import InputError
from regad.train.evaluation import evaluate
from regad.train.evaluation.results import read_draws, result_table, summarise


def result(category: str, seed: int, auroc: float | None, **others: Any) -> evaluate.Evaluation:
    return evaluate.Evaluation(
        **{
            **dict.fromkeys(evaluate.Evaluation.__dataclass_fields__, None),
            **{"category": category, "shot": 4, "seed": seed, "support": (), "good": 3, "defective": 4, "masked": 0},
            **{"image_auroc": auroc, "threshold": 1.0, "false_reject": 0.25, "ms": 6.0, "scores": (), **others},
        }
    )


def test_the_table_has_a_mean_over_categories_and_dashes_for_nothing() -> None:
    lines = result_table([result("a", 0, 0.5), result("b", 0, 1.0)]).text().splitlines()
    rows = [line.split() for line in lines[next(n for n, line in enumerate(lines) if line.startswith("---")) + 1 :]]
    assert rows == [
        ["a", "4", "3/4", "50.0", "-", "-", "-", "-", "-", "25.0", "-", "6"],
        ["b", "4", "3/4", "100.0", "-", "-", "-", "-", "-", "25.0", "-", "6"],
        ["mean", "4", "6/8", "75.0", "-", "-", "-", "-", "-", "25.0", "-", "6"],
    ]


def test_the_spread_of_the_mean_is_over_rounds_not_over_categories() -> None:
    rounds = [result("a", 0, 0.5), result("a", 1, 0.7), result("b", 0, 1.0), result("b", 1, 0.8)]
    a, b, mean = summarise(rounds)
    assert a.values["image_auroc"] == (pytest.approx(0.6), pytest.approx(0.2 / 2**0.5))
    assert b.values["image_auroc"] == (pytest.approx(0.9), pytest.approx(0.2 / 2**0.5))
    assert mean.values["image_auroc"] == (pytest.approx(0.75), pytest.approx(0))
    assert mean.values["pixel_auroc"] is None


def test_the_layouts_of_a_table() -> None:
    table = result_table([result("a<b", 0, 0.5), result("b", 0, 1.0)], lambda s: [("Them", 91.2, None)])
    markdown = table.markdown().splitlines()
    assert markdown[1].startswith("| --- | ---: |")
    assert markdown[3].startswith("|   Them | 4 |  | 91.2 | - |")
    assert markdown[6].startswith("| **mean** | **4** | **6/8** | **75.0** |")
    page = table.html()
    assert "a&lt;b" in page
    assert page.count("<tr class='faint'>") == 3
    assert "<tr class='strong'><td>mean</td><td class=right>4</td>" in page
    marked = table.text(lambda line, kind: f"{kind}:{line}")
    assert "strong:mean" in marked
    assert "faint:  Them" in marked


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "is another kind of file"),
        ('{"format": "regad-evaluation", "version": 1}', "has version 1; this regad reads 2: evaluate again"),
        ('{"format": "regad-evaluation", "version": 2, "results": [{}]}', "incomplete or malformed"),
        ('{"format": "regad-evaluation", "version": 2, "results": []}', "holds no support set; evaluate again"),
    ],
)
def test_a_bad_result_file(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_draws(tmp_path / "r.json")
