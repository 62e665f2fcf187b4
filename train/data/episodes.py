"""Images for training, decoded once, and the episodes drawn from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regad.runtime.errors import InputError
from regad.runtime.text import Say, unsaid

from .layouts import good_images, list_categories

__all__ = [
    "Episode",
    "EpisodeSampler",
    "to_input",
    "training_images",
]


class Episode(NamedTuple):
    """One batch, all of one category: indices of the queries [b] and of each query's supports [b, k]."""

    category: str
    queries: NDArray[np.int64]
    supports: NDArray[np.int64]


def training_images(root: Path, hold_out: Sequence[str], shot: int, say: Say = unsaid) -> dict[str, list[Path]]:
    """Return the good images of every category that is not held out, by category name.

    ``say`` receives what is passed over. Raises InputError when a held-out name is unknown, nothing is left, or a
    category has fewer than shot + 1 images.
    """
    known = list_categories(root, say)
    unknown = [name for name in hold_out if name not in known]
    if unknown:
        raise InputError(f"--hold-out {unknown[0]} is not in {root}; it holds {', '.join(known)}")
    images = {name: good_images(root, name, say) for name in known if name not in hold_out}
    if not images:
        raise InputError(f"all categories of {root} are held out; leave at least one to train on")
    for name, paths in images.items():
        if len(paths) <= shot:
            raise InputError(
                f"category {name} has {len(paths)} good image(s); --shot {shot} needs {shot + 1} or more "
                f"(a query and its supports): add images, lower --shot, or --hold-out {name}"
            )
    return images


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """Take uint8 RGB [n, 224, 224, 3] to the encoder's input, float32 [n, 3, 224, 224] in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()


class EpisodeSampler:
    """Draws an epoch's episodes: every image is a query once, batches hold one category and come shuffled.

    ``sizes`` is the number of images by category. Each query gets ``shot`` different other images of its
    category. An epoch depends on ``seed`` and its number only, not on the epochs drawn before.
    """

    def __init__(self, sizes: Mapping[str, int], batch_size: int, shot: int, seed: int) -> None:
        self.sizes = dict(sorted(sizes.items()))
        self.batch_size = batch_size
        self.shot = shot
        self.seed = seed

    def __len__(self) -> int:
        """Number of episodes in an epoch."""
        return sum(-(-size // self.batch_size) for size in self.sizes.values())

    def epoch(self, number: int) -> Iterator[Episode]:
        """Yield the episodes of epoch ``number``."""
        rng = np.random.default_rng([self.seed, number])
        batches = []
        for category, size in self.sizes.items():
            order = rng.permutation(size)
            batches += [(category, order[i : i + self.batch_size]) for i in range(0, size, self.batch_size)]
        for index in rng.permutation(len(batches)):
            category, queries = batches[index]
            supports = [self._others(rng, int(query), self.sizes[category]) for query in queries]
            yield Episode(category, queries, np.stack(supports))

    def _others(self, rng: np.random.Generator, query: int, size: int) -> NDArray[np.int64]:
        drawn = rng.choice(size - 1, self.shot, replace=False)
        return drawn + (drawn >= query)
