"""A judge of the test's own and its frames, for the threads of the line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.arrival import Prepared, prepare
from regad.runtime.result import Result, Timings
from regad.runtime.sources.frame import Frame
from regad.runtime.station.effects import Judge
from regad.runtime.station.judge import JudgingThread, Pinned
from regad.runtime.station.part import Job, Token

from .station_doubles import Clock

ONE = Job(1, "one", "a" * 64)
TOKEN = Token(1, 1)


def grey_frame(grey: int, mark: int = 0, taken: float = 0.0) -> Frame:
    image = np.full((8, 8, 3), grey, np.uint8)
    image[mark // 8 % 8, mark % 8] += mark > 0
    return Frame("test", mark, 0.0, image, taken=taken)


class Brightness:
    """Good below 100."""

    def prepare(self, image: Any) -> Prepared:
        return prepare(image, InputSpec())

    def predict_prepared(self, frames: Any) -> list[Result]:
        score = float(frames[0].image.mean())
        heat = np.zeros((224, 224), np.float32)
        heat[7, 9] = score
        thetas = np.zeros((3, 2, 3), np.float32)
        return [Result(score, 100.0, score > 100.0, heat, thetas, Timings(0, 0, 0, 0), InputSpec())]


PINNED = Pinned(ONE, Brightness(), {}, "cafe", "beef")


def judged(
    frames: list[Frame], pinned: Callable[[Job], Pinned] = lambda job: PINNED, watch_frozen: bool = True
) -> list[Any]:
    events: list[Any] = []
    thread = JudgingThread(pinned, events.append, print, Clock(), watch_frozen=watch_frozen)
    for number, frame in enumerate(frames, 1):
        thread.submit(Judge(Token(1, number), number, frame, ONE))
        thread.step(0.0)
    thread.step(0.0)
    return [event.outcome for event in events]
