"""The 22 support views against torch and kornia."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regad.calib.views import VIEW_GROUPS, VIEW_NAMES, VIEWS, kept_views, support_views
from regad.runtime.errors import InputError

torch = pytest.importorskip("torch")


def _image(seed: int = 0) -> np.ndarray:
    import cv2

    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8), (0, 0), 2)


def _reference(image: np.ndarray) -> list[np.ndarray]:
    """The released recipe, step by step: affine_grid and grid_sample on float images."""
    functional = torch.nn.functional
    x = torch.from_numpy(image).permute(2, 0, 1)[None].double()

    def warped(rows: list[list[float]]) -> np.ndarray:
        theta = torch.tensor([rows], dtype=torch.float64)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        out = functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        return out[0].permute(1, 2, 0).numpy()

    views = [image.astype(float)]
    for sign in (-1, 1):
        for step in (1, 2, 3, 4):
            a = sign * step * math.pi / 16
            views.append(warped([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]]))
    for size in (0.2, 0.1):
        for sx, sy in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
            views.append(warped([[1, 0, sx * size], [0, 1, sy * size]]))
    views.append(image[:, ::-1].astype(float))
    views.append(np.repeat((image @ [0.299, 0.587, 0.114])[:, :, None], 3, axis=2))
    for quarter in (1, 2, 3):
        a = quarter * math.pi / 2
        views.append(warped([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]]))
    return views


def test_there_are_22_and_they_equal_the_reference() -> None:
    image = _image()
    got = support_views(image)
    want = _reference(image)
    assert VIEWS == len(want) == len(got) == len(VIEW_NAMES) == 22
    assert got.dtype == np.uint8
    for name, mine, theirs in zip(VIEW_NAMES, got, want, strict=True):
        assert np.abs(mine - theirs).max() <= 0.5 + 1e-3, name


def test_quarter_turns_and_grey_equal_kornia() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KORNIA_LOAD_ALL", "0")
        geometry = pytest.importorskip("kornia.geometry.transform")
        color = pytest.importorskip("kornia.color")
    image = _image(1)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    views = dict(zip(VIEW_NAMES, support_views(image), strict=True))
    for degrees in (90, 180, 270):
        turned = geometry.rotate(x, torch.tensor([float(degrees)], dtype=x.dtype), padding_mode="reflection")
        turned = turned[0].permute(1, 2, 0).numpy()
        assert np.abs(views[f"rotation {degrees}"] - turned).max() <= 0.51, degrees
    grey = color.rgb_to_grayscale(x)[0].permute(1, 2, 0).numpy()
    assert np.abs(views["grey"] - grey).max() <= 0.51
    assert (views["original"] == image).all()
    assert (views["horizontal flip"][:, ::-1] == image).all()


def test_the_identity_changes_nothing_and_a_shift_reflects() -> None:
    from regad.calib.views import warp

    image = _image(2)
    assert (warp(image, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))) == image).all()
    shifted = warp(image, ((1.0, 0.0, 2 * 10 / 224), (0.0, 1.0, 0.0)))
    assert (shifted[:, :-10] == image[:, 10:]).all()
    assert (shifted[:, -10:] == image[:, -1:-11:-1]).all()


def test_the_groups_are_what_their_names_say_and_leave_the_original() -> None:
    words = {"rotations": "pi/16", "shifts": "shift", "flip": "flip", "grey": "grey", "quarter-turns": "rotation "}
    for group, places in VIEW_GROUPS.items():
        assert all(words[group] in VIEW_NAMES[place] for place in places)
    assert sorted(place for places in VIEW_GROUPS.values() for place in places) == list(range(1, VIEWS))
    assert kept_views() == list(range(VIEWS))
    assert kept_views(["rotations", "shifts"]) == [0, *range(17, 22)]
    assert kept_views(VIEW_GROUPS) == [0]


def test_an_unknown_group_names_the_known() -> None:
    with pytest.raises(InputError, match="'blur' is no group of support views; expected one of rotations, shifts"):
        kept_views(["blur"])
