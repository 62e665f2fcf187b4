"""Choosing an epoch without test data: the registration loss on good images of the training categories, held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from regad.runtime.errors import InputError

from ..data.episodes import EpisodeSampler, to_input
from ..data.store import ImageStore
from .config import TrainConfig
from .trainee import SiameseModel

__all__ = ["Split", "held_out_loss", "hold_back"]

_EPOCH = 0
"""Number of the epoch whose episodes are held out: training counts from 1, so its draws are no training draws."""


class Split(NamedTuple):
    """Good images by category: those to train on, and those to select by (none without a selection)."""

    train: dict[str, list[Path]]
    held_out: dict[str, list[Path]]


def hold_back(paths: Mapping[str, list[Path]], fraction: float, shot: int, seed: int) -> Split:
    """Hold back ``fraction`` of each category's images, drawn by ``seed``, but enough for a query and its supports.

    Raises InputError when a category has too few images for both parts.
    """
    if not fraction:
        return Split(dict(paths), {})
    split = Split({}, {})
    for number, (name, files) in enumerate(paths.items()):
        count = max(round(fraction * len(files)), shot + 1)
        if len(files) - count <= shot:
            raise InputError(
                f"category {name} has {len(files)} good images; --select and --shot {shot} need {2 * shot + 2} or more"
            )
        chosen = set(np.random.default_rng([seed, number]).permutation(len(files))[:count].tolist())
        split.train[name] = [path for index, path in enumerate(files) if index not in chosen]
        split.held_out[name] = [path for index, path in enumerate(files) if index in chosen]
    return split


@torch.no_grad()
def held_out_loss(model: SiameseModel, store: ImageStore, config: TrainConfig) -> float:
    """Return the mean registration loss of the held-out images, each with supports drawn once by the seed.

    The model computes in eval mode and comes back in the modes it had.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    total, count = 0.0, 0
    for queries, supports in _batches(store, config):
        device = model.encoder.mean.device
        loss = model(queries.to(device), supports.to(device)).registration
        total, count = total + float(loss) * len(queries), count + len(queries)
    for module, training in modes:
        module.training = training
    return total / count


def _batches(store: ImageStore, config: TrainConfig) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    sampler = EpisodeSampler(store.sizes, config.batch_size, config.shot, config.seed)
    for episode in sampler.epoch(_EPOCH):
        yield (
            to_input(store.take(episode.category, episode.queries)),
            _rows(store.take(episode.category, episode.supports)),
        )


def _rows(images: NDArray[np.uint8]) -> torch.Tensor:
    """Take uint8 [b, k, 224, 224, 3] to the encoder's input, [b, k, 3, 224, 224]."""
    flat = to_input(images.reshape(-1, *images.shape[2:]))
    return flat.reshape(*images.shape[:2], *flat.shape[1:])
