"""The report of an evaluation as one HTML file: no script, nothing fetched, light and dark, wide and narrow."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from regad.runtime import text
from regad.runtime.commands.own_files import html_mark
from regad.runtime.formats.spec import SIZE
from regad.runtime.imaging.overlay import heatmap
from regad.runtime.imaging.reading import read_image

from .charts import Curve, histogram, roc, theta_words, transforms
from .evaluate import Evaluation, Trial
from .results import summarise
from .tables import Table

__all__ = ["Gallery", "render_report"]

Picture = NDArray[np.uint8]
_SHOWN = 3
"""Cards of each kind: the worst defective, the worst good and the best defective images."""


@dataclass(frozen=True)
class _Card:
    """One test image on the page: two pictures as data URIs, and what was said of it."""

    name: str
    defective: bool
    score: float
    threshold: float
    photo: str
    overlay: str


@dataclass(frozen=True, eq=False)
class _Section:
    """A category on the page: the trial that is shown, and the ROC curves of its seed."""

    evaluation: Evaluation
    note: str
    labels: NDArray[np.bool_]
    thetas: NDArray[np.float32]
    support: Sequence[tuple[str, str]]
    worst: Sequence[_Card]
    best: Sequence[_Card]


@dataclass
class Gallery:
    """Collects from the trials of `run_rounds` what the report shows; pictures are those of the highest shot."""

    shot: int
    seed: int
    sections: dict[str, _Section] = field(default_factory=dict)

    def look(self, trial: Trial) -> None:
        """Take a trial's pictures if it is the one to show."""
        evaluation = trial.evaluation
        if (evaluation.shot, evaluation.seed) == (self.shot, self.seed):
            self.sections[evaluation.category] = _section(trial)


def _section(trial: Trial) -> _Section:
    tests, evaluation = trial.tests, trial.evaluation
    order = np.argsort(evaluation.scores)
    bad = [int(index) for index in order if tests.labels[index]]
    good = [int(index) for index in order if not tests.labels[index]]
    worst = [*bad[:_SHOWN], *good[: -_SHOWN - 1 : -1]]
    best = [index for index in bad[: -_SHOWN - 1 : -1] if index not in worst]
    support = [
        (text.shown(one.name).rsplit("/", 1)[-1], _embed(_small(tests.root / one.name))) for one in evaluation.support
    ]
    return _Section(
        evaluation,
        trial.taught.threshold.note,
        tests.labels,
        trial.thetas,
        support,
        [_card(trial, index) for index in worst],
        [_card(trial, index) for index in best],
    )


def _small(path: Any) -> Picture:
    image = Image.fromarray(read_image(path))
    image.thumbnail((160, 160))
    return np.asarray(image)


def _embed(image: Picture, quality: int = 84) -> str:
    """A uint8 RGB image as a data URI."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _card(trial: Trial, index: int) -> _Card:
    tests, item = trial.tests, trial.tests.items[index]
    threshold = trial.taught.threshold.value
    image = np.ascontiguousarray(tests.images[index])
    truth = None
    if item.mask is not None:
        place = list(tests.known).index(index)
        truth = tests.truth.masks.reshape(-1, SIZE, SIZE)[place]
    return _Card(
        name=text.shown(f"{item.defect}/{item.path.name}"),
        defective=bool(item.label),
        score=trial.evaluation.scores[index],
        threshold=threshold,
        photo=_embed(_outlined(image, truth)),
        overlay=_embed(heatmap(image, trial.maps[index], threshold)),
    )


def _outlined(image: Picture, truth: NDArray[np.bool_] | None) -> Picture:
    """The image with the true defect's outline drawn on it, white on black."""
    if truth is None or not truth.any():
        return image
    mask = Image.fromarray(truth.astype(np.uint8) * 255)
    wide, near = (np.asarray(mask.filter(ImageFilter.MaxFilter(size))) > 0 for size in (7, 5))
    out = image.copy()
    out[wide & ~truth] = (0, 0, 0)
    out[near & ~np.asarray(mask.filter(ImageFilter.MaxFilter(3))).astype(bool)] = (255, 255, 255)
    return out


