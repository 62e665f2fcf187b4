"""A camera without one: ``camera.source = "drawn:RATE"`` puts drawn parts under it, so many a second, and triggers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import InputError
from ..sources.frame import Source
from .codes import State
from .image import ProcessImage
from .scene import DEFECTS, DrawnCamera, Scene

__all__ = ["DrawnParts", "is_drawn", "rate_of"]

_SOURCE = re.compile(r"drawn(?::(?P<rate>\d{1,3}(?:\.\d{1,3})?))?")
_DEFECTIVE = 0.15
_PATIENCE = 30.0  # seconds for a verdict

Handle = Callable[[dict[str, Any]], "dict[str, Any] | Future[dict[str, Any]]"]


def is_drawn(source: str) -> bool:
    """Whether a camera's source stands for drawn parts."""
    return source == "drawn" or source.startswith("drawn:")


def rate_of(source: str) -> float:
    """Return how many drawn parts come a second; 0: none comes by itself. Raises InputError."""
    found = _SOURCE.fullmatch(source)
    rate = float(found["rate"] or 1.0) if found else -1.0
    if not 0.0 <= rate <= 100.0:
        raise InputError(f"source is {source!r}; expected drawn:RATE, the rate from 0 to 100 parts a second")
    return rate


class DrawnParts:
    """Drawn parts: some with a defect, whose name is the first word of the serial. Everything follows from ``seed``."""

    def __init__(self, rate: float, seed: int = 1) -> None:
        self._rate = rate
        self._scene = Scene(seed)
        self._random = np.random.default_rng(seed)
        self._ended = threading.Event()
        self._count = 0

    @classmethod
    def of(cls, source: str) -> DrawnParts | None:
        """What a camera's source stands for; None for a camera. Raises InputError."""
        return cls(rate_of(source)) if is_drawn(source) else None

    def open(self) -> Source:
        """The camera that looks at them."""
        return DrawnCamera(self._scene)

    @contextmanager
    def coming(self, handle: Handle, image: Callable[[], ProcessImage]) -> Iterator[None]:
        """Let parts come: each is put under the camera and triggered by `Requests.handle`, while the line is ready."""
        thread = threading.Thread(target=self._run, args=(handle, image), name="regad drawn parts", daemon=True)
        if self._rate > 0:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            if thread.is_alive():
                thread.join()

    def _run(self, handle: Handle, image: Callable[[], ProcessImage]) -> None:
        while not self._ended.wait(1.0 / self._rate):
            if image().state in (State.READY, State.RESULT):
                self._part(handle)

    def _part(self, handle: Handle) -> None:
        defective = self._random.random() < _DEFECTIVE
        defect = DEFECTS[int(self._random.integers(len(DEFECTS)))] if defective else None
        self._scene.present(defect)
        self._count += 1
        answer = handle({"command": "trigger", "serial": f"{defect or 'good'} {self._count}"})
        while isinstance(answer, Future) and not answer.done() and not self._ended.wait(0.02):
            pass
