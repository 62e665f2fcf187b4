"""The report of a demo run as one HTML file: no script, nothing fetched, light and dark, wide and narrow."""

from __future__ import annotations

import base64
import html
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from regad.runtime import Result
from regad.runtime.imaging.overlay import heatmap

__all__ = ["Inspected", "Report", "Stage", "render_page", "with_outline"]

Array = np.ndarray
TILE = 288
"""Longer side of a picture on the page, pixels."""
CARDS = 24
"""Most test images that the page shows."""


@dataclass(frozen=True)
class Stage:
    """A step of the run: what it did, how long it took, and the command that does it."""

    title: str
    seconds: float
    command: str = ""


@dataclass(frozen=True, eq=False)
class Inspected:
    """One judged test image: uint8 RGB [H, W, 3], its result, and the true defect (bool [H, W], None: no mask)."""

    name: str
    defect: str
    image: Array
    result: Result
    truth: Array | None

    @property
    def defective(self) -> bool:
        """Whether it is labelled as defective."""
        return self.defect != "good"

    @property
    def score(self) -> float:
        """The score as it is drawn: an image that shows no part has none, and lies beyond every threshold."""
        return min(self.result.score, 4 * self.result.threshold) if self.result.refusal else self.result.score

    @property
    def told(self) -> str:
        """The score in words."""
        return self.result.refusal.replace("_", " ") if self.result.refusal else f"{self.score:.2f}"

    @property
    def right(self) -> bool:
        """Whether the verdict agrees with the label."""
        return self.result.anomalous == self.defective


@dataclass(frozen=True, eq=False)
class Report:
    """Everything the page shows. AUROCs are None where the data does not allow one."""

    category: str
    background: str
    support: Sequence[tuple[str, Array]]
    held_out: Sequence[float]
    threshold_note: str
    items: Sequence[Inspected]
    image_auroc: float | None
    pixel_auroc: float | None
    device: str
    stages: Sequence[Stage]
    commands: Sequence[str]
    remarks: Sequence[str] = field(default_factory=tuple)

    @property
    def threshold(self) -> float:
        """The threshold that teaching set."""
        return self.items[0].result.threshold

    def totals(self) -> Array:
        """Milliseconds for each image, preprocessing to verdict."""
        return np.array([item.result.timings.total for item in self.items])

    def counts(self) -> tuple[int, int, int, int]:
        """Defective images found, defective images, good images rejected, good images."""
        bad = [item.right for item in self.items if item.defective]
        good = [item.right for item in self.items if not item.defective]
        return sum(bad), len(bad), len(good) - sum(good), len(good)


