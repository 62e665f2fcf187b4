from __future__ import annotations

from math import cos, sin

import pytest
import torch

from regad.runtime.errors import InputError
from regad.train.model.affine import identity, warp
from regad.train.model.modes import STN_MODES, stn_mode
from regad.train.model.stn import SpatialTransformer, build_theta

# Parameters, and the matrix written out by hand.
A, X, Y, P, Q = 0.3, 0.11, -0.07, 1.2, 0.8
CASES: dict[str, tuple[list[float], list[list[float]]]] = {
    "affine": ([1.1, 0.2, 0.3, 0.4, 0.9, -0.6], [[1.1, 0.2, 0.3], [0.4, 0.9, -0.6]]),
    "translation": ([X, Y], [[1, 0, X], [0, 1, Y]]),
    "rotation": ([A], [[cos(A), -sin(A), 0], [sin(A), cos(A), 0]]),
    "scale": ([P, Q], [[P, 0, 0], [0, Q, 0]]),
    "shear": ([X, Y], [[1, X, 0], [Y, 1, 0]]),
    "rotation_scale": ([A, P, Q], [[cos(A) * P, -sin(A), 0], [sin(A), cos(A) * Q, 0]]),
    "translation_scale": ([X, Y, P, Q], [[P, 0, X], [0, Q, Y]]),
    "rotation_translation": ([A, X, Y], [[cos(A), -sin(A), X], [sin(A), cos(A), Y]]),
    "rotation_translation_scale": ([A, X, Y, P, Q], [[cos(A) * P, -sin(A), X], [sin(A), cos(A) * Q, Y]]),
}
COUNTS = {
    "affine": 6,
    "translation": 2,
    "rotation": 1,
    "scale": 2,
    "shear": 2,
    "rotation_scale": 3,
    "translation_scale": 4,
    "rotation_translation": 3,
    "rotation_translation_scale": 5,
}


def test_the_modes_and_their_numbers_of_parameters() -> None:
    assert {name: mode.parameters for name, mode in STN_MODES.items()} == COUNTS


@pytest.mark.parametrize("name", CASES)
def test_matrix_entries(name: str) -> None:
    values, matrix = CASES[name]
    got = build_theta(STN_MODES[name], torch.tensor([values, STN_MODES[name].identity]))
    torch.testing.assert_close(got[0], torch.tensor(matrix, dtype=torch.float32))
    torch.testing.assert_close(got[1], identity(1)[0])


def test_rotation_scale_does_not_scale_the_off_diagonals() -> None:
    plain = build_theta(STN_MODES["rotation_scale"], torch.tensor([[A, 1.0, 1.0]]))
    scaled = build_theta(STN_MODES["rotation_scale"], torch.tensor([[A, 3.0, 0.5]]))
    assert torch.equal(plain[:, 0, 1], scaled[:, 0, 1])
    assert torch.equal(plain[:, 1, 0], scaled[:, 1, 0])
    assert not torch.equal(plain[:, 0, 0], scaled[:, 0, 0])


@pytest.mark.parametrize("name", STN_MODES)
def test_a_new_transformer_is_the_identity(name: str) -> None:
    stn = SpatialTransformer(64, 14, name).eval()
    x = torch.randn(2, 64, 14, 14, generator=torch.Generator().manual_seed(0))
    warped, theta = stn(x)
    assert torch.equal(theta, identity(2))
    torch.testing.assert_close(warped, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("channels", "size", "inputs"), [(64, 56, 3136), (128, 28, 784), (256, 14, 256)])
def test_localisation_sizes(channels: int, size: int, inputs: int) -> None:
    stn = SpatialTransformer(channels, size)
    shapes = {name: list(tensor.shape) for name, tensor in stn.state_dict().items()}
    assert shapes["conv.0.weight"] == [64, channels, 3, 3]
    assert shapes["conv.4.weight"] == [16, 64, 3, 3]
    assert shapes["fc.0.weight"] == [1024, inputs]
    assert shapes["fc.2.weight"] == [3, 1024]
    assert "conv.0.bias" not in shapes


def test_the_output_is_the_input_warped_by_the_returned_theta() -> None:
    torch.manual_seed(0)
    stn = SpatialTransformer(64, 14).eval()
    last = stn.fc[2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight, std=0.1)
    x = torch.randn(2, 64, 14, 14)
    warped, theta = stn(x)
    assert not torch.equal(theta[0], theta[1])
    assert torch.equal(warped, warp(x, theta))


@pytest.mark.parametrize("name", STN_MODES)
def test_gradients_reach_the_parameters(name: str) -> None:
    values = torch.tensor([CASES[name][0]], requires_grad=True)
    build_theta(STN_MODES[name], values).square().sum().backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()


def test_an_unknown_mode_names_the_nine() -> None:
    with pytest.raises(InputError, match="'perspective'; expected one of affine, translation"):
        stn_mode("perspective")
