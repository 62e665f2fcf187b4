"""Ablations: what the variants compute, and the arithmetic of paired differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from regad.calib.views import VIEW_GROUPS
from regad.runtime.errors import InputError
from regad.train.evaluation.ablate import (
    VARIANTS,
    Ablation,
    ablation_json,
    ablation_table,
    effect,
    effects,
    shots_ablations,
)
from regad.train.evaluation.backend_torch import FORWARDS
from regad.train.evaluation.evaluate import Evaluation
from regad.train.model.affine import inverse, warp
from regad.train.model.registration import RegistrationEncoder

from ..helpers import perturb


@pytest.fixture(scope="module")
def model() -> tuple[RegistrationEncoder, torch.Tensor]:
    torch.manual_seed(0)
    encoder = RegistrationEncoder("rotation_scale")
    perturb(encoder)
    return encoder.eval(), torch.rand(2, 3, 224, 224)


def test_the_variants_of_the_forward_pass(model: tuple[RegistrationEncoder, torch.Tensor]) -> None:
    encoder, images = model
    with torch.inference_mode():
        found = {name: forward(encoder, images) for name, forward in FORWARDS.items()}
        x1, x2, x3, thetas = encoder.register(images)
        i1, i2, _ = (inverse(theta) for theta in thetas)
        whole = encoder(images)
    for got, want in zip(found["as trained"][0], whole.aligned, strict=True):
        assert torch.equal(got, want)
    for got, want in zip(found["unaligned"][0], (x1, x2, x3), strict=True):
        assert torch.equal(got, want)
    composed = found["composed"][0]
    assert torch.equal(composed.f1, warp(x1, i1))
    middle = slice(8, 20)  # away from the border, where the chain reflects twice
    twice = warp(warp(x2, i2), i1)[:, :, middle, middle]
    once = composed.f2[:, :, middle, middle]
    assert not torch.equal(once, twice)
    assert (once - twice).abs().mean() < 0.2 * twice.std()


def test_without_the_stn_is_the_backbone(model: tuple[RegistrationEncoder, torch.Tensor]) -> None:
    encoder, images = model
    with torch.inference_mode():
        aligned, thetas = FORWARDS["without stn"](encoder, images)
        plain = encoder.layer2(encoder.layer1(encoder.stem(images)))
    assert torch.equal(aligned.f2, plain)
    assert all(torch.equal(theta, torch.eye(2, 3).expand(2, 2, 3)) for theta in thetas)


def test_with_identity_transforms_nothing_can_be_lost() -> None:
    torch.manual_seed(0)
    encoder, images = RegistrationEncoder().eval(), torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        found = [forward(encoder, images)[0] for forward in FORWARDS.values()]
    for aligned in found[1:]:
        for got, want in zip(aligned, found[0], strict=True):
            assert (got - want).abs().max() < 1e-4


def test_every_group_of_views_has_a_variant() -> None:
    assert {v.without[0] for v in VARIANTS.values() if v.without} == set(VIEW_GROUPS)
    assert {v.forward for v in VARIANTS.values() if v.forward} == set(FORWARDS) - {"as trained"}


def test_one_category_is_the_paired_t_test() -> None:
    values = [0.01, -0.02, 0.03, 0.015, 0.0]
    got = effect({"a": values})
    assert got is not None
    assert got.over_supports is not None
    want = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert got.over_supports == pytest.approx(want, abs=1e-9)
    assert (got.mean, got.pairs, got.over_categories) == (pytest.approx(np.mean(values)), 5, None)


def test_several_categories_are_a_stratified_mean() -> None:
    groups = {"a": [0.01, 0.03, 0.02], "b": [-0.2, 0.1, 0.0, 0.02]}
    got = effect(groups)
    assert got is not None and got.over_supports is not None and got.over_categories is not None
    parts = [np.var(v, ddof=1) / len(v) for v in groups.values()]
    means = [np.mean(v) for v in groups.values()]
    dof = math.floor(sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3))
    want = stats.t.interval(0.95, dof, np.mean(means), math.sqrt(sum(parts)) / 2)
    assert got.over_supports == pytest.approx(want, abs=1e-9)
    assert got.over_categories == pytest.approx(stats.t.interval(0.95, 1, np.mean(means), stats.sem(means)), abs=1e-9)
    assert got.pairs == 7


def test_too_little_evidence_gives_no_interval() -> None:
    got = effect({"a": [0.1], "b": [0.2, 0.3]})
    assert got is not None
    assert got.over_supports is None
    assert effect({}) is None
    same = effect({"a": [0.0, 0.0]})
    assert same is not None
    assert same.over_supports == (0.0, 0.0)


def result(category: str, shot: int, seed: int, auroc: float, **others: Any) -> Evaluation:
    return Evaluation(
        **{
            **dict.fromkeys(Evaluation.__dataclass_fields__, None),
            **{"category": category, "shot": shot, "seed": seed, "image_auroc": auroc, "scores": (1.0,), **others},
        }
    )


def test_pairs_share_category_and_support_set() -> None:
    whole = [result(c, 2, s, v) for c, s, v in (("a", 0, 0.8), ("a", 1, 0.9), ("b", 0, 0.5), ("b", 1, 0.6))]
    less = [result(c, 2, s, v) for c, s, v in (("a", 0, 0.7), ("a", 1, 0.8), ("b", 0, 0.5), ("b", 1, 0.6))]
    ablation = Ablation("less", list(zip(less, whole, strict=True)))
    found = effects(ablation, 2)["image_auroc"]
    assert found is not None
    assert (found.mean, found.pairs) == (pytest.approx(-0.05), 4)
    assert effects(ablation, 2)["aupro"] is None
    row = ablation_table([ablation]).rows[0]
    assert row[:3] == ("less", "2", "4")
    assert row[3].startswith("-5.00 [")
    assert row[4:6] == ("-", "-")
    data = ablation_json([ablation])[0]
    assert data["effects"]["2"]["image_auroc"]["pairs"] == 4
    assert data["results"][0]["scores"] == ()


def test_the_number_of_shots_is_paired_by_seed() -> None:
    whole = [result("a", k, s, 0.5 + 0.1 * k + 0.01 * s) for k in (2, 4, 8) for s in (0, 1)]
    first, second = shots_ablations(whole)
    assert (first.title, second.title) == ("k = 4 instead of 2", "k = 8 instead of 4")
    found = effects(second, 4)["image_auroc"]
    assert found is not None
    assert (found.mean, found.pairs) == (pytest.approx(0.4), 2)


def test_an_unknown_group_of_views_is_refused() -> None:
    from regad.calib.views import kept_views

    with pytest.raises(InputError, match="is no group of support views"):
        kept_views(("noise",))
