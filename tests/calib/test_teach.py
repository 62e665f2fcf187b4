"""Teaching from few images, and what it does with a prior."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from regad.calib import teach as teaching
from regad.calib.teach import encode_views, teach
from regad.calib.threshold import default_rate
from regad.calib.views import VIEW_GROUPS
from regad.runtime.backends.table import open_backend
from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.prior import Prior, Priors
from regad.runtime.formats.spec import InputSpec
from regad.runtime.model import Model

PRIOR = Prior(-0.1, 0.09, 0.12)
FEW = ("rotations", "shifts")
"""Without these 6 of the 22 views are left: as good where it does not matter which."""


@pytest.fixture(scope="module")
def model(artifact_dir: Any) -> Model:
    """The artifact with a prior, as none is exported yet."""
    artifact = Artifact.open(artifact_dir)
    info = SimpleNamespace(
        hash=artifact.hash,
        spec=artifact.spec,
        scoring=artifact.scoring,
        statistics_dtype=artifact.statistics_dtype,
        prior=Priors({2: PRIOR}),
    )
    return Model(cast(Any, info), open_backend(artifact, "cpu", threads=1))


def part(seed: int, size: tuple[int, int] = (40, 60)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize(("shot", "prior"), [(1, None), (2, PRIOR)])
def test_of_one_image_no_score_is_held_out_so_the_prior_says_nothing(
    model: Model, shot: int, prior: Prior | None
) -> None:
    support, further = [part(seed) for seed in range(shot)], [part(8), part(9)]
    limit = teach(model, support, InputSpec(), validation=further, without=FEW).threshold
    assert (limit.prior, limit.target_frr) == (prior, default_rate(prior))


def test_every_image_is_preprocessed_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    real = teaching.preprocess

    def counted(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
        sizes.append(image.shape[:2])
        return real(image, spec)

    monkeypatch.setattr(teaching, "preprocess", counted)
    support, further = [part(0, (30, 40)), part(1, (50, 60))], [part(2, (70, 80))]
    teach(model, support, InputSpec(), validation=further, without=FEW)
    assert sizes == [(30, 40), (50, 60), (70, 80)]


def test_views_come_image_by_image(model: Model) -> None:
    inputs = [part(seed, (224, 224)) for seed in range(2)]
    told: list[tuple[int, int]] = []
    both = encode_views(model.backend, inputs, lambda *counts: told.append(counts), FEW)
    assert told == [(1, 2), (2, 2)]
    second = encode_views(model.backend, inputs[1:], without=FEW)
    for whole, level in zip(both, second, strict=True):
        assert len(whole) == 12
        np.testing.assert_allclose(whole[6:], level, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shot", [1, 2])
def test_a_single_view_is_nothing_to_fit_to(model: Model, shot: int) -> None:
    support = [part(seed) for seed in range(shot)]
    with pytest.raises(InputError, match=rf"1 view of each of {shot} support .* add photos of good parts"):
        teach(model, support, InputSpec(), threshold=1.0, without=VIEW_GROUPS, registration="off")


def test_views_may_be_left_out_of_three_photos(model: Model) -> None:
    made = teach(model, [part(seed) for seed in range(3)], InputSpec(), without=VIEW_GROUPS, registration="off")
    assert made.shot == 3
    assert made.threshold.value > 0
