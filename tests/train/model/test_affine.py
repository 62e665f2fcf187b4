from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings

from regad.train.model import affine

numbers = st.floats(-2, 2, width=32)
thetas = st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=4).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64).reshape(-1, 2, 3)
)


def square(theta: torch.Tensor) -> torch.Tensor:
    bottom = torch.tensor([[0.0, 0.0, 1.0]], dtype=theta.dtype).expand(len(theta), 1, 3)
    return torch.cat([theta, bottom], 1)


@settings(max_examples=60, deadline=None)
@given(thetas)
def test_inverse_equals_the_library_inverse(theta: torch.Tensor) -> None:
    assume(bool((torch.linalg.det(theta[:, :, :2]).abs() > 1e-2).all()))
    want = torch.linalg.inv(square(theta))[:, :2]
    torch.testing.assert_close(affine.inverse(theta), want, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(thetas)
def test_inverse_is_always_finite(theta: torch.Tensor) -> None:
    assert torch.isfinite(affine.inverse(theta.float())).all()


def test_inverse_keeps_the_sign_of_a_collapsed_determinant() -> None:
    theta = torch.tensor([[[1e-5, 0, 0], [0, 1e-5, 0]], [[1e-5, 0, 0], [0, -1e-5, 0]], [[0, 0, 0.5], [0, 0, 0.5]]])
    got = affine.inverse(theta)
    assert torch.isfinite(got).all()
    # adjugate over +-1e-6
    torch.testing.assert_close(got[0, 0, 0].item(), 10.0)
    torch.testing.assert_close(got[1, 0, 0].item(), 10.0)
    torch.testing.assert_close(got[1, 1, 1].item(), -10.0)
    assert got[2].abs().max() == 0


@settings(max_examples=30, deadline=None)
@given(thetas, thetas)
def test_compose_is_the_matrix_product(a: torch.Tensor, b: torch.Tensor) -> None:
    batch = min(len(a), len(b))
    want = (square(a[:batch]) @ square(b[:batch]))[:, :2]
    torch.testing.assert_close(affine.compose(a[:batch], b[:batch]), want)


def test_composing_with_the_inverse_is_the_identity() -> None:
    theta = affine.identity(5) + 0.3 * torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    for got in (affine.compose(theta, affine.inverse(theta)), affine.compose(affine.inverse(theta), theta)):
        torch.testing.assert_close(got, affine.identity(5), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(56, 56), (14, 14), (5, 9)])
def test_base_grid_equals_affine_grid(height: int, width: int) -> None:
    theta = affine.identity(3) + 0.2 * torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(1))
    want = F.affine_grid(theta, [3, 1, height, width], align_corners=False).reshape(3, -1, 2)
    torch.testing.assert_close(affine.base_grid(height, width) @ theta.transpose(1, 2), want, rtol=0, atol=1e-6)


def reflected(position: float, size: int) -> float:
    """Reflect about the edges -0.5 and size - 0.5 until inside, one fold at a time."""
    while not -0.5 <= position <= size - 0.5:
        position = -1 - position if position < -0.5 else 2 * size - 1 - position
    return min(max(position, 0.0), size - 1.0)


def reference_warp(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Warp one map [C, h, w] pixel by pixel, as the definition reads."""
    _, height, width = x.shape
    out = np.zeros_like(x)
    for row in range(height):
        for column in range(width):
            point = theta @ np.array([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1.0])
            px = reflected(((point[0] + 1) * width - 1) / 2, width)
            py = reflected(((point[1] + 1) * height - 1) / 2, height)
            x0, y0 = int(np.floor(px)), int(np.floor(py))
            x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
            fx, fy = px - x0, py - y0
            top = (1 - fx) * x[:, y0, x0] + fx * x[:, y0, x1]
            bottom = (1 - fx) * x[:, y1, x0] + fx * x[:, y1, x1]
            out[:, row, column] = (1 - fy) * top + fy * bottom
    return out


def test_warp_equals_the_definition_far_over_the_border() -> None:
    generator = torch.Generator().manual_seed(2)
    theta = affine.identity(6).double() + 0.7 * torch.randn(6, 2, 3, generator=generator, dtype=torch.float64)
    x = torch.randn(6, 2, 7, 9, generator=generator, dtype=torch.float64)
    want = np.stack([reference_warp(a, t) for a, t in zip(x.numpy(), theta.numpy(), strict=True)])
    np.testing.assert_allclose(affine.warp(x, theta).numpy(), want, rtol=0, atol=1e-9)


def test_warp_by_the_identity_changes_nothing() -> None:
    x = torch.randn(2, 3, 14, 14, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(affine.warp(x, affine.identity(2)), x, rtol=0, atol=1e-5)


def test_theta_points_from_output_to_input() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 3, 5] = 1
    right_by_two = torch.tensor([[[1.0, 0, 2 * 2 / 8], [0, 1, 0]]])
    moved = affine.warp(x, right_by_two)
    assert moved[0, 0, 3, 3] == pytest.approx(1, abs=1e-5)  # the output looks two pixels to the right
