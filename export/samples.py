"""The images that an export is verified with, the user's own or drawn from a seed, and that int8 is calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regad.calib.support import draw_support, list_images, read_good_images
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import SIZE, InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.text import Say, shown, unsaid
from regad.train.data.layouts import find_categories, good_images, is_folder

__all__ = ["good_groups", "synthetic_images", "verification_images"]


def synthetic_images(count: int, seed: int) -> NDArray[np.uint8]:
    """Draw ``count`` images, uint8 RGB [count, 224, 224, 3]: structure from 4 to 112 cycles a side, and noise."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        total = np.zeros((SIZE, SIZE, 3))
        for cells in (4, 14, 56, SIZE):
            coarse = rng.integers(0, 256, (cells, cells, 3), np.uint8)
            grown = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            total += np.asarray(grown, np.float64) / cells**0.25
        low, high = np.min(total), np.max(total)
        images.append(np.rint((total - low) / (high - low) * 255).astype(np.uint8))
    return np.stack(images)


def verification_images(
    folder: Path | None, spec: InputSpec, seed: int, count: int = 4, say: Say = unsaid
) -> NDArray[np.uint8]:
    """Return ``count`` preprocessed images, uint8 RGB [count, 224, 224, 3].

    They are drawn by ``seed`` from the image files in ``folder``, and synthetic where it holds too few or is None;
    ``say`` receives what is odd about them. Raises InputError for a folder without images or an image that cannot be
    read.
    """
    if folder is None:
        return synthetic_images(count, seed)
    paths = list_images(folder, say)
    drawn = draw_support(paths, min(count, len(paths)), seed)
    real = [preprocess(image, spec) for image in read_good_images(drawn, say).images]
    return np.concatenate([np.stack(real), synthetic_images(count, seed)])[:count]


def good_groups(folder: Path, say: Say = unsaid) -> list[list[Path]]:
    """Return the good images of each category in ``folder`` (`regad.train.data.layouts`), or of the folder itself.

    ``say`` receives what is passed over. Raises InputError if there is neither, or something cannot be read.
    """
    if not is_folder(folder):
        raise InputError(
            f"{shown(folder)} is not a folder; --calib-images needs photos of good parts to set int8 ranges from"
        )
    notes: list[str] = []
    names = find_categories(folder, notes.append)
    if not names:
        return [list_images(folder, say)]
    for note in notes:
        say(note)
    return [good_images(folder, name, say) for name in names]
