"""Buffers of one inference on the CPU, bound to the encoder once and used again: a steady state allocates nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.features import Features
from ..formats.spec import GRID, LEVELS, SIZE

__all__ = ["Workspace", "Workspaces"]

_KEPT = 4


class Workspace:
    """Memory for ``batch`` images: the encoder's input and outputs, and the scorer's distances."""

    def __init__(self, session: Any, batch: int) -> None:
        """Bind the buffers to an ONNX Runtime session of the encoder."""
        self.batch = batch
        self.images = np.empty((batch, SIZE, SIZE, 3), np.uint8)
        shapes = [(batch, level.positions, level.channels) for level in LEVELS]
        self.features = Features._make(np.empty(shape, np.float32) for shape in [*shapes, (batch, len(LEVELS), 2, 3)])
        self.distances = np.empty((batch, GRID, GRID), np.float32)
        self._session = session
        self._binding = session.io_binding()
        self._binding.bind_input("image", "cpu", 0, np.uint8, self.images.shape, self.images.ctypes.data)
        for name, out in zip(Features._fields, self.features, strict=True):
            self._binding.bind_output(name, "cpu", 0, np.float32, out.shape, out.ctypes.data)

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Encode uint8 RGB images [batch, 224, 224, 3]; what is returned is overwritten by the next call."""
        np.copyto(self.images, images)
        self._session.run_with_iobinding(self._binding)
        return self.features


class Workspaces:
    """The workspaces of a backend: one for each inference that is under way, kept for the next ones."""

    def __init__(self, session: Any) -> None:
        """Begin with none; they are made when they are needed."""
        self._session = session
        self._free: list[Workspace] = []

    def take(self, batch: int) -> Workspace:
        """Return a workspace that nobody else uses. Appending to and popping from a list are atomic in Python."""
        try:
            while (found := self._free.pop()).batch != batch:
                pass
        except IndexError:
            return Workspace(self._session, batch)
        return found

    def give(self, workspace: Workspace) -> None:
        """Take a workspace back."""
        if len(self._free) < _KEPT:
            self._free.append(workspace)
