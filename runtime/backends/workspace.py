"""Buffers of one inference on the CPU, bound to the encoder once and used again: a steady state allocates nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..formats.features import Features
from ..formats.spec import GRID, LEVELS, SIZE

__all__ = ["LIMIT_BYTES", "Bind", "Workspace", "Workspaces"]

Bind = Callable[[NDArray[np.uint8], Features], Callable[[], object]]
"""Binds the encoder's input and outputs to buffers, and returns what runs it on them."""

LIMIT_BYTES = 64 << 20
"""The most memory that lies ready: that of about 40 images, at 1.6 MB each."""


class Workspace:
    """Memory for ``batch`` images: the encoder's input and outputs, and the scorer's distances."""

    def __init__(self, bind: Bind, batch: int) -> None:
        """Make the buffers and bind them."""
        self.batch = batch
        self.images = np.empty((batch, SIZE, SIZE, 3), np.uint8)
        shapes = [(batch, level.positions, level.channels) for level in LEVELS]
        self.features = Features._make(np.empty(shape, np.float32) for shape in [*shapes, (batch, len(LEVELS), 2, 3)])
        self.distances = np.empty((batch, GRID, GRID), np.float32)
        self.nbytes = sum(buffer.nbytes for buffer in (self.images, *self.features, self.distances))
        self._run = bind(self.images, self.features)

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Encode uint8 RGB images [batch, 224, 224, 3]; what is returned is overwritten by the next call."""
        np.copyto(self.images, images)
        self._run()
        return self.features


class Workspaces:
    """The workspaces of a backend: one for each inference that is under way, kept for the next ones.

    Of every size some may lie ready, up to ``limit`` bytes in all; those not used for longest go first.
    """

    def __init__(self, bind: Bind, limit: int = LIMIT_BYTES) -> None:
        """Begin with none; they are made when they are needed."""
        self._bind = bind
        self._limit = limit
        self._lock = threading.Lock()
        self._free: list[Workspace] = []

    @property
    def nbytes(self) -> int:
        """Bytes that lie ready."""
        return sum(workspace.nbytes for workspace in self._free)

    def take(self, batch: int) -> Workspace:
        """Return a workspace of that size that nobody else uses."""
        with self._lock:
            for place in range(len(self._free) - 1, -1, -1):
                if self._free[place].batch == batch:
                    return self._free.pop(place)
        return Workspace(self._bind, batch)

    def give(self, workspace: Workspace) -> None:
        """Take a workspace back."""
        with self._lock:
            self._free.append(workspace)
            while self.nbytes > self._limit:
                self._free.pop(0)
