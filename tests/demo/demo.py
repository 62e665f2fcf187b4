"""The whole path on one machine in minutes: draw or take data, train, export, teach a part, inspect, report.

Train, export and teach are the product's own commands, called in this process; the report lists them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import parts
import reasons
from page import Inspected, Report, render_page
from poster import compose
from steps import Run, claim

from regad.calib import cli as calib_cli
from regad.calib.support import draw_support
from regad.export import cli as export_cli
from regad.runtime import Detector, InputError
from regad.runtime.commands.console import run_cli
from regad.runtime.commands.outputs import check_file, check_folder, inputs
from regad.runtime.commands.own_files import PICTURE
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.imaging.overlay import render
from regad.runtime.imaging.reading import read_image
from regad.runtime.line.picture_file import encode
from regad.train.data.layouts import TestItem, good_images, list_categories, test_items
from regad.train.data.masks import read_marked, read_mask
from regad.train.evaluation.metrics import auroc
from regad.train.run import command as train_cli
from regad.train.run.config import DEFAULT_RECIPE

SHOT = 4
SEED = 0
PER_CATEGORY = 12
"""Training images of each category: few, so that the demo is short."""
MOST_CATEGORIES = 8
EPOCHS = 2
"""Epochs from scratch: four find no more of the drawn defects. Good weights are taken as they are by default: a few
steps on few images spoil them."""
DRAWN_CATEGORY = "aluminium"


def check_data(data: Path, category: str | None) -> str:
    """Return the category to teach, found to be usable. Raises InputError with what DATA holds."""
    known = list_categories(data)
    if category is None:
        raise InputError(f"CATEGORY is not given; {data} holds {', '.join(known)}")
    good = good_images(data, category)
    if len(good) < SHOT:
        raise InputError(f"{category} has {len(good)} good training image(s); {SHOT} are needed to teach it")
    test_items(data / category)
    return category


def excerpt(data: Path, names: Sequence[str], folder: Path) -> int:
    """Link at most `PER_CATEGORY` good images of each category below ``folder``; returns how many in all."""
    count = 0
    for name in names:
        paths = good_images(data, name)
        place = folder / name / "train" / "good"
        place.mkdir(parents=True)
        for path in draw_support(paths, min(PER_CATEGORY, len(paths)), SEED):
            link_or_copy(path.absolute(), place / path.name)
            count += 1
    return count


def link_or_copy(source: Path, place: Path) -> None:
    """A symbolic link where the file system has them, else a copy."""
    try:
        place.symlink_to(source)
    except OSError:
        shutil.copyfile(source, place)


def drawn_data(run: Run, category: str) -> Path:
    """Draw the data set, with test images of the category."""
    folder, tested = run.out / "data", [category] if category in parts.CATEGORIES else []
    with run.stage(f"draw {len(parts.CATEGORIES)} categories of parts and textures"):
        total = parts.write_dataset(folder, tested, parts.Counts(train=PER_CATEGORY))
        click.echo(f"      {total} pictures with masks in {folder}")
    return folder


def train_and_export(run: Run, data: Path, pool: Path, category: str, weights: str, epochs: int) -> tuple[Path, str]:
    """Train on the other categories of ``pool`` and export; returns the artifact and what was trained, in words."""
    model = run.out / "model.regad"
    others = [name for name in list_categories(pool) if name != category][:MOST_CATEGORIES]
    with run.stage(f"train on {len(others)} other categories, {epochs} epochs, weights: {weights}"):
        count = excerpt(pool, others, run.out / "training")
        # From scratch, nothing may be kept as it is; good weights take the default recipe.
        recipe = "released" if weights == "none" else DEFAULT_RECIPE
        run.call(
            "regad-train", train_cli.command, "--data", run.out / "training", "--out", run.out / "run",
            "--recipe", recipe, "--weights", weights, "--epochs", epochs, "--shot", 1, "--batch-size", 8,
        )  # fmt: skip
    with run.stage("export to ONNX and compare with torch"):
        support = data / category / "train" / "good"
        run.call(
            "regad-export", export_cli.command, "--ckpt", run.out / "run" / "model.pt", "--out", model,
            "--verify-images", support,
        )  # fmt: skip
    start = {"none": "from scratch", "imagenet": "from ImageNet weights"}.get(weights, f"from {Path(weights).name}")
    if not epochs:
        plain = {"none": "random", "imagenet": "ImageNet's"}.get(weights, f"those of {Path(weights).name}")
        return model, f"The encoder's weights are {plain}: 0 epochs, so the registration is the identity."
    return model, (
        f"Its encoder was trained {start} for {epochs} epoch{'s' * (epochs != 1)} on {count} images of "
        f"{len(others)} other categories ({', '.join(others)}) and has never been trained on this part."
    )


def small(image: np.ndarray, side: int = 576) -> np.ndarray:
    """The image, its longer side at most ``side``."""
    scale = side / max(image.shape[:2])
    return image if scale >= 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def inspect_one(detector: Detector, item: TestItem, folder: Path) -> tuple[Inspected, np.ndarray | None]:
    """Judge a test image and write its overlay; also its true mask as the encoder sees it, or None."""
    image = read_image(item.path)
    result = detector.predict(image)
    picture = render(image, result, f"{item.defect}/{item.path.name}")
    atomic_write(folder / f"{item.defect}_{item.path.stem}.jpg", encode(picture, ".jpg", quality=90))
    truth, seen = None, None if item.label else np.zeros_like(result.anomaly_map, dtype=bool)
    if item.mask is not None:
        seen = read_mask(item.mask, image.shape, result.spec)
        truth = small(read_marked(item.mask).astype(np.uint8)) > 0
    return Inspected(f"{item.defect}/{item.path.name}", item.defect, small(image), result, truth), seen


def inspect(detector: Detector, items: Sequence[TestItem], folder: Path) -> tuple[list[Inspected], float | None]:
    """Judge all test images; returns them and the pixel AUROC over those whose true mask is known."""
    judged, maps, masks = [], [], []
    for number, item in enumerate(items, 1):
        one, seen = inspect_one(detector, item, folder)
        judged.append(one)
        if seen is not None:
            maps.append(one.result.anomaly_map)
            masks.append(seen)
        if number % 20 == 0 or number == len(items):
            click.echo(f"      {number}/{len(items)} images")
    return judged, auroc(np.concatenate(masks, None), np.concatenate(maps, None)) if masks else None


def teach_and_inspect(run: Run, data: Path, category: str, model: Path, background: str) -> Report:
    """Teach the category from `SHOT` good images and judge its test images."""
    good, taught = data / category / "train" / "good", run.out / f"{category}.safetensors"
    with run.stage(f"teach {category} from {SHOT} good images"):
        run.call(
            "regad-calib", calib_cli.command, "--model", model, "--support", good, "--shot", SHOT,
            "--seed", SEED, "--out", taught,
        )  # fmt: skip
    items, overlays = test_items(data / category), run.out / "overlays"
    with run.stage(f"inspect {len(items)} test images"), Detector.load(model) as detector:
        known = detector.load_category(taught)
        judged, pixel = inspect(detector, items, overlays)
        device = detector.device
    shown = data / category / "test" / items[-1].defect
    run.note("regad-run", "--model", model, "--category", taught, "--overlay", overlays, "--source", shown)
    labels = np.array([item.defective for item in judged])
    scores = np.array([item.result.score for item in judged], np.float32)
    return Report(
        category=category,
        background=background,
        support=[(file.name, read_image(good / file.name)) for file in known.support],
        held_out=known.threshold.scores,
        threshold_note=known.threshold.note,
        items=judged,
        image_auroc=auroc(labels, scores),
        pixel_auroc=pixel,
        device=device,
        stages=run.stages,
        commands=run.commands,
    )


def anywhere(run: Run, model: Path) -> list[reasons.Example]:
    """Teach a drawn part that lies anywhere and judge a frame for each reason code."""
    good, seen = reasons.write_photos(run.out / "anywhere")
    taught = run.out / "anywhere.safetensors"
    with run.stage(f"a {reasons.PART} that lies anywhere: teach it, and judge a frame for each reason code"):
        run.call(
            "regad-calib", calib_cli.command, "--model", model, "--support", good, "--register", "on", "--out", taught,
        )  # fmt: skip
        with Detector.load(model) as detector:
            detector.load_category(taught)
            examples = reasons.judge(detector, seen)
        for example in examples:
            click.echo(f"      {example.result.reason:<10} {example.name} ({example.told})")
    run.note("regad-run", "--model", model, "--category", taught, "--json", "-", "--source", seen)
    return examples


def preview(out: Path, category: str, drawn: bool) -> str:
    """What the user will see, said before it begins."""
    return (
        f"This teaches {category} from {SHOT} good photos and judges its test images"
        f"{'; about 90 s on two cores' if drawn else ''}. At the end {out / 'index.html'} shows\n"
        "  - every score beside the threshold, and photos beside their anomaly maps\n"
        "  - a part that lies anywhere, with its pose, and an example of each reason code:\n"
        f"    {', '.join(reasons.MEANINGS)}\n"
        "  - the commands that repeat it, and those of a simulated station with this model\n"
    )


def summary(report: Report) -> str:
    """The result in three lines."""
    found, bad, rejected, good = report.counts()
    p50, p99 = np.percentile(report.totals(), (50, 99))
    values = ["-" if value is None else f"{value:.3f}" for value in (report.image_auroc, report.pixel_auroc)]
    return (
        f"{report.category}: image AUROC {values[0]}, pixel AUROC {values[1]}\n"
        f"at the taught threshold: {found} of {bad} defects caught, {rejected} of {good} good parts rejected\n"
        f"latency: p50 {p50:.1f} ms, p99 {p99:.1f} ms an image on {report.device}, {os.cpu_count()} cores"
    )


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), help="Folder in MVTec layout (default: draw one).")
@click.option("--category", help=f"Category to teach and test; drawn data has {', '.join(parts.CATEGORIES)}.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), help="Folder to write.")
@click.option("--weights", default="none", metavar="none|imagenet|FILE", help="What training starts from.")
@click.option("--model", type=click.Path(path_type=Path), help="An artifact to use; nothing is trained then.")
@click.option("--epochs", type=click.IntRange(0), help="Default: 2 from scratch, 0 from other weights.")
@click.option("--picture", type=click.Path(path_type=Path), help="Also write a picture of results (JPEG).")
def command(
    data: Path | None,
    category: str | None,
    out: Path,
    weights: str,
    model: Path | None,
    epochs: int | None,
    picture: Path | None,
) -> None:
    """Train on all but one category, export, teach the held-out one from 4 good images, and inspect it."""
    began = time.perf_counter()
    if data is None:
        category = category or DRAWN_CATEGORY
        if category not in parts.CATEGORIES:
            raise InputError(f"the drawn data has no {category!r}; it has {', '.join(parts.CATEGORIES)}")
    else:
        category = check_data(data, category)
    given = inputs(data=data, model=model, weights=Path(weights) if Path(weights).is_file() else None)
    check_folder("--out", out, given, replaced=True)
    if picture is not None:
        check_file("--picture", picture, PICTURE, given)
    claim(out)
    click.echo(preview(out, category, drawn=data is None and model is None and weights == "none"))
    run = Run(out, steps=4 + (data is None) + 2 * (model is None))
    source = drawn_data(run, category) if data is None else data
    background = f"The encoder is the artifact {model}."
    if model is None:
        alone = list_categories(source) == [category]
        run.steps += alone
        pool = drawn_data(run, category) if alone else source
        chosen = (EPOCHS if weights == "none" else 0) if epochs is None else epochs
        model, background = train_and_export(run, source, pool, category, weights, chosen)
    report = teach_and_inspect(run, source, category, model, background)
    examples = anywhere(run, model)
    page = out / "index.html"
    with run.stage("write the report"):
        atomic_write(page, render_page(report, reasons.section(examples), reasons.line_section(model)).encode())
        if picture is not None:
            atomic_write(picture, compose(report.items))
    click.echo(f"\n{summary(report)}\noverlays: {out / 'overlays'}\nin all {time.perf_counter() - began:.0f} s")
    click.secho(f"look at {page}", bold=True)


if __name__ == "__main__":
    run_cli(command)
