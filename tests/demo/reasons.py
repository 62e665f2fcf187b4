"""A part that lies anywhere, with an example of every reason code; and how to go on at a line. Sections of the page."""

from __future__ import annotations

import html
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page import embed
from panels import seen
from parts import draw, save
from scenes import TURNED_LABEL, bench_ground

from regad.runtime import Detector, Result
from regad.runtime.imaging.reading import read_image

__all__ = ["MEANINGS", "PART", "Example", "judge", "line_section", "section", "write_photos"]

Array = np.ndarray
PART = "label"
SHOT = 4
MEANINGS = {
    "good": "the score is at or below the threshold",
    "anomalous": "the score is above the threshold",
    "misplaced": "no score: nothing matches as the taught parts do; it is partly outside, another part, or not there",
    "no_part": "no score: the frame is too dark, too bright, plain or blurred to show a part",
}
"""What each reason code says; all but the first reject the part."""


@dataclass(frozen=True, eq=False)
class Example:
    """A frame, uint8 RGB [H, W, 3], what it shows in truth, and its result."""

    name: str
    image: Array
    result: Result

    @property
    def told(self) -> str:
        """Score and pose, or why there is no score."""
        if self.result.refusal:
            return self.result.detail
        score = f"score {self.result.score:.2f}, threshold {self.result.threshold:.2f}"
        pose = self.result.pose
        if pose is None:
            return score
        return f"{score}; turned by {pose.angle:.0f}°, moved by {pose.dx:.0f}, {pose.dy:.0f} pixels of 224"


def frames() -> dict[str, Array]:
    """The frames to judge, by what they show."""

    def label(defect: str | None, index: int) -> Array:
        return draw(TURNED_LABEL, f"anywhere/{defect}", defect, index).image

    wide = TURNED_LABEL._replace(shift=140.0)
    return {
        "good": label(None, 0),
        "good, turned otherwise": label(None, 3),
        "print missing": label("missing_print", 0),
        "torn": label("tear", 0),
        "half out of the frame": draw(wide, "anywhere/out", None, 5).image,
        "empty conveyor": bench_ground(TURNED_LABEL),
        "lamp off": (label(None, 1) * np.float32(0.03)).astype(np.uint8),
    }


def write_photos(folder: Path) -> tuple[Path, Path]:
    """Write the photos to teach and the frames to judge; returns both folders. Raises OSError."""
    good, shown = folder / "good", folder / "frames"
    for index in range(SHOT):
        save(good / f"{index:03d}.png", draw(TURNED_LABEL, "anywhere/train", None, index).image[..., ::-1])
    for number, (name, image) in enumerate(frames().items()):
        save(shown / f"{number} {name}.png", image[..., ::-1])
    return good, shown


def judge(detector: Detector, folder: Path) -> list[Example]:
    """Judge the frames of a folder, in the order of their names."""
    images = [(path.stem.partition(" ")[2], read_image(path)) for path in sorted(folder.iterdir())]
    return [Example(name, image, detector.predict(image)) for name, image in images]


def card(example: Example) -> str:
    """One frame: as it came, and under its anomaly map, with the reason."""
    result, name = example.result, html.escape(example.name)
    over = embed(seen(example.image, result))
    return (
        f"<figure class='item'><div class='pair'><img alt='{name}' src='{embed(example.image)}'>"
        f"<img alt='{name}, judged' src='{over}'></div><figcaption><span class='name'>{name}</span>"
        f"<span class='tag {'no' if result.anomalous else 'ok'}'>{result.reason}</span>"
        f"<span class='why'>{html.escape(example.told)}</span></figcaption></figure>"
    )


def section(examples: Sequence[Example]) -> str:
    """The section of the page, HTML; "" without examples."""
    if not examples:
        return ""
    rows = "".join(f"<tr><td><code>{name}</code></td><td>{text}</td></tr>" for name, text in MEANINGS.items())
    head = "<tr><th>reason</th><th>what it says</th></tr>"
    return (
        "<h2>A part that lies anywhere, and the reason codes</h2>"
        f"<p class='note'>A drawn {PART}, taught from {SHOT} photos with <code>--register on</code>: each frame is "
        "turned upright before it is judged, and what lies outside the judged region is shown dark. "
        f"Every verdict has one of four reasons. An encoder that the demo trained has seen other {PART}s, upright.</p>"
        f"<div class='panel scroll'><table>{head}{rows}</table></div>"
        f"<div class='grid reasons'>{''.join(card(example) for example in examples)}</div>"
    )


def line_section(model: Path) -> str:
    """The section of the page that shows how to run a simulated station with the artifact, HTML."""
    word = shlex.quote(str(model))
    commands = (
        ". .venv/bin/activate                              # what make demo installed\n"
        f"regad-station simulate --model {word}\n"
        f"regad-station init demo-station --simulate --model {word}\n"
        "regad-station run demo-station/station.toml       # prints the link of the operator's page"
    )
    return (
        "<h2>See it at a line</h2><p class='note'>Drawn parts and a simulated PLC; camera thread, judge, outputs and "
        "record are the real ones. The first command prints what came of 100 parts; the other two show the page for "
        f"operators and engineers.</p><pre>{html.escape(commands)}</pre>"
    )
