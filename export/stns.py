"""Changing the last layer of the three STNs, in the model and in its graph: it decides the transforms.

A model whose STNs were not trained predicts the same transform, the identity, whatever it sees: it does not register
(`predicts_transforms`), and its graph has neither STNs nor warps. The verification of any other graph also runs a
`border_heavy` copy, to exercise reflection and a transform per image; `write_stns` puts its values into the graph.
"""

from __future__ import annotations

import copy

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from regad.train.model.registration import RegistrationEncoder
from regad.train.model.stn import SpatialTransformer, build_theta

__all__ = ["border_heavy", "predicts_transforms", "write_stns"]

_NAMES = ("stn1", "stn2", "stn3")


def _stn(encoder: RegistrationEncoder, name: str) -> SpatialTransformer:
    stn = getattr(encoder, name)
    assert isinstance(stn, SpatialTransformer)
    return stn


def _last(encoder: RegistrationEncoder, name: str) -> nn.Linear:
    last = _stn(encoder, name).fc[-1]
    assert isinstance(last, nn.Linear)
    return last


@torch.no_grad()
def predicts_transforms(encoder: RegistrationEncoder) -> bool:
    """Return False if every transform is the identity, in every bit, whatever the image."""
    same = torch.eye(2, 3)
    return not all(
        not _last(encoder, name).weight.any()
        and torch.equal(build_theta(_stn(encoder, name).mode, _last(encoder, name).bias[None])[0], same)
        for name in _NAMES
    )


def write_stns(model: onnx.ModelProto, encoder: RegistrationEncoder) -> None:
    """Write the last STN layers of ``encoder`` into its graph, in place."""
    initializers = {item.name: item for item in model.graph.initializer}
    for name in _NAMES:
        for part, parameter in _last(encoder, name).named_parameters():
            item = initializers[f"{name}.fc.2.{part}"]
            item.CopyFrom(numpy_helper.from_array(parameter.detach().numpy(), item.name))


@torch.no_grad()
def border_heavy(encoder: RegistrationEncoder, images: Tensor) -> RegistrationEncoder:
    """Return a copy that predicts large transforms, one for each image, whose warps read far beyond the border.

    Every parameter of the transform moves by +-0.2 to 0.4 from the identity, and by up to 0.05 from image to image;
    ``images`` [B, 3, 224, 224] in [0, 1] set that scale. The transforms stay well invertible.
    """
    changed = copy.deepcopy(encoder)
    generator = torch.Generator().manual_seed(1)
    x = changed.stem(images)
    for name, layer in zip(_NAMES, (changed.layer1, changed.layer2, changed.layer3), strict=True):
        stn, last = _stn(changed, name), _last(changed, name)
        x = layer(x)
        seen = stn.fc[:-1](stn.conv(x).flatten(1))
        mean = seen.mean(0)
        spread = torch.linalg.vector_norm(seen - mean, dim=1).max()
        # Images that look alike must not make the layer a magnifier of rounding errors.
        floor = torch.linalg.vector_norm(mean) / 10 + 1e-6
        weight = torch.randn(last.weight.shape, generator=generator) * (0.05 / torch.maximum(spread, floor))
        identity = torch.tensor(stn.mode.identity, dtype=torch.float32)
        sign = torch.randint(0, 2, identity.shape, generator=generator) * 2 - 1
        move = sign * (0.2 + 0.2 * torch.rand(identity.shape, generator=generator))
        last.weight.copy_(weight)
        last.bias.copy_(identity + move - weight @ mean)
        x, _ = stn(x)
    return changed
