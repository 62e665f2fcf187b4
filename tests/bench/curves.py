"""The benchmark's curves as one SVG picture: cost against k, and against the camera's resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["picture"]

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 360, 240, 60, 60, 90
_PANELS = {
    "shot": ("scoring one image, ms", "k, number of good images taught", "#1f6feb"),
    "megapixels": ("frame in memory to verdict, ms", "megapixels of the camera's frame", "#b35900"),
}


def _ticks(largest: float) -> list[float]:
    """Round values from 0 to just above ``largest``, about four of them."""
    step = next(s for s in (0.5, 1, 2, 4, 5, 10, 20, 40, 50, 100, 200) if s * 4.5 >= largest)
    return [step * number for number in range(int(largest / step) + 2)]


def _panel(points: Points, title: str, axis: str, colour: str, left: float) -> list[str]:
    across, up = _ticks(max(x for x, _ in points)), _ticks(max(y for _, y in points))
    bottom = _TOP + _HEIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / across[-1] * _WIDTH, bottom - y / up[-1] * _HEIGHT

    lines = [f'<text x="{left}" y="{_TOP - 14}" class="title">{escape(title)}</text>']
    for value in up:
        y = place(0, value)[1]
        lines.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + _WIDTH}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{left - 8}" y="{y + 4:.1f}" class="end">{value:g}</text>')
    for value in across:
        x = place(value, 0)[0]
        lines.append(f'<text x="{x:.1f}" y="{bottom + 18}" class="middle">{value:g}</text>')
    lines.append(f'<text x="{left + _WIDTH / 2}" y="{bottom + 40}" class="middle">{escape(axis)}</text>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for x, y in points:
        px, py = place(x, y)
        lines.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{colour}"/>')
        lines.append(f'<text x="{px:.1f}" y="{py - 10:.1f}" class="middle">{y:.1f}</text>')
    return lines


def picture(curves: Mapping[str, Points], hardware: str) -> str:
    """Return an SVG of the curves ``shot`` and ``megapixels``, each points (x, milliseconds)."""
    width = _LEFT + len(_PANELS) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + 80
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        "<style>text{font:13px sans-serif;fill:#222}.title{font-weight:bold}.middle{text-anchor:middle}"
        ".end{text-anchor:end}.grid{stroke:#ddd}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22">{escape(hardware)}</text>',
    ]
    for number, (name, (title, axis, colour)) in enumerate(_PANELS.items()):
        lines += _panel(curves[name], title, axis, colour, _LEFT + number * (_WIDTH + _GAP))
    return "\n".join([*lines, "</svg>"]) + "\n"
