"""A drawn data set in MVTec AD's layout: parts and textures, their defects, and exact masks.

Run it to write one: ``python tests/demo/parts.py FOLDER``.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from board import board
from label import label
from machined import gear, nut
from surface import SIZE, Array, Layers, Rng, cast_shadow, develop, fractal, photograph, shade
from textures import aluminium, cloth, tile

__all__ = ["CATEGORIES", "DEFAULT_COUNTS", "Counts", "Kind", "Sample", "draw", "sample", "streams", "write_dataset"]

VISIBLE = 8.0 / 255.0
"""A pixel belongs to a defect when the defect changes it by more than this, noise left out."""


class Kind(NamedTuple):
    """A category: how to draw a piece, what can be wrong with it, and how pieces lie under the camera.

    ``angle`` in degrees and ``shift`` in pixels of the finished picture bound the pose (0: a texture fills
    the picture); ``background`` is the RGB colour of what it lies on; ``thick`` the length of its shadow.
    ``scale`` makes it smaller in the picture; ``lamp`` is the mean direction of the light and its spread, radians.
    """

    draw: Callable[[Rng, str | None, Rng], Layers]
    defects: tuple[str, ...]
    angle: float = 0.0
    shift: float = 0.0
    background: tuple[float, float, float] | None = None
    thick: float = 10.0
    lathe: bool = False
    scale: float = 1.0
    lamp: tuple[float, float] = (-2.2, 0.10)


CATEGORIES = {
    "aluminium": Kind(aluminium, ("corrosion", "dent", "fingerprint", "scratch")),
    "board": Kind(board, ("missing_part", "scratch", "skewed_part", "solder_bridge"), 1.2, 1.2, (0.17, 0.17, 0.19)),
    "cloth": Kind(cloth, ("foreign_thread", "hole", "oil", "pulled_thread")),
    "gear": Kind(gear, ("broken_tooth", "dent", "rust", "scratch"), 2.0, 1.6, (0.19, 0.19, 0.21), 14.0, True),
    "label": Kind(
        label, ("crease", "misregister", "missing_print", "smear", "stain", "tear"), 1.2, 1.5, (0.50, 0.37, 0.25), 3.0
    ),
    "nut": Kind(nut, ("chipped_corner", "crack", "scratch", "tarnish"), 2.5, 2.0, (0.16, 0.20, 0.25), 16.0, True),
    "tile": Kind(tile, ("chip", "crack", "glue", "pen_mark")),
}


class Sample(NamedTuple):
    """A picture, where it is defective, and its good twin: the same piece and photo without the defect.

    uint8 RGB [256, 256, 3], bool [256, 256], uint8 RGB [256, 256, 3].
    """

    image: Array
    mask: Array
    twin: Array


class Counts(NamedTuple):
    """How many pictures of each category to draw; ``defective`` is per kind of defect."""

    train: int = 24
    good: int = 10
    defective: int = 5


DEFAULT_COUNTS = Counts()


def streams(group: str, index: int, seed: int, names: Iterable[str]) -> list[Rng]:
    """Independent random streams for the parts of one picture of a group, the same on every machine."""
    key = [seed, zlib.crc32(group.encode()), index]
    return [np.random.default_rng([*key, zlib.crc32(name.encode())]) for name in names]


def scene(kind: Kind, layers: Layers, rng: Rng) -> Array:
    """Lay the piece under the camera and light it; float32 RGB [256, 256, 3]."""
    azimuth = float(rng.normal(*kind.lamp))
    if kind.background is None:
        return develop(shade(layers, azimuth))
    angle, scale = rng.uniform(-kind.angle, kind.angle), kind.scale * rng.uniform(0.99, 1.01)
    shift = 2 * rng.uniform(-kind.shift, kind.shift, 2)
    posed = layers.posed(angle, shift, scale)
    centre = shift + layers.height.shape[0] / 2
    lit = develop(shade(posed, azimuth, centre if kind.lathe else None) * posed.alpha[..., None])
    alpha = develop(posed.alpha)
    grain = 1.0 + 0.06 * fractal(rng, 60, 2, size=SIZE) + 0.05 * fractal(rng, 5, 3, size=SIZE)
    table = cast_shadow(np.float32(kind.background) * grain[..., None], alpha, azimuth, kind.thick / 2)
    return lit + table * (1 - alpha[..., None])


def sample(category: str, defect: str | None = None, index: int = 0, seed: int = 0, train: bool = False) -> Sample:
    """Draw one picture. The same arguments give the same pixels. Raises KeyError for an unknown category."""
    return draw(CATEGORIES[category], f"{category}/{defect or ('train' if train else 'good')}", defect, index, seed)


def draw(kind: Kind, group: str, defect: str | None = None, index: int = 0, seed: int = 0) -> Sample:
    """Draw one picture of any kind of part; ``group`` names the pictures that ``index`` counts."""

    def shot(fault: str | None) -> tuple[Array, Array]:
        piece, damage, light, camera = streams(group, index, seed, ("piece", "damage", "light", "camera"))
        return photograph(scene(kind, kind.draw(piece, fault, damage), light), camera)

    image, film = shot(defect)
    if defect is None:
        return Sample(image, np.zeros(image.shape[:2], bool), image)
    twin, clean = shot(None)
    return Sample(image, outline(np.abs(film - clean).max(-1) > VISIBLE), twin)


def outline(changed: Array) -> Array:
    """The changed pixels as a person would mark them: pin holes closed, lone pixels dropped; bool [h, w]."""
    closed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, names, stats, _ = cv2.connectedComponentsWithStats(closed)
    return (stats[:, cv2.CC_STAT_AREA] >= 6)[names] & (closed > 0)


def plan(category: str, counts: Counts, test: bool) -> list[tuple[str, str | None, int, bool]]:
    """Every picture of a category: (folder, defect, index, train)."""
    rows: list[tuple[str, str | None, int, bool]] = [("train/good", None, n, True) for n in range(counts.train)]
    if test:
        rows += [("test/good", None, n, False) for n in range(counts.good)]
        for defect in CATEGORIES[category].defects:
            rows += [(f"test/{defect}", defect, n, False) for n in range(counts.defective)]
    return rows


def write_picture(folder: Path, category: str, row: tuple[str, str | None, int, bool], seed: int) -> None:
    """Draw and write one picture, and the mask of a defective one."""
    place, defect, index, train = row
    drawn = sample(category, defect, index, seed, train)
    save(folder / category / place / f"{index:03d}.png", drawn.image[..., ::-1])
    if defect:
        mask = drawn.mask.astype(np.uint8) * 255
        save(folder / category / "ground_truth" / defect / f"{index:03d}_mask.png", mask)


def save(path: Path, image: Array) -> None:
    """Write a PNG. Raises OSError when it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise OSError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())


def write_dataset(
    folder: Path, test: Iterable[str] | None = None, counts: Counts = DEFAULT_COUNTS, seed: int = 0
) -> int:
    """Write the data set below ``folder``, one thread per core; returns the number of pictures.

    Every category gets its training images; ``test`` names those that also get test images and masks (default:
    all). Raises OSError when the folder cannot be written.
    """
    tested = CATEGORIES if test is None else tuple(test)
    jobs = [(name, row) for name in CATEGORIES for row in plan(name, counts, name in tested)]
    names, rows = zip(*jobs, strict=True)
    # Threads: a process forked beside OpenCV's own threads may wait for them for ever.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write_picture, repeat(Path(folder)), names, rows, repeat(seed)))
    return len(jobs)


if __name__ == "__main__":
    began = time.perf_counter()
    total = write_dataset(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-out/data"))
    print(f"{total} pictures of {len(CATEGORIES)} categories in {time.perf_counter() - began:.1f} s")
