"""Limits on what a frame that shows the part looks like, on real parts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from regad.calib.limits import learn_limits
from regad.runtime.formats.limits import MEASURES, Limit
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.files import list_folder
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.presence import Measures, absence, measure
from regad.runtime.imaging.reading import read_image

PARTS = ("cookies", "fibre_layup", "magnetic_tile", "solar_mono", "solar_poly")


def inputs(folder: Path) -> list[np.ndarray]:
    return [preprocess(read_image(path), InputSpec()) for path in list_folder(folder).images]


def test_limits_lie_a_fixed_margin_beyond_what_was_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    taught = iter([Measures(80.0, 16.0, 5.0, 0.9), Measures(95.0, 24.0, 10.0, 0.75)])
    monkeypatch.setattr("regad.calib.limits.measure", lambda image: next(taught))
    limits = learn_limits([np.zeros((224, 224, 3), np.uint8)] * 2)
    assert tuple(limits) == MEASURES
    assert limits["brightness"] == Limit(5.0, 235.0, (80.0, 95.0))  # an eighth of the distance from white remains
    assert limits["contrast"] == Limit(2.0, None, (16.0, 24.0))
    assert limits["detail"] == Limit(1.0, 50.0, (5.0, 10.0))
    assert limits["structure"] == Limit(0.25, None, (0.75, 0.9))


def nothing(mean: float) -> dict[str, np.ndarray]:
    """Frames that show no part, uint8 [224, 224, 3]; ``mean`` is the part's own brightness."""
    rng = np.random.default_rng(0)
    plain = np.ones((224, 224, 1))
    noise = rng.normal(0, 1, (224, 224, 1))
    frames = {
        "black": 0 * plain,
        "white": 255 * plain,
        "grey": 128 * plain,
        "the part's own grey": mean * plain,
        "lens cap": 4 + 3 * noise,
        "dim noise": np.abs(3 * noise),
        "low noise": mean + 2 * noise,
        "noise": mean + 20 * noise,
        "strong noise": rng.uniform(0, 255, (224, 224, 3)),
    }
    return {name: np.clip(np.rint(frame + np.zeros(3)), 0, 255).astype(np.uint8) for name, frame in frames.items()}


@pytest.mark.parametrize("name", PARTS)
def test_no_real_image_breaks_the_limits_and_no_empty_frame_keeps_them(data_dir: Path, name: str) -> None:
    """The whole measurement, 25 categories and 20 support sets each, is in docs/results/frames.md."""
    good = inputs(data_dir / "parts" / name / "train" / "good")
    tests = [image for folder in sorted((data_dir / "parts" / name / "test").iterdir()) for image in inputs(folder)]
    for seed, shot in ((0, 2), (1, 2), (2, 4)):
        limits = learn_limits(random.Random(seed).sample(good, shot))
        assert [absence(measure(image), limits) for image in (*good, *tests)] == [""] * (len(good) + len(tests))
        mean = limits["brightness"].taught[0]
        kept = [what for what, frame in nothing(mean).items() if not absence(measure(frame), limits)]
        assert kept == []


def test_a_lens_far_out_of_focus_is_noticed(data_dir: Path) -> None:
    good = inputs(data_dir / "parts" / "cookies" / "train" / "good")[:5]
    limits = learn_limits(good[:4])
    blurred = np.asarray(Image.fromarray(good[4]).filter(ImageFilter.GaussianBlur(16)))
    assert absence(measure(blurred), limits).startswith("detail ")
