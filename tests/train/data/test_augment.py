from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from regad.train.data.augment import DEFAULT_STRENGTH, Draws, Strength, augment, draw
from regad.train.model.affine import warp

SIZE = 32
NOTHING = Strength(rotation=0, shift=0, scale=0, flip=0, brightness=0, contrast=0, saturation=0, hue=0)


def images(count: int = 3, size: int = SIZE) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def drawn(strength: Strength, count: int = 3, seed: int = 0, size: int = SIZE) -> Draws:
    return draw(np.random.default_rng(seed), count, size, strength)


def test_no_strength_changes_nothing() -> None:
    torch.testing.assert_close(augment(images(), drawn(NOTHING)), images(), rtol=0, atol=1e-5)


def test_every_image_gets_its_own_and_the_same_seed_the_same() -> None:
    one = images(1).repeat(4, 1, 1, 1)
    got = augment(one, drawn(DEFAULT_STRENGTH, 4))
    assert all(not torch.allclose(got[a], got[b], atol=1e-2) for a in range(4) for b in range(a))
    assert torch.equal(got, augment(one, drawn(DEFAULT_STRENGTH, 4)))
    assert not torch.equal(got, augment(one, drawn(DEFAULT_STRENGTH, 4, seed=1)))
    assert got.min() >= 0
    assert got.max() <= 1


def test_a_part_of_the_draws_transforms_its_images_alike() -> None:
    """Processes that share a batch see the images that one process sees."""
    draws, index = drawn(DEFAULT_STRENGTH, 6), np.array([4, 1])
    got = augment(images(6)[torch.from_numpy(index)], draws.take(index))
    torch.testing.assert_close(got, augment(images(6), draws)[torch.from_numpy(index)], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "strength",
    [Strength(rotation=40), Strength(shift=0.2, rotation=0), Strength(scale=0.3, rotation=0), Strength(flip=1.0)],
)
def test_the_pose_is_the_warp_of_its_inverse(strength: Strength) -> None:
    """Kornia's pixels against `affine.warp`, which takes the inverse in the normalised frame."""
    still = Strength(**{**vars(strength), "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0})
    draws = drawn(still, size=64)
    pixel = torch.tensor([[32.0, 0, 31.5], [0, 32, 31.5], [0, 0, 1]], dtype=torch.float64)
    bottom = np.tile(np.array([[[0, 0, 1.0]]]), (3, 1, 1))
    pose = torch.from_numpy(np.concatenate([draws.pose, bottom], 1))
    theta = (torch.linalg.inv(pixel) @ torch.linalg.inv(pose) @ pixel)[:, :2].float()
    smooth = torch.nn.functional.interpolate(images(size=8), size=(64, 64), mode="bicubic").clamp(0, 1)
    got, want = augment(smooth, draws), warp(smooth, theta)
    inner = slice(24, 40)  # the two reflect about the border in their own ways
    torch.testing.assert_close(got[..., inner, inner], want[..., inner, inner], rtol=0, atol=2e-3)
    assert not torch.allclose(got, smooth, atol=0.02)


def test_the_draws_stay_in_their_bounds() -> None:
    draws = drawn(DEFAULT_STRENGTH, 2000, size=224)
    s = DEFAULT_STRENGTH
    angles = np.degrees(np.arctan2(draws.pose[:, 1, 0], draws.pose[:, 0, 0]))
    zoom = np.linalg.norm(draws.pose[:, :, :2], axis=1)
    centre = draws.pose[:, :, :2] @ np.full(2, 111.5) + draws.pose[:, :, 2] - 111.5
    for values, bound in (
        (angles, s.rotation),
        (centre / 224, s.shift),
        (np.log(zoom), np.log1p(s.scale)),
        (draws.brightness, s.brightness),
        (draws.contrast - 1, s.contrast),
        (draws.saturation - 1, s.saturation),
        (draws.hue, s.hue),
    ):
        assert np.abs(values).max() <= bound + 1e-4
        assert values.min() < -0.9 * bound
        assert values.max() > 0.9 * bound


def test_the_light_follows_its_formulas() -> None:
    """Each change alone, at one pixel, against the definition written out."""
    pixel = torch.tensor([0.6, 0.3, 0.2]).reshape(1, 3, 1, 1).repeat(1, 1, 4, 4)
    still = drawn(NOTHING, 1, size=4)

    def lit(**change: float) -> list[float]:
        values = {name: np.float32([value]) for name, value in change.items()}
        result: list[float] = augment(pixel, still._replace(**values))[0, :, 2, 2].tolist()
        return result

    assert lit(brightness=0.1) == pytest.approx([0.7, 0.4, 0.3], abs=1e-4)
    assert lit(contrast=1.2) == pytest.approx([0.72, 0.36, 0.24], abs=1e-4)
    hue, saturation, value = colorsys.rgb_to_hsv(0.6, 0.3, 0.2)
    assert lit(saturation=0.5) == pytest.approx(colorsys.hsv_to_rgb(hue, saturation / 2, value), abs=1e-3)
    turned = colorsys.hsv_to_rgb((hue + 0.3 / (2 * np.pi)) % 1, saturation, value)
    assert lit(hue=0.3) == pytest.approx(turned, abs=1e-3)
