"""The picture of a verdict: the anomaly map over the source image, and a banner with the verdict, score and threshold.

The colour scale is fixed to the threshold and never stretched to the image: 0 to twice the threshold, nothing drawn
below half of it, cool colours up to it, warm ones above, a contour at it. A good part looks like the part itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..formats.spec import InputSpec
from .opencv import load_cv2
from .preprocess import as_rgb8, place
from .registration import Located, lay

__all__ = ["Judged", "error_panel", "heatmap", "render"]

Picture = NDArray[np.uint8]

# Index on the scale (0 = nothing, 128 = the threshold, 255 = twice the threshold): red, green, blue, opacity.
_STOPS = {
    0: (26, 30, 40, 0.0),
    64: (38, 84, 170, 0.0),
    112: (52, 176, 206, 0.22),
    127: (120, 214, 200, 0.30),
    128: (255, 220, 70, 0.42),
    192: (246, 112, 38, 0.52),
    255: (206, 18, 66, 0.62),
}
_VISIBLE = 64
_DIM = 0.35
_SMALLEST = 256  # a smaller image is enlarged by a whole factor until its longer side reaches this
_NARROWEST = 240  # pixels that the banner needs
_INK, _FAINT, _PAPER = (240, 242, 245), (150, 156, 168), (18, 20, 26)
_GREEN, _RED, _AMBER = (28, 140, 74), (204, 32, 44), (214, 140, 20)
_VERDICTS = {
    "good": ("GOOD", _GREEN),
    "anomalous": ("ANOMALY", _RED),
    "misplaced": ("MISPLACED", _RED),
    "no_part": ("NO PART", _RED),
}


class Judged(Protocol):
    """The part of a `Result` that is drawn."""

    @property
    def score(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def anomaly_map(self) -> NDArray[np.float32]: ...
    @property
    def spec(self) -> InputSpec: ...
    @property
    def located(self) -> Located | None: ...


@cache
def scale_colours() -> tuple[Picture, NDArray[np.float32]]:
    """Return the scale as uint8 RGB [256, 3] and float32 opacity [256]; index 128 stands for the threshold."""
    at = np.array(list(_STOPS))
    values = np.array(list(_STOPS.values()))
    index = np.arange(256)
    columns = [np.interp(index, at, values[:, column]) for column in range(4)]
    return np.stack(columns[:3], axis=1).round().astype(np.uint8), columns[3].astype(np.float32)


def scale_index(values: NDArray[np.float32], threshold: float) -> Picture:
    """Place scores on the colour scale: uint8, 128 and above exactly where the threshold is passed."""
    index = np.minimum(values * np.float32(128 / threshold), 255).astype(np.uint8)
    passed: Picture = np.where(values > threshold, np.maximum(index, 128), np.minimum(index, 127)).astype(np.uint8)
    return passed


def heatmap(image: Picture, values: NDArray[np.float32], threshold: float) -> Picture:
    """Return ``image`` (uint8 RGB [H, W, 3]) with the anomaly map ``values`` (float32 [H, W]) laid over it, same shape.

    Pixels below half the threshold are the image's own; a contour is drawn at the threshold.
    """
    cv2 = load_cv2()
    out = image.copy()
    index = scale_index(values, threshold)
    x, y, w, h = cv2.boundingRect((index >= _VISIBLE).astype(np.uint8))
    if w == 0:
        return out
    colours, opacity = scale_colours()
    spot = np.ascontiguousarray(index[y : y + h, x : x + w])
    tint = cv2.LUT(cv2.merge([spot, spot, spot]), colours.reshape(256, 1, 3))
    weight = opacity[spot]
    out[y : y + h, x : x + w] = cv2.blendLinear(out[y : y + h, x : x + w], tint, 1 - weight, weight)
    lines, _ = cv2.findContours((index >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    thick = max(1, round(min(max(out.shape[:2]) / 480, min(out.shape[:2]) / 60)))
    cv2.drawContours(out, lines, -1, _PAPER, thick + 1 + thick // 2, cv2.LINE_AA)
    cv2.drawContours(out, lines, -1, (255, 255, 255), thick, cv2.LINE_AA)
    return out


def render(image: NDArray[Any], result: Judged, title: str = "") -> Picture:
    """Return the overlay of one result, uint8 RGB: the heat map on the image, and the banner below it.

    ``image`` is what was judged, uint8 RGB [H, W, 3] or grey [H, W]. It keeps its size, except that a small one is
    enlarged by a whole factor; what lies outside the region that was judged is dimmed: the region of interest or the
    crop, where the part was found if it is registered. Where there is no score there is no heat map; the banner says
    why. Raises InputError for an unusable array.
    """
    picture = as_rgb8(image)
    height, width = picture.shape[:2]
    values = None if _is_refused(result) else lay(result.anomaly_map, result.spec, result.located, (height, width))
    judged = _judged_region(result, (height, width))
    factor = -(-_SMALLEST // max(height, width))
    if factor > 1:
        cv2 = load_cv2()
        size = (width * factor, height * factor)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
        values = None if values is None else cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        judged = np.repeat(np.repeat(judged, factor, axis=0), factor, axis=1)
    body = _dim_outside(picture, judged)
    body = body if values is None else heatmap(body, values, result.threshold)
    return _join(body, _banner(max(body.shape[1], _NARROWEST), body.shape[0], result, title))


def _is_refused(result: Judged) -> bool:
    return not np.isfinite(result.score)


def _judged_region(result: Judged, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the encoder looked, bool [H, W]."""
    region = np.zeros(shape, np.bool_)
    left, top, right, bottom = place(shape[1], shape[0], result.spec).box
    region[top:bottom, left:right] = True
    if result.located is not None and not _is_refused(result):
        everywhere = np.ones_like(result.anomaly_map)
        region = lay(everywhere, result.spec, result.located, shape) > 0
    return region


