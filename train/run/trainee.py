"""What is trained: encoder and siamese heads together, their loss, and which of their parts learn how fast."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..model.affine import identity
from ..model.heads import Predictor, SiameseEncoder
from ..model.loss import registration_loss
from ..model.registration import RegistrationEncoder, Thetas
from ..model.weights import Weights, load_weights
from .config import TrainConfig

__all__ = ["Losses", "SiameseModel", "build_model", "identity_distance", "parameter_groups", "set_modes"]

_FROZEN = {"none": (), "layer1": ("conv1", "bn1", "layer1"), "layer2": ("conv1", "bn1", "layer1", "layer2")}


class Losses(NamedTuple):
    """The registration loss, and how far the transforms are from the identity; scalars, means over the queries."""

    registration: Tensor
    distance: Tensor


class SiameseModel(nn.Module):
    """The three parts that are trained together."""

    def __init__(self, encoder: RegistrationEncoder, head: SiameseEncoder, predictor: Predictor) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.predictor = predictor

    def forward(self, queries: Tensor, supports: Tensor) -> Losses:
        """Return the losses of queries [b, 3, 224, 224] against their supports [b, k, 3, 224, 224].

        The supports' registered features are averaged before the head.
        """
        batch, shot = supports.shape[:2]
        first = self.encoder.register(queries)
        second = self.encoder.register(supports.flatten(0, 1))
        query, support = first.x3, second.x3.reshape(batch, shot, *second.x3.shape[1:]).mean(1)
        z1, z2 = self.head(query), self.head(support)
        loss = registration_loss(self.predictor(z1), z1, self.predictor(z2), z2)
        distance = (identity_distance(first.thetas) + shot * identity_distance(second.thetas)) / (1 + shot)
        return Losses(loss, distance)


def identity_distance(thetas: Thetas) -> Tensor:
    """Return the squared distance of the transforms from the identity, summed over levels, averaged over images."""
    here = identity(1).to(thetas.t1)
    return torch.stack([(theta - here).square().sum((1, 2)).mean() for theta in thetas]).sum()


def build_model(config: TrainConfig) -> tuple[SiameseModel, Weights]:
    """Return a fresh model by the config's seed, with its backbone weights, and where these came from.

    Raises InputError when the weights cannot be had or do not fit. The caller's random state is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = RegistrationEncoder(config.stn_mode, config.spec.mean, config.spec.std)
        model = SiameseModel(encoder, SiameseEncoder(), Predictor())
    return model, load_weights(encoder, config.weights)


def parameter_groups(model: SiameseModel, config: TrainConfig) -> list[dict[str, object]]:
    """Return SGD's groups, each with its ``base`` rate, and switch off the gradients of everything else."""
    rates = {"backbone": config.lr, "stn": config.stn_lr, "head": config.head_lr}
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in rates}
    for name, parameter in model.named_parameters():
        part = _part(name)
        # The heads' bn3 is only in the checkpoints' format: nothing computes with it.
        unused = name.startswith(("head.bn3", *(f"encoder.{frozen}." for frozen in _FROZEN[config.freeze])))
        parameter.requires_grad_(not unused and rates[part] > 0)
        if parameter.requires_grad:
            groups[part].append(parameter)
    names = {"backbone": "lr", "stn": "stn_lr", "head": "head_lr"}
    return [
        {"name": names[part], "params": groups[part], "lr": rate, "base": rate}
        for part, rate in rates.items()
        if groups[part]
    ]


def _part(name: str) -> str:
    if not name.startswith("encoder."):
        return "head"
    return "stn" if name.startswith("encoder.stn") else "backbone"


def set_modes(model: SiameseModel, config: TrainConfig) -> None:
    """Put the model into training mode, but for the backbone's batch norm where its statistics stay as they are.

    A part that is not trained keeps its statistics too.
    """
    model.train()
    rates = {"backbone": config.lr, "stn": config.stn_lr, "head": config.head_lr}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            part = _part(name)
            frozen = name.startswith(tuple(f"encoder.{layer}" for layer in _FROZEN[config.freeze]))
            if rates[part] == 0 or frozen or (part == "backbone" and config.freeze_bn):
                module.eval()
