"""Statistics of a few rows of coarse cells: each is fitted by itself, so a test fits those that it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from regad.calib import gaussian
from regad.calib.forms import Strip
from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import LEVELS, Levels

STRIPS = 14


def strips_of(cells: np.ndarray, grid: int = 56) -> np.ndarray:
    """The rows of coarse cells that ``cells`` of a grid lie in."""
    return np.unique(cells * STRIPS // grid**2)


def fit_only(monkeypatch: pytest.MonkeyPatch, cells: np.ndarray, grid: int = 56) -> np.ndarray:
    """Fit only the rows of coarse cells that ``cells`` lie in, each fitted by itself, and return all cells of these.

    What is not fitted is zeros. `test_encodings_agree_with_each_other_everywhere` fits every row.
    """
    wanted = strips_of(cells, grid)
    whole = gaussian._strips

    def some(features: Features, levels: Levels) -> Iterator[Strip]:
        return (strip for number, strip in enumerate(whole(features, levels)) if number in wanted)

    monkeypatch.setattr(gaussian, "_strips", some)
    monkeypatch.setattr(gaussian, "padded_empty", np.zeros)
    return np.flatnonzero(np.isin(np.arange(grid**2) * STRIPS // grid**2, wanted))


def drawn_features(views: int, seed: int = 0, strips: Iterable[int] = range(STRIPS)) -> Features:
    """Positive, correlated features like those after a ReLU, in these rows of coarse cells; zeros in the others."""
    rng = np.random.default_rng(seed)
    levels = []
    for level in LEVELS:
        values = np.zeros((views, level.positions, level.channels), np.float32)
        for strip in strips:
            rows = slice(strip * level.positions // STRIPS, (strip + 1) * level.positions // STRIPS)
            shape = (rows.stop - rows.start, level.channels)
            base = rng.standard_normal((1, *shape), np.float32)
            pose, basis = rng.standard_normal((views, 5), np.float32), rng.standard_normal((5, *shape), np.float32)
            noise = rng.standard_normal((views, *shape), np.float32)
            values[:, rows] = np.abs(base + np.float32(0.3) * np.tensordot(pose, basis, 1) + np.float32(0.2) * noise)
        levels.append(values)
    return Features(*levels, np.zeros((views, 3, 2, 3), np.float32))
