"""One picture of results, for a README: photos above, what the detector made of them below."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from page import Inspected, overlay
from PIL import Image, ImageDraw, ImageFont

from regad.runtime.line.picture_file import encode

__all__ = ["BAD", "GOOD", "INK", "PAPER", "compose", "fitted", "pick"]

TILE, GAP, FOOT, COLUMNS = 296, 10, 40, 4
PAPER, INK = (22, 27, 34), (226, 232, 240)
GOOD, BAD = (72, 190, 130), (255, 116, 100)


def pick(items: Sequence[Inspected]) -> list[Inspected]:
    """A good part, and of each kind of defect the image with the middle score."""
    kinds = sorted({item.defect for item in items if item.defective})
    chosen = []
    for kind in ("good", *kinds):
        alike = sorted((item for item in items if item.defect == kind), key=lambda item: item.result.score)
        chosen += alike[len(alike) // 2 :][:1]
    return chosen[:COLUMNS]


def fitted(image: np.ndarray, tile: int = TILE) -> Image.Image:
    """The image, uint8 RGB, filling a square of ``tile`` pixels."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    way = cv2.INTER_AREA if side > tile else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(square, (tile, tile), interpolation=way))


def compose(items: Sequence[Inspected], quality: int = 86) -> bytes:
    """The picture of up to four chosen items as JPEG."""
    chosen = pick(items) if len(items) > COLUMNS else list(items)
    width = GAP + len(chosen) * (TILE + GAP)
    canvas = Image.new("RGB", (width, 2 * TILE + 3 * GAP + FOOT), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    for column, item in enumerate(chosen):
        left = GAP + column * (TILE + GAP)
        canvas.paste(fitted(item.image), (left, GAP))
        canvas.paste(fitted(overlay(item)), (left, TILE + 2 * GAP))
        middle = 2 * TILE + 3 * GAP + FOOT / 2 - GAP / 2
        score = f"{item.result.score / item.result.threshold:.1f}x threshold"
        draw.text((left + 4, middle), item.defect.replace("_", " "), INK, font, anchor="lm")
        draw.text((left + TILE - 4, middle), score, BAD if item.result.anomalous else GOOD, font, anchor="rm")
    return encode(np.asarray(canvas), ".jpg", quality)
