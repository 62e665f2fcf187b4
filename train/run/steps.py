"""The steps of an epoch: a batch, its loss, SGD. The recipes differ in their settings, not in this code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from regad.runtime.errors import DeviceError, RegadError

from ..data.augment import Draws, augment, draw
from ..data.episodes import Episode, EpisodeSampler, to_input
from ..data.store import ImageStore, ahead
from .config import TrainConfig
from .distributed import Group, synchronise_batch_norm
from .selection import held_out_loss
from .trainee import Losses, SiameseModel, set_modes

__all__ = ["Batch", "Progress", "Trainer", "learning_rate"]


class Progress(NamedTuple):
    """What training reports: ``stage`` load (images) or train (steps), ``done`` of ``total`` within it.

    ``epoch`` counts from 1, ``loss`` is the epoch's mean so far, ``rate`` images a second (queries and supports).
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    loss: float = math.nan
    rate: float = 0.0


class Batch(NamedTuple):
    """A process's share of an episode: images [b, 3, 224, 224] and [b, k, 3, 224, 224].

    ``draws`` are the augmentation of these images, queries first; ``weight`` is the share of the episode's mean loss;
    ``queries`` and ``images`` count the whole episode's.
    """

    category: str
    query: Tensor
    support: Tensor
    draws: Draws | None
    weight: float
    queries: int
    images: int


def learning_rate(base: float, step: int, steps: int) -> float:
    """Return ``base`` * (1 + cos(pi * step / steps)) / 2.

    The released recipe counts epochs, from 1, so its last epoch has rate 0 and moves batch norm's averages only; a
    single epoch keeps ``base``. By steps, the count is from 0.
    """
    return base if steps == 1 else base * 0.5 * (1 + math.cos(math.pi * step / steps))


@dataclass
class Trainer:
    """One process's part of the training: its model, its optimizer, its images."""

    config: TrainConfig
    group: Group
    model: SiameseModel
    optimizer: torch.optim.Optimizer
    store: ImageStore
    held_out: ImageStore | None = None

    def __post_init__(self) -> None:
        if self.config.amp and self.group.device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise DeviceError("--amp computes in bfloat16, which this GPU lacks; leave out --amp")
        set_modes(self.model, self.config)
        self.sampler = EpisodeSampler(self.store.sizes, self.config.batch_size, self.config.shot, self.config.seed)
        self.parallel: nn.Module = self.model
        if self.group.world > 1:
            synchronise_batch_norm(self.model)
            # The statistics are those of all processes already; DDP would copy the first one's once more.
            self.parallel = DistributedDataParallel(self.model, broadcast_buffers=False)

    def epoch(self, epoch: int, report: Callable[[Progress], None]) -> dict[str, Any]:
        """Train one epoch; returns the line of the log: rates, mean losses (over queries), seconds.

        Raises RegadError when the loss is not finite.
        """
        started = time.perf_counter()
        sums, queries, seen, waited = np.zeros(2), 0, 0, 0.0
        for step, (batch, wait) in enumerate(_timed(self._batches(epoch)), 1):
            self._set_rates(epoch, step)
            losses = self.step(batch)
            means = np.array([self.group.total(float(loss.detach()) * batch.weight) for loss in losses])
            if not np.isfinite(means).all():
                raise RegadError(
                    f"the loss became {means[0]} in epoch {epoch}, step {step} ({batch.category}); "
                    "the last finished epoch is kept: try a lower --lr"
                )
            sums, queries = sums + means * batch.queries, queries + batch.queries
            seen, waited = seen + batch.images, waited + wait
            rate = seen / (time.perf_counter() - started)
            report(Progress("train", step, len(self.sampler), epoch, float(sums[0]) / queries, rate))
        seconds = time.perf_counter() - started
        loss, distance = (sums / queries).tolist()
        line = {"epoch": epoch, **self._rates(), "loss": loss, "theta_distance": distance}
        if self.held_out is not None and self.group.first:
            line["held_out_loss"] = held_out_loss(self.model, self.held_out, self.config)
        return {**line, "seconds": seconds, "images_per_second": seen / seconds, "waited_seconds": waited}

    def step(self, batch: Batch) -> Losses:
        """Take one step of SGD; returns the losses of this process's share."""
        device = self.group.device
        query, support = batch.query.to(device), batch.support.to(device)
        if batch.draws is not None:
            query, support = _augmented(query, support, batch.draws)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.amp):
            losses: Losses = self.parallel(query, support)
            loss = losses.registration + self.config.prior * losses.distance
        self.optimizer.zero_grad()
        # DDP averages the processes' gradients; the weight makes this the mean over the whole batch.
        (loss * (batch.weight * self.group.world)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return losses

    def _batches(self, epoch: int) -> Iterator[Batch]:
        def make(numbered: tuple[int, Episode]) -> Batch:
            return self._batch(epoch, *numbered)

        return ahead(enumerate(self.sampler.epoch(epoch)), make, threaded=self.config.workers > 0)

    def _batch(self, epoch: int, step: int, episode: Episode) -> Batch:
        config, count = self.config, len(episode.queries)
        share = self.group.share(count)
        draws = None
        if config.augment:
            # All processes draw for the whole episode, so that an image's draw does not depend on their number.
            rng = np.random.default_rng([config.seed, epoch, step])
            drawn = draw(rng, count * (1 + config.shot), config.spec.size)
            supports = count + share[:, None] * config.shot + np.arange(config.shot)
            draws = drawn.take(np.concatenate([share, supports.ravel()]))
        query = to_input(self.store.take(episode.category, episode.queries[share]))
        support = to_input(self.store.take(episode.category, episode.supports[share].ravel()))
        support = support.reshape(len(share), config.shot, *query.shape[1:])
        weight = len(share) / count if count >= self.group.world else 1 / self.group.world
        return Batch(episode.category, query, support, draws, weight, count, count * (1 + config.shot))

    def _set_rates(self, epoch: int, step: int) -> None:
        """Set the rates of step ``step`` (from 1) of epoch ``epoch`` (from 1)."""
        length = len(self.sampler)
        done, total = (epoch - 1) * length + step - 1, self.config.epochs * length
        if self.config.decay == "epoch":
            done, total = epoch, self.config.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(group["base"], done, total)

    def _rates(self) -> dict[str, float]:
        return {group["name"]: group["lr"] for group in self.optimizer.param_groups}


def _augmented(query: Tensor, support: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    images = augment(torch.cat([query, support.flatten(0, 1)]), draws)
    return images[: len(query)], images[len(query) :].reshape(support.shape)


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Yield each batch with the seconds that were spent waiting for it."""
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - started
