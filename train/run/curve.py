"""The training curve as a picture: loss by epoch, and the held-out loss where an epoch is selected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_curve"]

_WIDTH, _HEIGHT = 960, 540
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 56, 60
_INK, _GREY, _PALE = (60, 50, 45), (130, 125, 120), (228, 226, 224)
_SERIES = (("loss", "training", (170, 90, 30)), ("held_out_loss", "held out", (40, 110, 220)))
"""Field of the log, its name in the legend, colour (BGR)."""


def draw_curve(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG, 960 x 540, of the log's lines, which have ``epoch``, ``loss`` and perhaps ``held_out_loss``."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = [line[field] for line in lines for field, _, _ in _SERIES if line.get(field) is not None]
    ticks = _ticks(min(values), max(values))
    last = max(int(line["epoch"]) for line in lines)
    plot = _Plot(canvas, max(last, 2), ticks[0], ticks[-1])
    for tick in ticks:
        plot.line([(1, tick), (plot.last, tick)], _PALE, 1)
        plot.text(f"{tick:.6g}", (1, tick), (-10, 6), right=True)
    for epoch in _epochs(plot.last):
        plot.text(str(epoch), (epoch, ticks[0]), (-5, 24))
    _write(canvas, "Registration loss by epoch (-1: the pairs' features agree)", (_LEFT, 32), _INK, 0.62)
    _write(canvas, "epoch", (_WIDTH // 2, _HEIGHT - 12), _GREY, 0.5)
    place = _WIDTH - _RIGHT - 220
    for field, name, colour in _SERIES:
        points = [(int(line["epoch"]), float(line[field])) for line in lines if line.get(field) is not None]
        if points:
            plot.line(points, colour, 2)
            for point in points:
                plot.dot(point, colour)
            _write(canvas, name, (place, _TOP - 8), colour, 0.5)
        place += 110
    done, data = cv2.imencode(".png", canvas)
    assert done
    return data.tobytes()


class _Plot:
    """The axes: epochs from 1 to ``last`` and losses from ``low`` to ``high`` on the canvas."""

    def __init__(self, canvas: NDArray[np.uint8], last: int, low: float, high: float) -> None:
        self.canvas, self.last, self.low, self.high = canvas, last, low, high

    def pixel(self, point: tuple[float, float]) -> tuple[int, int]:
        across = (point[0] - 1) / (self.last - 1)
        up = (point[1] - self.low) / (self.high - self.low)
        x = _LEFT + across * (_WIDTH - _LEFT - _RIGHT)
        return round(x), round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM))

    def line(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: int) -> None:
        path = np.array([self.pixel(point) for point in points], np.int32).reshape(-1, 1, 2)
        cv2.polylines(self.canvas, [path], False, colour, width, cv2.LINE_AA)

    def dot(self, point: tuple[float, float], colour: tuple[int, int, int]) -> None:
        cv2.circle(self.canvas, self.pixel(point), 3, colour, -1, cv2.LINE_AA)

    def text(self, text: str, point: tuple[float, float], offset: tuple[int, int], right: bool = False) -> None:
        x, y = self.pixel(point)
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] if right else 0
        _write(self.canvas, text, (x + offset[0] - width, y + offset[1]), _GREY, 0.45)


def _write(
    canvas: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int], size: float
) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers, about five steps, that hold ``low`` and ``high`` between them."""
    span = max(high - low, 1e-3)
    power = 10 ** math.floor(math.log10(span / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 6)
    first, final = math.floor(low / step), math.ceil(high / step)
    final = max(final, first + 1)
    return [number * step for number in range(first, final + 1)]


def _epochs(last: int) -> list[int]:
    """Return at most about ten epochs to name on the axis."""
    step = max(1, math.ceil(last / 10))
    return [1, *range(1 + step, last + 1, step)] if last > 1 else [1]
