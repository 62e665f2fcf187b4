"""Charts of an evaluation as inline SVG: ROC curves, score histograms, and what the STNs do."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "histogram", "roc", "theta_words", "transforms"]

_SIDE, _LEFT, _BOTTOM, _TOP = 220, 40, 36, 10
_WIDE = 400


class Curve(NamedTuple):
    """Scores of one round, float32 [n], under a name; ``area`` is their AUROC."""

    name: str
    scores: NDArray[np.float32]
    area: float | None


def _frame(width: int, x_title: str, y_title: str, x_ticks: Sequence[tuple[float, str]]) -> str:
    """Axes around a plot of ``width`` x `_SIDE` whose lower left corner is (`_LEFT`, `_TOP` + `_SIDE`)."""
    base = _TOP + _SIDE
    ticks = "".join(
        f"<line class='tick' x1='{_LEFT + at * width:.1f}' x2='{_LEFT + at * width:.1f}' y1='{base}' y2='{base + 4}'/>"
        f"<text x='{_LEFT + at * width:.1f}' y='{base + 16}' text-anchor='middle'>{html.escape(label)}</text>"
        for at, label in x_ticks
    )
    return (
        f"<rect class='plot' x='{_LEFT}' y='{_TOP}' width='{width}' height='{_SIDE}'/>{ticks}"
        f"<text x='{_LEFT + width / 2}' y='{base + 32}' text-anchor='middle'>{html.escape(x_title)}</text>"
        f"<text x='12' y='{_TOP + _SIDE / 2}' text-anchor='middle' transform='rotate(-90 12 {_TOP + _SIDE / 2})'>"
        f"{html.escape(y_title)}</text>"
    )


def _svg(width: int, body: str, name: str) -> str:
    box = f"0 0 {_LEFT + width + 10} {_TOP + _SIDE + _BOTTOM}"
    return f"<svg class='chart' role='img' aria-label='{html.escape(name)}' viewBox='{box}'>{body}</svg>"


def roc(labels: NDArray[np.bool_], curves: Sequence[Curve]) -> str:
    """Draw ROC curves over the same images; nothing when one class is absent."""
    if labels.all() or not labels.any():
        return "<p class='note'>No ROC curve: the test images are all of one class.</p>"
    from sklearn.metrics import roc_curve  # a second to import

    body = [_frame(_SIDE, "false alarms", "defects found", [(0, "0"), (0.5, "50 %"), (1, "100 %")])]
    base = _TOP + _SIDE
    body += [
        f"<text x='{_LEFT - 4}' y='{base - at * _SIDE + 4:.0f}' text-anchor='end'>{label}</text>"
        for at, label in ((0.03, "0"), (0.98, "100 %"))
    ]
    body.append(f"<line class='chance' x1='{_LEFT}' y1='{base}' x2='{_LEFT + _SIDE}' y2='{_TOP}'/>")
    for number, curve in enumerate(curves):
        wrong, right, _ = roc_curve(labels, curve.scores)
        points = " ".join(f"{_LEFT + x * _SIDE:.1f},{base - y * _SIDE:.1f}" for x, y in zip(wrong, right, strict=True))
        y = base - 12 - 16 * (len(curves) - 1 - number)
        area = "" if curve.area is None else f"  {100 * curve.area:.1f}"
        body.append(
            f"<polyline class='line c{number % 5}' points='{points}'/>"
            f"<text class='key c{number % 5}' x='{base + _LEFT - 18}' y='{y}' text-anchor='end'>"
            f"{html.escape(curve.name + area)}</text>"
        )
    return _svg(_SIDE, "".join(body), "ROC curves")


def histogram(labels: NDArray[np.bool_], scores: NDArray[np.float32], threshold: float, bins: int = 32) -> str:
    """Draw how many good and defective images score how high, with the threshold."""
    top = 1.02 * max(float(np.max(scores)), threshold)
    edges = np.linspace(0, top, bins + 1)
    counts = [np.histogram(scores[labels == kind], edges)[0] for kind in (False, True)]
    most = max(1, *(int(count.max()) for count in counts))
    width, base = _WIDE / bins, _TOP + _SIDE
    body = [_frame(_WIDE, "anomaly score", f"images (highest bar {most})", _ticks(top))]
    for kind, count in zip(("good", "bad"), counts, strict=True):
        body += [
            f"<rect class='{kind}' x='{_LEFT + index * width:.1f}' width='{width:.1f}' "
            f"y='{base - value / most * (_SIDE - 14):.1f}' height='{value / most * (_SIDE - 14):.1f}'/>"
            for index, value in enumerate(count)
            if value
        ]
    at = _LEFT + threshold / top * _WIDE
    anchor, shift = ("end", -5) if at > _LEFT + _WIDE / 2 else ("start", 5)
    body.append(
        f"<line class='limit' x1='{at:.1f}' x2='{at:.1f}' y1='{_TOP}' y2='{base}'/>"
        f"<text class='limit-name' x='{at + shift:.1f}' y='{_TOP + 12}' text-anchor='{anchor}'>"
        f"threshold {threshold:.1f}</text>"
    )
    return _svg(_WIDE, "".join(body), "histogram of scores")


def _ticks(top: float) -> list[tuple[float, str]]:
    """Round numbers from 0 to ``top``, four to nine of them, with their places in [0, 1]."""
    step = 10 ** math.floor(math.log10(top))
    step = next(step * part for part in (1, 0.5, 0.2, 0.1) if top / (step * part) >= 4)
    return [(number * step / top, f"{number * step:g}") for number in range(int(top / step) + 1)]


def transforms(thetas: NDArray[np.float32], most: int = 60) -> str:
    """Draw where each STN's transforms float32 [n, 2, 3] take the frame of the image: dashed is the identity."""
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32)
    step = max(1, math.ceil(len(thetas) / most))
    shapes = [corners @ theta.T for theta in thetas[::step]]
    reach = max(1.25, 1.05 * float(np.abs(shapes).max()))
    polygons = "".join(
        f"<polygon class='pose' points='{' '.join(f'{x:.3f},{y:.3f}' for x, y in shape)}'/>" for shape in shapes
    )
    box = f"{-reach:.3f} {-reach:.3f} {2 * reach:.3f} {2 * reach:.3f}"
    return (
        f"<svg class='poses' role='img' aria-label='transforms' viewBox='{box}'>"
        f"<rect class='frame' x='-1' y='-1' width='2' height='2'/>{polygons}</svg>"
    )


def theta_words(thetas: NDArray[np.float32]) -> str:
    """Say the mean and standard deviation over images of the rotation, scale and shift of thetas [n, 2, 3]."""
    angle = np.degrees(np.arctan2(thetas[:, 1, 0] - thetas[:, 0, 1], thetas[:, 0, 0] + thetas[:, 1, 1]))
    scale = np.linalg.norm(thetas[:, :, :2], axis=1)
    shift = thetas[:, :, 2]
    parts = [f"rotation {angle.mean():+.2f} ± {angle.std():.2f}°"]
    parts += [f"scale {axis} {scale[:, i].mean():.3f} ± {scale[:, i].std():.3f}" for i, axis in enumerate("xy")]
    parts += [f"shift {axis} {shift[:, i].mean():+.3f} ± {shift[:, i].std():.3f}" for i, axis in enumerate("xy")]
    return ", ".join(parts)
