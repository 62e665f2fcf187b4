"""Draw the pictures of docs/suitable.md, and measure what they claim, with a real detector.

    python tests/demo/situations.py --model model.regad --out docs/suitable

``model.regad`` is the default recipe's artifact with ImageNet weights. The tables are printed as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
from panels import Judged, Outcome, compose
from parts import CATEGORIES, Kind, draw
from scenes import CABLE, NUT_REGION, SPOT_REGION, TURNED_LABEL, WOOD, Region, cluttered, glossy, spotted
from surface import Array

from regad.calib.teach import teach
from regad.runtime import Detector
from regad.runtime.commands.console import run_cli
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.registration import Register

COUNT = 10
"""Frames of each group."""
SHOT = 4
SPOTS = (2, 3, 4, 6, 8, 12)
"""Diameters of the dark spot, pixels of the 224 that the detector sees."""
SURFACES = ("gear", "tile", "cloth")

Draw = Callable[[str, int], Array]
"""Draws the frame ``index`` of a group."""


class Group(NamedTuple):
    """Frames of one kind: how they are named and drawn, and whether the parts are good."""

    name: str
    draw: Draw
    good: bool = False


class Setup(NamedTuple):
    """A way to teach: how the photos are drawn, how many there are, and the options of regad-calib."""

    name: str
    photo: Draw
    groups: Sequence[Group]
    shot: int = SHOT
    register: Register = "off"
    roi: Region | None = None


def of(kind: Kind, defect: str | None = None) -> Draw:
    """Draw frames of a kind of part."""
    return lambda group, index: draw(kind, f"situation/{group}", defect, index).image


def groups_of(kind: Kind, *defects: str) -> list[Group]:
    """Good frames of a kind of part, and some for each defect."""
    return [Group("good", of(kind), True), *(Group(name.replace("_", " "), of(kind, name)) for name in defects)]


def fixture() -> list[Setup]:
    """The part lies in its place."""
    nut, board = CATEGORIES["nut"], CATEGORIES["board"]
    return [
        Setup("A nut in its fixture, 4 photos", of(nut), groups_of(nut, "crack", "chipped_corner", "scratch")),
        Setup(
            "A circuit board in its fixture, 4 photos",
            of(board),
            groups_of(board, "missing_part", "solder_bridge", "scratch"),
        ),
    ]


def turned() -> list[Setup]:
    """The part lies at any angle."""
    groups = groups_of(TURNED_LABEL, "missing_print", "stain", "tear")
    return [
        Setup("--register off", of(TURNED_LABEL), groups),
        Setup("--register auto (the default)", of(TURNED_LABEL), groups, register="auto"),
    ]


def region() -> list[Setup]:
    """Other parts lie around it."""
    groups = [
        Group("good", cluttered, True),
        Group("crack", lambda group, index: cluttered(group, index, "crack")),
        Group("chipped corner", lambda group, index: cluttered(group, index, "chipped_corner")),
    ]
    where = ",".join(map(str, NUT_REGION))
    return [Setup("The whole frame", cluttered, groups), Setup(f"--roi {where}", cluttered, groups, roi=NUT_REGION)]


def size() -> list[Setup]:
    """The defect is small in the frame."""

    def spot(pixels: float) -> Draw:
        return lambda group, index: spotted("gear", pixels, index, group)

    groups = [Group("good", spot(0), True), *(Group(f"spot of {n} pixels", spot(n)) for n in (2, 4, 8))]
    where = ",".join(map(str, SPOT_REGION))
    return [
        Setup("The whole gear in the frame; the spot in pixels of 224", spot(0), groups),
        Setup(f"A quarter of it: --roi {where}", spot(0), groups, roi=SPOT_REGION),
    ]


def light() -> list[Setup]:
    """A glossy part, and a lamp that moves or fades."""

    def nut(turn: float = 0.0, level: float = 1.0, glare: bool = False, defect: str | None = None) -> Draw:
        return lambda group, index: glossy(group, index, turn, level, glare, defect)

    def varied(group: str, index: int) -> Array:
        return glossy(group, index, *((0.0, 1.0), (1.2, 0.6))[index // 2 % 2], glare=index % 2 == 1)

    groups = [
        Group("good", nut(), True),
        Group("good, lamp moved, dim", nut(1.2, 0.6), True),
        Group("good, a reflection", nut(glare=True), True),
        Group("crack", nut(defect="crack")),
        Group("scratch", nut(defect="scratch")),
    ]
    return [
        Setup("Taught in one light, 4 photos", nut(), groups),
        Setup("Taught in all of these lights, 8 photos", varied, groups, shot=8),
    ]


def variable() -> list[Setup]:
    """Good parts differ from each other."""
    wood, cable = groups_of(WOOD, *WOOD.defects), groups_of(CABLE, *CABLE.defects)
    return [
        Setup("Wood, 4 photos", of(WOOD), wood),
        Setup("A cable that lies bent otherwise each time, 8 photos", of(CABLE), cable, shot=8),
    ]


SITUATIONS = {setups.__name__: setups for setups in (fixture, turned, region, size, light, variable)}


def taught(detector: Detector, setup: Setup) -> Array:
    """Teach the part and put it in force; returns the first photo."""
    photos = [setup.photo("taught", index) for index in range(setup.shot)]
    spec = replace(detector.artifact.spec, roi=setup.roi)
    detector.use(teach(detector.model, photos, spec, registration=setup.register))
    return photos[0]


def outcome(detector: Detector, setup: Setup, count: int) -> Outcome:
    """Teach, and judge ``count`` frames of each group."""
    first, groups = taught(detector, setup), []
    for group in setup.groups:
        frames = [group.draw("good" if group.good else "bad", index) for index in range(count)]
        groups.append(Judged(group.name, group.good, frames, [detector.predict(frame) for frame in frames]))
    return Outcome(setup.name, first, groups)


def spots(detector: Detector, count: int) -> Iterator[str]:
    """Rows of the table: how many spots of a size are found on each surface."""
    yield f"| surface | good flagged | {' | '.join(f'{size} px' for size in SPOTS)} |"
    yield f"|---{'|---' * (1 + len(SPOTS))}|"
    for surface in SURFACES:
        groups = [Group(f"{size}", _spot(surface, size), size == 0) for size in (0, *SPOTS)]
        made = outcome(detector, Setup(surface, _spot(surface, 0), groups), count)
        yield f"| {surface} | {' | '.join(f'{group.flagged}' for group in made.groups)} |"


def _spot(surface: str, size: float) -> Draw:
    return lambda group, index: spotted(surface, size, index, group)


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Artifact of the default recipe.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/suitable"), help="Folder of the pictures.")
@click.option("--only", type=click.Choice([*SITUATIONS, "spots"]), multiple=True, help="Make these only.")
@click.option("--count", type=click.IntRange(1), default=COUNT, show_default=True, help="Frames of each group.")
def command(model: Path, out: Path, only: Sequence[str], count: int) -> None:
    """Draw the pictures of docs/suitable.md and print what was measured."""
    out.mkdir(parents=True, exist_ok=True)
    with Detector.load(model, threads=1) as detector:
        for name in only or SITUATIONS:
            if name not in SITUATIONS:
                continue
            rows = [outcome(detector, setup, count) for setup in SITUATIONS[name]()]
            atomic_write(out / f"{name}.jpg", compose(rows))
            for row in rows:
                said = "; ".join(f"{group.name}: {group.told}" for group in row.groups)
                click.echo(f"{name}: {row.name}: {said}")
        if not only or "spots" in only:
            for line in spots(detector, count):
                click.echo(line)


if __name__ == "__main__":
    run_cli(command)
