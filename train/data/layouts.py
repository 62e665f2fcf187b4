"""Where data sets keep their images: a registry of layouts, read as they are published.

MVTec AD (Bergmann et al., CVPR 2019) and MPDD (Jezek et al., ICUMT 2021) share one layout; BTAD (Mishra et al.,
ISIE 2021) names its folders otherwise; VisA (Zou et al., ECCV 2022) lists its images in ``split_csv/1cls.csv``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from regad.runtime.errors import InputError
from regad.runtime.imaging.files import list_folder, mode_of
from regad.runtime.imaging.reading import IMAGE_SUFFIXES
from regad.runtime.text import Say, shown, unsaid

from .visa import VISA_SPLIT, visa_rows

__all__ = [
    "LAYOUTS",
    "VISA_SPLIT",
    "Layout",
    "TestItem",
    "find_categories",
    "good_images",
    "is_folder",
    "list_categories",
    "list_images",
    "test_items",
]


class TestItem(NamedTuple):
    """A test image: ``label`` 1 for a defect, the name of its folder, and its mask where there is one."""

    path: Path
    label: int
    defect: str
    mask: Path | None


@dataclass(frozen=True)
class Layout:
    """Folders below ``<category>``: good training images, and, where the data set has them, test images and masks.

    ``good_test`` is the folder of ``test`` that is not a defect; ``masks`` are the places of a mask, tried in order,
    as patterns of the defect's folder and the image's stem.
    """

    name: str
    good: str
    test: str = ""
    good_test: str = ""
    masks: tuple[str, ...] = ()


LAYOUTS = (
    Layout("MVTec AD or MPDD", "train/good", "test", "good", ("ground_truth/{defect}/{stem}_mask.png",)),
    Layout(
        "BTAD",
        "train/ok",
        "test",
        "ok",
        tuple(f"ground_truth/{{defect}}/{{stem}}{suffix}" for suffix in (".png", *sorted(IMAGE_SUFFIXES - {".png"}))),
    ),
    Layout("plain", "good"),
)
"""The layouts made of folders; a category has the first whose ``good`` folder it holds."""

_EXPECTED = "expected DIR/<category>/train/good (MVTec AD, MPDD), train/ok (BTAD) or good, or VisA's DIR/" + str(
    VISA_SPLIT
)


def list_images(folder: Path, say: Say = unsaid) -> list[Path]:
    """Return the image files of ``folder`` by name; ``say`` receives what else is in it.

    Raises InputError if it is no folder that can be read.
    """
    try:
        found = list_folder(folder)
    except OSError as error:
        raise InputError(f"cannot read folder {shown(folder)}: {error.strerror}; {_EXPECTED}") from error
    for note in found.notes:
        say(f"{shown(folder)}: {note}")
    return found.images


def list_categories(root: Path, say: Say = unsaid) -> list[str]:
    """Return the names of the categories of ``root``, sorted, whatever their layout.

    ``say`` receives which folders hold none. Raises InputError when ``root`` is missing, is itself a category, or holds
    no category.
    """
    names = find_categories(root, say)
    if not names:
        raise InputError(f"data folder {shown(root)} holds no category; {_EXPECTED}")
    return names


def find_categories(root: Path, say: Say = unsaid) -> list[str]:
    """Return what `list_categories` does, and nothing for a folder that holds no category."""
    if not is_folder(root):
        raise InputError(f"data folder {shown(root)} does not exist; {_EXPECTED}")
    if _is_file(root / VISA_SPLIT):
        return sorted({row.category for row in visa_rows(root)})
    if _layout(root) is not None:
        raise InputError(
            f"data folder {shown(root)} is one category; name the folder above it, {shown(root.absolute().parent)}"
        )
    folders = _folders(root, say)
    names = [path.name for path in folders if _layout(path) is not None]
    if names and (others := [path.name for path in folders if path.name not in names]):
        say(f"{shown(root)}: passed over, being no category: {_some(others)}")
    return names


def good_images(root: Path, category: str, say: Say = unsaid) -> list[Path]:
    """Return the good training images of one category, by name; ``say`` receives what else is beside them.

    Raises InputError if it is missing or empty.
    """
    known = list_categories(root)
    if category not in known:
        raise InputError(f"category {shown(category)!r} is not in {shown(root)}; it holds {shown(', '.join(known))}")
    if _is_file(root / VISA_SPLIT):
        items, place = _visa_items(root, category, "train"), root / VISA_SPLIT
        paths = [item.path for item in items if not item.label]
        if defective := [item.path.name for item in items if item.label]:
            say(
                f"{shown(place)}: {len(defective)} train image(s) of {shown(category)} are labelled anomaly and left "
                f"out: {_some(defective)}"
            )
    else:
        layout = _layout(root / category)
        assert layout is not None, category
        place = root / category / layout.good
        paths = list_images(place, say)
    if not paths:
        raise InputError(f"{shown(place)} holds no image of a good {shown(category)}; {_EXPECTED}")
    return paths


def test_items(category: Path, say: Say = unsaid) -> list[TestItem]:
    """Return the test images of a category folder, the folders of defects by name, with masks where present.

    ``say`` gets defective images without the mask that others have, of masks that belong to no image, and of what
    else is there. Raises InputError when there is no test image.
    """
    if _is_file(category.parent / VISA_SPLIT):
        items = _visa_items(category.parent, category.name, "test")
        if not items:
            raise InputError(f"{shown(category.parent / VISA_SPLIT)} lists no test image of {shown(category.name)}")
    else:
        layout = _layout(category) or LAYOUTS[0]
        items = _folder_items(category, layout, say)
        _say_unmatched(category, layout, items, say)
    bare = [item.path for item in items if item.label and item.mask is None]
    if bare and any(item.mask for item in items):
        names = _some([f"{path.parent.name}/{path.name}" for path in bare])
        say(f"{shown(category)}: {len(bare)} defective image(s) without the mask that others have: {names}")
    return items


def _folder_items(category: Path, layout: Layout, say: Say) -> list[TestItem]:
    name = shown(category.name)
    wanted = f"expected {name}/{layout.test}/{layout.good_test} and {name}/{layout.test}/<defect>"
    if not layout.test:
        raise InputError(
            f"{shown(category)} has only good images ({layout.good}/); to test, use {LAYOUTS[0].name}'s layout"
        )
    test = category / layout.test
    if not is_folder(test):
        raise InputError(f"{shown(test)} does not exist; {wanted}")
    items: list[TestItem] = []
    for folder in _folders(test, say):
        defect = folder.name != layout.good_test
        items += [
            TestItem(path, int(defect), folder.name, _mask(category, layout, path) if defect else None)
            for path in list_images(folder, say)
        ]
    if not items:
        raise InputError(f"{shown(test)} holds no image; {wanted}")
    return items


def _folders(parent: Path, say: Say) -> list[Path]:
    """The folders in a folder by name; hidden ones and files are left out, and said."""
    try:
        paths = sorted(parent.iterdir())
    except OSError as error:
        raise InputError(f"cannot read folder {shown(parent)}: {error.strerror}; {_EXPECTED}") from error
    folders = [path for path in paths if not path.name.startswith(".") and is_folder(path)]
    if others := [path.name for path in paths if path not in set(folders)]:
        say(f"{shown(parent)}: passed over, being no folders or hidden: {_some(others)}")
    return folders


def _layout(category: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if is_folder(category / layout.good)), None)


def _mask_places(layout: Layout, image: Path) -> list[str]:
    return [pattern.format(defect=image.parent.name, stem=image.stem) for pattern in layout.masks]


def _mask(category: Path, layout: Layout, image: Path) -> Path | None:
    places = (category / place for place in _mask_places(layout, image))
    return next((place for place in places if _is_file(place)), None)


def _say_unmatched(category: Path, layout: Layout, items: Iterable[TestItem], say: Say) -> None:
    """Tell of files among the masks that belong to no image."""
    expected = {category / place for item in items for place in _mask_places(layout, item.path)}
    tops = {Path(pattern).parts[0] for pattern in layout.masks}
    found = [path for top in tops for path in _files_below(category / top, say)]
    if unmatched := [str(path.relative_to(category)) for path in found if path not in expected]:
        say(
            f"{shown(category)}: {len(unmatched)} file(s) among the masks belong to no test image: {_some(unmatched)}; "
            f"expected {' or '.join(layout.masks[:2])}"
        )


def _files_below(top: Path, say: Say) -> list[Path]:
    """The files of a folder and those below it, by name; ``say`` gets those that cannot be read."""

    def denied(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            say(f"{shown(error.filename)} cannot be read: {error.strerror}; the masks in it are not read")

    return sorted(Path(folder, name) for folder, _, names in os.walk(top, onerror=denied) for name in names)


def _some(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(shown(name) for name in names[:3])}{more}"


def _visa_items(root: Path, category: str, split: str) -> list[TestItem]:
    items = []
    for row in visa_rows(root):
        if (row.category, row.split) == (category, split):
            mask = root / row.mask if row.defect and row.mask else None
            items.append(TestItem(root / row.image, int(row.defect), "anomaly" if row.defect else "good", mask))
    for item in items:
        for path in (item.path, item.mask):
            if path is not None and not _is_file(path):
                name = shown(path).removeprefix(f"{shown(root)}/")
                raise InputError(f"{shown(root / VISA_SPLIT)} lists {name}, which is missing in {shown(root)}")
    return items


def is_folder(path: Path) -> bool:
    """Whether a folder is there. Raises InputError if that cannot be known: one on the way to it cannot be entered."""
    return _is(path, stat.S_ISDIR)


def _is_file(path: Path) -> bool:
    """Whether a file is there. Raises InputError as `is_folder` does."""
    return _is(path, stat.S_ISREG)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(mode_of(path) or 0)
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}; check its permissions") from error