def _dim_outside(picture: Picture, judged: NDArray[np.bool_]) -> Picture:
    if judged.all():
        return picture
    return np.where(judged[..., None], picture, (picture * np.float32(_DIM)).astype(np.uint8))


def _join(body: Picture, banner: Picture) -> Picture:
    """Put the banner below the body, which is centred if it is the narrower one."""
    height, width = body.shape[:2]
    canvas = np.empty((height + banner.shape[0], banner.shape[1], 3), np.uint8)
    canvas[:height] = _PAPER
    left = (banner.shape[1] - width) // 2
    canvas[:height, left : left + width] = body
    canvas[height:] = banner
    return canvas


def _text_size(width: int, height: int) -> int:
    return round(max(12.0, min(width / 24, max(height, width / 10) / 6, 110.0)))


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.4g}"


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _banner(width: int, height: int, result: Judged, title: str) -> Picture:
    """Two rows: the verdict with its score; the colour scale with the score marked on it, or why there is no score."""
    size = _text_size(width, height)
    row, bar, foot = 2 * size, max(4, size // 2), round(1.4 * size)
    canvas = Image.new("RGB", (width, row + bar + foot), _PAPER)
    draw = ImageDraw.Draw(canvas)
    end = _verdict(draw, size, *_VERDICTS[result.reason])
    text = "no score" if _is_refused(result) else f"score  {_number(result.score)}"
    draw.text((end, row / 2), text, _INK, _font(size), anchor="lm")
    end += draw.textlength(text, _font(size)) + size
    if title and end + draw.textlength(title, _font(size)) + size / 2 < width:
        draw.text((width - size / 2, row / 2), title, _FAINT, _font(size), anchor="rm")
    small, base = _font(max(10, round(0.8 * size))), row + bar + foot / 2
    if _is_refused(result):
        draw.text((width / 2, base), result.detail, _INK, small, anchor="mm")
        return np.asarray(canvas)
    index = np.minimum(np.arange(width) * 256 // width, 255)
    canvas.paste(Image.fromarray(np.repeat(scale_colours()[0][index][None], bar, axis=0)), (0, row))
    _mark(draw, width, row, bar, result)
    draw.text((size / 2, base), "0", _FAINT, small, anchor="lm")
    draw.text((width / 2, base), f"threshold  {_number(result.threshold)}", _INK, small, anchor="mm")
    draw.text((width - size / 2, base), _number(2 * result.threshold), _FAINT, small, anchor="rm")
    return np.asarray(canvas)


def _verdict(draw: ImageDraw.ImageDraw, size: int, word: str, colour: tuple[int, int, int]) -> float:
    """Draw the verdict's coloured field at the left; return where the text after it begins."""
    bold = max(1, size // 22)
    wide = draw.textlength(word, _font(size)) + 1.6 * size
    draw.rectangle((0, 0, wide, 2 * size - 1), colour)
    draw.text((wide / 2, size), word, (255, 255, 255), _font(size), anchor="mm", stroke_width=bold / 2)
    return wide + 0.8 * size


def _mark(draw: ImageDraw.ImageDraw, width: int, top: int, bar: int, result: Judged) -> None:
    """Mark the threshold (a line) and the score (a pointer) on the colour scale."""
    half = max(1, bar // 8)
    draw.rectangle((width / 2 - half, top, width / 2 + half - 1, top + bar - 1), (255, 255, 255))
    share = min(max(result.score / (2 * result.threshold), 0.0), 1.0)
    at = min(max(share * width, bar * 0.7), width - bar * 0.7)
    points = [(at - bar * 0.7, top - bar * 0.45), (at + bar * 0.7, top - bar * 0.45), (at, top + bar * 0.75)]
    draw.polygon(points, (255, 255, 255), outline=_PAPER)


def error_panel(message: str, shape: tuple[int, int]) -> Picture:
    """Return a picture, uint8 RGB of at least ``shape`` (height, width), that says why nothing was judged."""
    height, width = max(shape[0], 120), max(shape[1], 320)
    size = _text_size(width, height)
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    _verdict(draw, size, "NOT JUDGED", _AMBER)
    line, top = "", 3.0 * size
    for word in [*message.split(), ""]:
        if word and draw.textlength(f"{line} {word}", _font(size)) < width - 1.6 * size:
            line = f"{line} {word}".strip()
            continue
        draw.text((0.8 * size, top), line, _INK, _font(size), anchor="lm")
        line, top = word, top + 1.4 * size
    return np.asarray(canvas)