def render_report(
    facts: Mapping[str, Any],
    tables: Mapping[str, tuple[Table, str]],
    results: Sequence[Evaluation],
    gallery: Gallery,
    command: str,
) -> str:
    """Return the page: the tables, then every category with its curves, histogram, pictures and transforms.

    ``tables`` holds each table and a note below it (or nothing) by its heading.
    """
    model, machine = facts["model"], facts["machine"]
    sections = "".join(_category(section, results) for section in gallery.sections.values())
    rounds = len({result.seed for result in results})
    lead = (
        f"{model['kind'].capitalize()} {model['name']} ({model['hash'][:12]}) on {model['device']}, "
        f"{machine['arch']} with {machine['cpus']} cores; data {facts['data']}; {rounds} "
        f"support set{'s' * (rounds != 1)} for each category and k; {facts['created']}."
    )
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    laid = "".join(
        f"<h2>{html.escape(title)}</h2><div class='panel scroll'>{table.html()}</div>"
        f"<p class='note below'>{html.escape(note)}</p>"
        for title, (table, note) in tables.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{html_mark("regad-eval")}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RegAD evaluation: {html.escape(model["name"])}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>Evaluation on {html.escape(facts["data"])}</h1>
<p class="lead">{html.escape(lead)}</p>
{_headline(results)}
{laid}
<p class="note">In percent: mean ± standard deviation over rounds. Scores are raw; false rejects and escapes are at the
threshold that teaching set from the support images alone. Pixels are judged at 224 x 224.</p>
{sections}
<h2>Do it again</h2>
<pre>{html.escape(command)}</pre>
<footer>RegAD edge toolkit. Method: Huang et al., Registration based Few-Shot Anomaly Detection, ECCV 2022.</footer>
</main>
</body>
</html>
"""


def _headline(results: Sequence[Evaluation]) -> str:
    """Tiles with the image AUROC at each shot, the mean over categories."""
    last = {summary.shot: summary for summary in summarise(results)}
    tiles = []
    for shot, summary in last.items():
        image, pixel = summary.values["image_auroc"], summary.values["pixel_auroc"]
        small = "" if pixel is None else f"pixel AUROC {pixel.percent()}"
        number = "-" if image is None else f"{100 * image.mean:.1f}"
        spread = "" if image is None or image.std is None else f" ±{100 * image.std:.1f}"
        tiles.append(
            f"<div class='number'><b>{number}<i>{spread}</i></b><span>image AUROC, k = {shot}</span>"
            f"<small>{small}</small></div>"
        )
    return f"<div class='numbers'>{''.join(tiles)}</div>"


def _category(section: _Section, results: Sequence[Evaluation]) -> str:
    shown = section.evaluation
    name = html.escape(text.shown(shown.category).replace("_", " "))
    same = [r for r in results if (r.category, r.seed) == (shown.category, shown.seed)]
    curves = [Curve(f"k = {r.shot}", np.array(r.scores, np.float32), r.image_auroc) for r in same]
    scores = np.array(shown.scores, np.float32)
    limit = shown.threshold or 0.0
    support = "".join(
        f"<figure><img alt='support image' src='{data}'><figcaption>{html.escape(file)}</figcaption></figure>"
        for file, data in section.support
    )
    levels = "".join(
        f"<figure class='level'>{transforms(section.thetas[:, level])}<figcaption><b>STN {level + 1}</b> "
        f"{theta_words(section.thetas[:, level])}</figcaption></figure>"
        for level in range(3)
    )
    return f"""<h2>{name}</h2>
<p class="note">{shown.good} good and {shown.defective} defective test images ({shown.masked} with a mask). Shown is
k = {shown.shot}, seed {shown.seed}. Threshold: {html.escape(section.note)}.</p>
<div class="charts"><div class="panel">{roc(section.labels, curves)}</div>
<div class="panel">{histogram(section.labels, scores, limit)}<p class="legend"><span><i class="good"></i>good</span>
<span><i class="bad"></i>defective</span></p></div></div>
<h3>Taught from</h3><div class="support">{support}</div>
<h3>Worst: lowest defective, highest good</h3><div class="grid">{"".join(map(_figure, section.worst))}</div>
<h3>Best: highest defective</h3><div class="grid">{"".join(map(_figure, section.best))}</div>
<h3>Registration</h3>
<p class="note">Where each transform takes the frame of a test image (dashed: the identity); mean ± standard deviation
over images.</p><div class="levels">{levels}</div>
"""


def _figure(card: _Card) -> str:
    anomalous = card.score > card.threshold
    right = anomalous == card.defective
    tag = (("missed", "caught") if card.defective else ("false alarm", "passed"))[right]
    name = html.escape(card.name)
    return (
        f"<figure class='item'><div class='pair'><img alt='{name} with its mask' src='{card.photo}'>"
        f"<img alt='{name}, anomaly map' src='{card.overlay}'></div><figcaption><span class='name'>{name}</span>"
        f"<span class='score'>{card.score:.2f}</span><span class='tag {'ok' if right else 'no'}'>{tag}</span>"
        f"</figcaption></figure>"
    )
