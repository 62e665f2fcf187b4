"""Both samplers' graphs against grid_sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from torch import Tensor

from regad.export.graph import Graph
from regad.export.parity import _session
from regad.export.sampler import SAMPLERS
from regad.train.model.affine import inverse, warp

values = st.floats(-1.5, 1.5, width=32)
transforms = st.lists(values, min_size=6, max_size=6).map(lambda v: torch.tensor(v).reshape(2, 3))


def typed(name: str, *shape: object, kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@cache
def session(name: str, size: int, channels: int) -> Any:
    """A graph of one warp: x [B, channels, size, size] and theta [B, 1, 2, 3] to y."""
    graph = Graph()
    sampler = SAMPLERS[name](graph, "x", size, channels)
    (plan,) = sampler.plan(["theta"])
    y = sampler.leave(sampler.warp(sampler.enter("x"), plan))
    shape = ("b", channels, size, size)
    return _session(graph.model("warp", [typed("x", *shape), typed("theta", "b", 1, 2, 3)], {y: typed("y", *shape)}))


def through(name: str, x: Tensor, theta: Tensor) -> Tensor:
    size, channels = x.shape[-1], x.shape[1]
    (y,) = session(name, size, channels)({"x": x.numpy(), "theta": theta[:, None].numpy()})
    return torch.from_numpy(y)


def taps(size: int, thetas: Sequence[Tensor]) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Indices and weights that the gather sampler plans together for transforms [B, 2, 3] each."""
    graph = Graph()
    names = [f"theta{number}" for number in range(len(thetas))]
    sampler = SAMPLERS["gather"](graph, "theta0", size, 1)
    plans = sampler.plan(names)
    inputs = [typed(name, "b", 1, 2, 3) for name in names]
    outputs = {}
    for number, plan in enumerate(plans):
        outputs[plan.indices] = typed(f"i{number}", *["b", 1, None, None], kind=onnx.TensorProto.INT64)
        outputs[plan.weights] = typed(f"w{number}", *["b", 1, None, 1, None])
    run = _session(graph.model("plan", inputs, outputs))
    found = run({name: theta[:, None].numpy() for name, theta in zip(names, thetas, strict=True)})
    return list(zip(found[::2], found[1::2], strict=True))


def exact(x: Tensor, theta: Tensor) -> Tensor:
    grid = F.affine_grid(theta.double(), list(x.shape), align_corners=False)
    return F.grid_sample(x.double(), grid, mode="bilinear", padding_mode="reflection", align_corners=False).float()


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=60, deadline=None)
@given(size=st.integers(2, 24), channels=st.integers(1, 5), thetas=st.lists(transforms, min_size=1, max_size=3))
def test_a_sampler_is_grid_sample(name: str, size: int, channels: int, thetas: list[Tensor]) -> None:
    x = torch.rand(len(thetas), channels, size, size, generator=torch.Generator().manual_seed(size))
    theta = torch.stack(thetas)
    # Coordinates reach size * 3 pixels, where float32 resolves them to about size * 4e-7.
    torch.testing.assert_close(through(name, x, theta), exact(x, theta), rtol=0, atol=1e-6 + 1e-6 * size)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("size", [14, 28, 56])
def test_at_the_sizes_of_the_encoder(name: str, size: int) -> None:
    torch.manual_seed(size)
    x = torch.rand(4, 8, size, size)
    theta = torch.eye(2, 3) + torch.empty(4, 2, 3).uniform_(-0.4, 0.4)
    torch.testing.assert_close(through(name, x, theta), warp(x, theta), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_identity_changes_nothing_to_speak_of(name: str) -> None:
    x = torch.rand(2, 3, 56, 56)
    torch.testing.assert_close(through(name, x, torch.eye(2, 3).repeat(2, 1, 1)), x, rtol=0, atol=1e-5)


def test_reflection_repeats_with_a_period_of_two_maps() -> None:
    x = torch.rand(1, 2, 8, 8)
    for shift in (2.0, -2.0):
        mirrored = torch.tensor([[[1, 0, shift], [0, 1, 0]]])
        torch.testing.assert_close(through("gather", x, mirrored), x.flip(3))
        torch.testing.assert_close(through("gather", x, 2 * mirrored - torch.eye(2, 3)), x)


def test_images_of_a_batch_do_not_mix() -> None:
    x = torch.rand(3, 4, 10, 10)
    theta = torch.eye(2, 3) + torch.empty(3, 2, 3).uniform_(-0.5, 0.5)
    together = through("gather", x, theta)
    alone = torch.cat([through("gather", x[i : i + 1], theta[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)


def test_plans_made_together_are_plans_made_apart() -> None:
    thetas = [torch.eye(2, 3) + torch.empty(2, 2, 3).uniform_(-0.5, 0.5) for _ in range(3)]
    for (indices, weights), theta in zip(taps(12, thetas), thetas, strict=True):
        ((alone, alone_weights),) = taps(12, [theta])
        assert np.array_equal(indices, alone)
        assert np.array_equal(weights, alone_weights)


@pytest.mark.parametrize("determinant", [0.0, 1e-9, -1e-9, 1e-5])
def test_a_collapsed_transform_still_reads_inside_the_map(determinant: float) -> None:
    theta = torch.tensor([[[1.0, 0.0, 0.3], [0.0, determinant, -0.2]]])
    ((indices, weights),) = taps(28, [inverse(theta)])
    assert indices.min() >= 0
    assert indices.max() < 28 * 28
    assert np.isfinite(weights).all()
    assert math.isclose(float(weights.sum()) / (28 * 28), 1.0, rel_tol=1e-5)