def number(value: float | None) -> str:
    """An AUROC to three places, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def embed(image: Array, quality: int = 84) -> str:
    """An image, uint8 RGB, as a data URI of a JPEG no larger than `TILE`."""
    scale = TILE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def with_outline(image: Array, truth: Array | None) -> Array:
    """The image with the true defect's outline drawn on it in white over black."""
    out = np.ascontiguousarray(image).copy()
    if truth is None or not truth.any():
        return out
    around = cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8))
    lines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    width = max(1, round(max(out.shape[:2]) / 280))
    cv2.drawContours(out, lines, -1, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.drawContours(out, lines, -1, (255, 255, 255), width, cv2.LINE_AA)
    return out


def overlay(item: Inspected) -> Array:
    """The image under its anomaly map, colours fixed to the threshold."""
    if item.result.refusal:
        return item.image
    values = item.result.map_over(item.image.shape[:2])
    return heatmap(np.ascontiguousarray(item.image), values, item.result.threshold)


def headline(report: Report) -> str:
    """The tiles with the run's numbers."""
    found, bad, rejected, good = report.counts()
    p50, p99 = np.percentile(report.totals(), (50, 99))
    cells = (
        (number(report.image_auroc), "image AUROC", f"{good} good, {bad} defective"),
        (number(report.pixel_auroc), "pixel AUROC", "at the encoder's 224 x 224"),
        (f"{found}/{bad}", "defects caught", "at the taught threshold"),
        (f"{rejected}/{good}", "good parts rejected", "at the taught threshold"),
        (f"{p50:.0f} ms", "per image, median", f"p99 {p99:.0f} ms"),
        (f"{len(report.support)}", "good photos to teach", "no defect was shown to it"),
    )
    tiles = (f"<div class='number'><b>{a}</b><span>{b}</span><small>{c}</small></div>" for a, b, c in cells)
    return f"<div class='numbers'>{''.join(tiles)}</div>"


def dots(values: Sequence[tuple[float, str, str]], top: float, limit: float) -> str:
    """One row of the score strip as SVG: (score, class, name) circles and the threshold."""
    at = [f"{100 * min(value / top, 1):.2f}%" for value, _, _ in values]
    circles = (
        f"<circle cx='{x}' cy='50%' r='6' class='{kind}'><title>{html.escape(name)}: {value:.2f}</title></circle>"
        for x, (value, kind, name) in zip(at, values, strict=True)
    )
    line = f"{100 * limit / top:.2f}%"
    return (
        f"<svg role='img'><line class='rail' x1='0' x2='100%' y1='50%' y2='50%'/>{''.join(circles)}"
        f"<line class='limit' x1='{line}' x2='{line}' y1='0' y2='100%'/></svg>"
    )


def strip(report: Report) -> str:
    """Every score on one axis, a row for each kind of defect."""
    limit = report.threshold
    top = 1.04 * max([limit, *report.held_out, *(item.score for item in report.items)])
    rows = [("support", "left out in turn", [(score, "support-dot", "support image") for score in report.held_out])]
    kinds = sorted({item.defect for item in report.items}, key=lambda kind: (kind != "good", kind))
    for kind in kinds:
        chosen = [item for item in report.items if item.defect == kind]
        points = [(item.score, "bad" if item.defective else "good", item.name) for item in chosen]
        fine = sum(item.right for item in chosen)
        said = f"{fine}/{len(chosen)} {'passed' if kind == 'good' else 'caught'}"
        rows.append((kind.replace("_", " "), said, points))
    body = "".join(
        f"<div class='row'><span>{html.escape(name)}<small>{said}</small></span>{dots(points, top, limit)}</div>"
        for name, said, points in rows
        if points
    )
    axis = (
        f"<div class='row axis'><span></span><svg style='height:20px'><text x='0' y='15'>0</text>"
        f"<text class='limit-name' x='{100 * limit / top:.2f}%' y='15' text-anchor='middle'>"
        f"threshold {limit:.2f}</text>"
        f"<text x='100%' y='15' text-anchor='end'>{top:.1f}</text></svg></div>"
    )
    return f"<div class='panel'>{body}{axis}</div>"


def chosen_items(items: Sequence[Inspected]) -> list[Inspected]:
    """What to show: mistakes first (at most half), then defects of every kind in turn, then the highest good parts."""
    wrong = [item for item in items if not item.right][: CARDS // 2]
    good = sorted((i for i in items if i.right and not i.defective), key=lambda i: -i.result.score)[: CARDS // 6]
    bad = [item for item in items if item.right and item.defective]
    rank = {id(item): sum(i.defect == item.defect for i in bad[:n]) for n, item in enumerate(bad)}
    bad.sort(key=lambda item: (rank[id(item)], item.defect))
    return [*wrong, *bad[: CARDS - len(wrong) - len(good)], *good]


def card(item: Inspected) -> str:
    """One test image: as it came with the true outline, and under its anomaly map."""
    tag = (("missed", "caught") if item.defective else ("false alarm", "passed"))[item.right]
    name = html.escape(item.defect.replace("_", " "))
    return (
        f"<figure class='item'><div class='pair'><img alt='{name}, as photographed' "
        f"src='{embed(with_outline(item.image, item.truth))}'><img alt='{name}, anomaly map' "
        f"src='{embed(overlay(item))}'></div><figcaption><span class='name'>{name}</span>"
        f"<span class='score'>{item.told}</span>"
        f"<span class='tag {'ok' if item.right else 'no'}'>{tag}</span></figcaption></figure>"
    )


def latency(report: Report) -> str:
    """Median milliseconds of each step as a bar, and the total's percentiles."""
    steps = ("preprocess", "encode", "score")
    medians = [float(np.median([getattr(i.result.timings, step) for i in report.items])) for step in steps]
    whole = sum(medians) or 1.0
    bar = "".join(f"<i class='s{n}' style='width:{100 * ms / whole:.1f}%'></i>" for n, ms in enumerate(medians))
    names = zip(steps, medians, strict=True)
    legend = "".join(f"<span><i class='s{n}'></i>{step} {ms:.1f} ms</span>" for n, (step, ms) in enumerate(names))
    p50, p90, p99 = np.percentile(report.totals(), (50, 90, 99))
    return (
        f"<div class='panel'><div class='bar'>{bar}</div><div class='legend'>{legend}"
        f"<span>total p50 {p50:.1f}, p90 {p90:.1f}, p99 {p99:.1f} ms</span>"
        f"<span>{1000 / p50:.0f} images/s</span></div></div>"
    )


def stages_table(stages: Sequence[Stage]) -> str:
    """The run's steps and their times."""
    rows = "".join(
        f"<tr><td>{html.escape(stage.title)}</td><td class='right'>{stage.seconds:.1f} s</td></tr>" for stage in stages
    )
    total = sum(stage.seconds for stage in stages)
    head = "<tr><th>step</th><th class='right'>time</th></tr>"
    return (
        f"<div class='panel scroll'><table>{head}{rows}"
        f"<tr><th>in all</th><th class='right'>{total:.0f} s</th></tr></table></div>"
    )


def render_page(report: Report, examples: str = "", further: str = "") -> str:
    """The whole page as text; ``examples`` and ``further`` are sections (HTML) for its middle and its end."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    support = "".join(
        f"<figure><img alt='support image' src='{embed(image)}'><figcaption>{html.escape(name)}</figcaption></figure>"
        for name, image in report.support
    )
    shown = chosen_items(report.items)
    part = html.escape(report.category.replace("_", " "))
    commands = html.escape("\n".join(report.commands))
    remarks = "".join(f"<p class='note'>{html.escape(remark)}</p>" for remark in report.remarks)
    machine = html.escape(f"{report.device}, {platform.machine()}, Python {platform.python_version()}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RegAD: {part}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>Taught “{part}” from {len(report.support)} good photos</h1>
<p class="lead">{html.escape(report.background)}</p>
{headline(report)}
<h2>What it was taught</h2>
<p class="note">All it has seen of this part. Its threshold: {html.escape(report.threshold_note)}.</p>
<div class="support">{support}</div>
<h2>Every score, and the threshold</h2>
<p class="note">One dot is one image. Right of the line is rejected. The line was set from the good photos alone.</p>
{strip(report)}
<h2>What it sees</h2>
<p class="note">Left: the photo, with the true defect outlined. Right: the anomaly map; colours are fixed to the
threshold, so a good part stays as it is. {len(shown)} of {len(report.items)} test images, mistakes first.</p>
<div class="grid">{"".join(card(item) for item in shown)}</div>
{examples}
<h2>Time for one image</h2>
<p class="note">{machine}; one image at a time, medians.</p>
{latency(report)}
<h2>How this was made</h2>
{remarks}
{stages_table(report.stages)}
<h2>Do it again</h2>
<pre>{commands}</pre>
{further}
<footer>RegAD edge toolkit. Method: Huang et al., Registration based Few-Shot Anomaly Detection, ECCV 2022.</footer>
</main>
</body>
</html>
"""
