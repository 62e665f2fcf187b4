"""The three exact encodings against the dense inverse, and leaving one out against fitting again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from regad.calib.gaussian import choose_encoding, dense_reference, fit_statistics, held_out_distances, helmert
from regad.runtime.errors import InputError
from regad.runtime.formats.encodings import ENCODINGS, Encoding, statistics_bytes
from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import Levels, used_levels
from regad.runtime.scoring.reference import Scorer, dense_tensors, distances_of, smoothing_matrix

from .strips import drawn_features, fit_only, strips_of

POSITIONS = np.array([0, 1, 57, 200, 1500, 1555, 3079, 3135])
"""In the first row of coarse cells, the last and one between: four, two and two."""
SEEN = strips_of(POSITIONS)


def part(features: Features, which: slice | np.ndarray) -> Features:
    return Features(*(level[which] for level in features))


@pytest.mark.parametrize(
    ("encoding", "views"),
    [("gram", 2), ("gram", 9), ("gram", 44), ("hybrid", 2), ("hybrid", 9), ("hybrid", 260), ("cholesky", 9)],
)
def test_every_encoding_equals_the_dense_inverse(
    monkeypatch: pytest.MonkeyPatch, encoding: Encoding, views: int
) -> None:
    positions = POSITIONS if views < 100 else POSITIONS[POSITIONS < 1500]  # one row of coarse cells takes seconds then
    fit_only(monkeypatch, positions)
    features = drawn_features(views + 2, strips=strips_of(positions))
    support, query = part(features, slice(2, None)), part(features, slice(0, 2))
    want = dense_reference(support, query, positions)
    got = distances_of(fit_statistics(support, encoding), query).reshape(2, -1)[:, positions]
    assert np.abs(got / want - 1).max() < 1e-5


@pytest.mark.parametrize("encoding", ["gram", "hybrid", "cholesky"])
def test_fp16_storage_changes_distances_by_little(monkeypatch: pytest.MonkeyPatch, encoding: Encoding) -> None:
    fitted = fit_only(monkeypatch, POSITIONS[:4])
    assert len(fitted) == 224
    features = drawn_features(11, strips=SEEN[:1])
    support, query = part(features, slice(2, None)), part(features, slice(0, 2))
    statistics = (fit_statistics(support, encoding, dtype) for dtype in ("fp32", "fp16"))
    exact, rounded = (distances_of(fit, query).reshape(2, -1)[:, fitted] for fit in statistics)
    change = np.abs(rounded / exact - 1)
    assert 0 < change.max() < 5e-3
    assert change.mean() < 5e-4


def test_encodings_agree_with_each_other_everywhere() -> None:
    features = drawn_features(5)
    support, query = part(features, slice(1, None)), part(features, slice(0, 1))
    maps = [Scorer(fit_statistics(support, encoding)).score(query)[0] for encoding in ENCODINGS]
    for other in maps[1:]:
        assert np.abs(other - maps[0]).max() < 1e-5 * maps[0].max()


def test_the_smallest_sensible_encoding_is_chosen() -> None:
    assert [choose_encoding(22 * k - 1) for k in (1, 2, 4, 8, 16)] == ["gram", "gram", "gram", "hybrid", "cholesky"]


@pytest.mark.parametrize(("shot", "limit"), [(2, 75e6), (4, 175e6), (8, 330e6)])
def test_statistics_stay_below_their_limits_and_half_of_them_in_fp16(shot: int, limit: float) -> None:
    rank = 22 * shot - 1
    assert statistics_bytes(choose_encoding(rank), rank) < limit
    assert statistics_bytes(choose_encoding(rank), rank, "fp16") < limit / 2


@pytest.mark.parametrize("views", [2, 16, 19, 44])
def test_the_views_are_rotated_until_x3_is_upper_trapezoidal(monkeypatch: pytest.MonkeyPatch, views: int) -> None:
    """What is left of them has every inner product of the centred views' channels, between the levels too."""
    fit_only(monkeypatch, POSITIONS)
    features = drawn_features(views, strips=SEEN)
    stored = dense_tensors(fit_statistics(features, "gram"))
    assert np.abs(np.tril(stored["x3"], -1)).max() < 1e-13
    for position in POSITIONS:
        row, column = divmod(position, 56)
        cells = (position, row // 2 * 28 + column // 2, row // 4 * 14 + column // 4)
        joined = np.concatenate([level[:, cell] for level, cell in zip(features, cells, strict=False)], axis=1)
        rotated = np.concatenate([stored[f"x{number}"][cell] for number, cell in enumerate(cells, 1)], axis=1)
        scatter = np.cov(joined.astype(np.float64).T) * (views - 1)
        np.testing.assert_allclose(rotated.T @ rotated, scatter, rtol=0, atol=2e-6 * scatter.max())


def test_leaving_one_out_equals_fitting_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_only(monkeypatch, POSITIONS)
    views = 4
    features = drawn_features(3 * views, strips=SEEN)
    got = held_out_distances(features, views)
    assert got.shape == (3, 56, 56)
    for image in range(3):
        others = np.r_[0 : image * views, (image + 1) * views : 3 * views]
        query = part(features, slice(image * views, image * views + 1))
        want = dense_reference(part(features, others), query, POSITIONS)[0]
        assert np.abs(got[image].reshape(-1)[POSITIONS] / want - 1).max() < 1e-5


CELLS = {("f2",): np.array([0, 29, 415, 783]), ("f3",): np.array([0, 15, 100, 195])}


@pytest.mark.parametrize(("levels", "cells"), CELLS.items())
@pytest.mark.parametrize(("encoding", "views"), [("gram", 2), ("gram", 19), ("gram", 150), ("cholesky", 9)])
def test_a_level_alone_equals_the_dense_inverse(
    monkeypatch: pytest.MonkeyPatch, levels: Levels, cells: np.ndarray, encoding: Encoding, views: int
) -> None:
    grid = used_levels(levels)[0].grid
    fit_only(monkeypatch, cells, grid)
    features = drawn_features(views + 2, strips=strips_of(cells, grid))
    support, query = part(features, slice(2, None)), part(features, slice(0, 2))
    statistics = fit_statistics(support, encoding, levels=levels)
    assert statistics.levels == levels
    want = dense_reference(support, query, cells, levels)
    got = distances_of(statistics, query)
    assert got.shape == (2, statistics.grid, statistics.grid)
    assert np.abs(got.reshape(2, -1)[:, cells] / want - 1).max() < 1e-5


@pytest.mark.parametrize(("levels", "cells"), CELLS.items())
def test_leaving_one_out_of_a_level_alone(levels: Levels, cells: np.ndarray) -> None:
    views = 3
    features = drawn_features(3 * views)
    got = held_out_distances(features, views, levels)
    for image in range(3):
        others = np.r_[0 : image * views, (image + 1) * views : 3 * views]
        query = part(features, slice(image * views, image * views + 1))
        want = dense_reference(part(features, others), query, cells, levels)[0]
        assert np.abs(got[image].reshape(-1)[cells] / want - 1).max() < 1e-5


def test_each_level_alone_takes_its_own_encoding() -> None:
    """Megabytes at k = 2, 4, 8, 16 of what is chosen."""
    chosen = {
        levels: [
            (
                form := choose_encoding(22 * k - 1, levels),
                round(statistics_bytes(form, 22 * k - 1, levels=levels) / 1e6),
            )
            for k in (2, 4, 8, 16)
        ]
        for levels in CELLS
    }
    assert chosen == {
        ("f2",): [("gram", 19), ("cholesky", 26), ("cholesky", 26), ("cholesky", 26)],
        ("f3",): [("gram", 9), ("gram", 18), ("cholesky", 26), ("cholesky", 26)],
    }


def test_there_is_no_hybrid_form_without_f1() -> None:
    with pytest.raises(InputError, match="use gram"):
        fit_statistics(drawn_features(3), "hybrid", levels=("f2",))


def test_helmert_is_orthonormal_and_centres() -> None:
    matrix = helmert(7)
    assert np.allclose(matrix @ matrix.T, np.eye(6), atol=1e-14)
    assert np.allclose(matrix.sum(axis=1), 0, atol=1e-14)


def test_one_view_and_infinite_features_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        fit_statistics(drawn_features(1))
    features = drawn_features(3)
    features.f2[1, 5, 7] = np.inf
    with pytest.raises(InputError, match="not finite"):
        fit_statistics(features)


def test_smoothing_equals_interpolate_then_scipy() -> None:
    torch = pytest.importorskip("torch")
    ndimage = pytest.importorskip("scipy.ndimage")
    grid = np.random.default_rng(0).random((56, 56))
    up = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], size=(224, 224), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    want = ndimage.gaussian_filter(up, sigma=4)
    smooth = smoothing_matrix().astype(np.float64)
    assert np.abs(smooth @ grid @ smooth.T - want).max() < 1e-6


def test_peak_memory_at_eight_shots_stays_below_the_dense_form() -> None:
    """8 images, 176 views: the fit, in a process of their own.

    Two rows of coarse cells are fitted instead of 14, one after the other as all are; all of the result is written.
    """
    code = (
        "import numpy as np\n"
        "from regad.calib import gaussian\n"
        "from regad.runtime.formats.features import Features\n"
        "from regad.runtime.formats.spec import LEVELS\n"
        "rng, whole, empty = np.random.default_rng(0), gaussian._strips, gaussian.padded_empty\n"
        "gaussian._strips = lambda *args: (strip for strip, _ in zip(whole(*args), range(2)))\n"
        "def written(*args):\n"
        "    made = empty(*args)\n"
        "    made.fill(1)\n"
        "    return made\n"
        "gaussian.padded_empty = written\n"
        "f = Features(*(rng.random((176, l.positions, l.channels), dtype=np.float32) for l in LEVELS),"
        " np.zeros((176, 3, 2, 3), np.float32))\n"
        "assert gaussian.fit_statistics(f).encoding == 'hybrid'\n"
        # ru_maxrss would count the process that started this one; VmHWM is this program's own.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1.5e9
