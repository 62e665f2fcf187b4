"""Priors learnt from an evaluation: the formulas on made-up scores, and that no category has a say in its own."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib.threshold import set_threshold
from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import SCORINGS, Scoring
from regad.train.evaluation.evaluate import Evaluation
from regad.train.evaluation.prior import learn_priors, without_own
from regad.train.evaluation.prior_file import read_priors, write_priors

CATEGORIES = "abcde"
LABELS = {name: [False] * 60 + [True] * 20 for name in CATEGORIES}


def round_of(category: str, shot: int, seed: int, shift: float, spread: float) -> Evaluation:
    draw = np.random.default_rng([ord(category), shot, seed])
    good = np.exp(shift + spread * _standard(draw, 60))
    held_out = (1.0,) * shot
    fields: dict[str, Any] = dict.fromkeys(Evaluation.__dataclass_fields__)
    scores = (*good.tolist(), *(3.0 * np.ones(20)).tolist())
    return Evaluation(
        **{**fields, "category": category, "shot": shot, "seed": seed, "scores": scores, "held_out": held_out}
    )


def _standard(draw: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers of mean 0 and standard deviation 1, exactly."""
    values = draw.standard_normal(count)
    return np.asarray((values - values.mean()) / values.std(ddof=1))


def rounds(shifts: dict[str, float] | None = None) -> list[Evaluation]:
    shifts = shifts or dict(zip(CATEGORIES, (-0.2, -0.1, 0.0, 0.1, 0.4), strict=True))
    return [
        round_of(name, shot, seed, shift, 0.1) for name, shift in shifts.items() for shot in (2, 4) for seed in (0, 1)
    ]


def test_the_median_shift_its_deviation_and_the_spread_are_learnt_for_each_number_of_images() -> None:
    priors = learn_priors(rounds(), LABELS)
    assert sorted(priors.shots) == [2, 4]
    for prior in priors.shots.values():
        assert prior.delta == pytest.approx(0.0, abs=1e-9)
        assert prior.tau == pytest.approx(1.4826 * 0.1)
        assert prior.sigma == pytest.approx(0.1)
    assert priors.evidence == "5 kinds of parts, 20 support sets"


def test_a_category_with_many_support_sets_weighs_as_much_as_any_other() -> None:
    many = [replace(round_of("e", 2, 0, 0.4, 0.1), seed=seed) for seed in range(2, 50)]
    prior = learn_priors([*rounds(), *many], LABELS).at(2)
    assert prior.delta == pytest.approx(0.0, abs=1e-9)


def test_near_copies_among_the_support_images_are_no_evidence() -> None:
    copies = [replace(one, held_out=(1.0, 1.0, 1.0, 0.05)) if one.shot == 4 else one for one in rounds()]
    assert learn_priors(copies, LABELS).at(4) == learn_priors(rounds(), LABELS).at(4)


def test_no_category_has_a_say_in_the_threshold_that_it_is_judged_at() -> None:
    given = rounds()
    judged = without_own(given, LABELS)
    changed = [one if one.category != "a" else round_of("a", one.shot, one.seed, 2.0, 0.5) for one in given]
    again = without_own(changed, LABELS)
    for one, other in zip(judged, again, strict=True):
        assert (one.threshold == other.threshold) == (one.category == "a")
    first, others = judged[0], [one for one in given if one.category != "a"]
    expected = set_threshold((1.0, 1.0), "leave-one-out", 0.05, prior=learn_priors(others, LABELS).at(2)).value
    assert first.threshold == expected
    assert first.false_reject == np.mean(np.array(first.scores[:60]) > expected)
    assert first.escape == float(expected >= 3)


def test_too_few_kinds_of_parts_teach_nothing() -> None:
    with pytest.raises(InputError, match=r"2 categories with two good test images; a prior needs 3 or more"):
        learn_priors([one for one in rounds() if one.category in "ab"], LABELS)


def test_the_file_names_its_scoring_and_reads_back(tmp_path: Path) -> None:
    priors = learn_priors(rounds(), LABELS)
    write_priors(tmp_path / "prior.json", priors, Scoring())
    content = json.loads((tmp_path / "prior.json").read_text())
    assert (content["format"], content["version"]) == ("regad-prior", 1)
    assert Scoring.from_json(content["scoring"]) == Scoring()
    read = read_priors(tmp_path / "prior.json", Scoring())
    assert read.evidence == priors.evidence
    assert all(math.isclose(vars(read.at(2))[key], vars(priors.at(2))[key]) for key in vars(priors.at(2)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "regad-results"}, "it is regad-results 1, not regad-prior 1"),
        ({"version": 2}, "it is regad-prior 2, not regad-prior 1"),
        ({"shots": {}}, "priors are for"),
        ({"shots": {"2": {"delta": 0.0}}}, "prior is incomplete or malformed"),
        ({"scoring": SCORINGS["edge"].to_json()}, "scores of another kind than this export's --scoring"),
        ({"scoring": {}}, "scoring is incomplete"),
    ],
)
def test_a_prior_file_that_does_not_serve_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "prior.json"
    write_priors(path, learn_priors(rounds(), LABELS), Scoring())
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=words) as caught:
        read_priors(path, Scoring())
    assert "regad-eval --model ARTIFACT --data DIR --learn-prior FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prior_file_that_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_priors(tmp_path, Scoring())
    (tmp_path / "prior.json").write_text("[1, 2")
    with pytest.raises(InputError, match="is not a prior file"):
        read_priors(tmp_path / "prior.json", Scoring())
