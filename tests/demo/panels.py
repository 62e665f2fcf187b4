"""A situation as one picture: a row for each way to teach it, with a taught photo and the verdict on each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from poster import BAD, GOOD, INK, PAPER, fitted

from regad.runtime import Result
from regad.runtime.imaging.overlay import render
from regad.runtime.line.picture_file import encode

__all__ = ["Judged", "Outcome", "compose"]

Array = np.ndarray
TILE, GAP, HEAD, FOOT = 152, 6, 24, 42
SOFT = (151, 165, 181)


class Judged(NamedTuple):
    """A group of frames of one kind: its name, whether the parts are good, and each frame with its result."""

    name: str
    good: bool
    frames: Sequence[Array]
    results: Sequence[Result]

    @property
    def flagged(self) -> int:
        """How many are rejected."""
        return sum(result.anomalous for result in self.results)

    @property
    def middle(self) -> int:
        """Which frame has the middle score."""
        order = sorted(range(len(self.results)), key=lambda index: self.results[index].score)
        return order[len(order) // 2]

    @property
    def told(self) -> str:
        """How many of them are rejected, in words."""
        return f"{self.flagged} of {len(self.results)} {'flagged' if self.good else 'found'}"

    @property
    def right(self) -> bool:
        """Whether most verdicts are right."""
        return (2 * self.flagged < len(self.results)) == self.good


class Outcome(NamedTuple):
    """A way to teach: its name, one of the photos that were taught, and what was made of each group."""

    name: str
    taught: Array
    groups: Sequence[Judged]


def ratio(result: Result) -> str:
    """How the score lies to the threshold, or why there is none."""
    return result.refusal.replace("_", " ") if result.refusal else f"{result.score / result.threshold:.2f}x"


def seen(frame: Array, result: Result) -> Array:
    """The frame under its anomaly map, dark where nothing was judged: the product's overlay without its banner."""
    return render(frame, result)[: frame.shape[0], : frame.shape[1]]


def compose(rows: Sequence[Outcome], quality: int = 70) -> bytes:
    """The picture as JPEG; of each group it shows the frame with the middle score."""
    columns = 1 + max(len(row.groups) for row in rows)
    height = HEAD + TILE + FOOT
    canvas = Image.new("RGB", (GAP + columns * (TILE + GAP), len(rows) * height + GAP), PAPER)
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(15), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        top = number * height
        draw.text((GAP + 2, top + HEAD / 2 + 2), row.name, INK, font, anchor="lm")
        canvas.paste(fitted(row.taught, TILE), (GAP, top + HEAD))
        draw.text((GAP + 2, top + HEAD + TILE + 11), "a photo taught", SOFT, small, anchor="lm")
        for column, group in enumerate(row.groups, 1):
            left, foot = GAP + column * (TILE + GAP), top + HEAD + TILE
            chosen = group.results[group.middle]
            canvas.paste(fitted(seen(group.frames[group.middle], chosen), TILE), (left, top + HEAD))
            draw.text((left + 2, foot + 11), group.name, INK, small, anchor="lm")
            draw.text(
                (left + TILE - 2, foot + 28), ratio(chosen), BAD if chosen.anomalous else GOOD, small, anchor="rm"
            )
            draw.text((left + 2, foot + 28), group.told, GOOD if group.right else BAD, small, anchor="lm")
    return encode(np.asarray(canvas), ".jpg", quality)
