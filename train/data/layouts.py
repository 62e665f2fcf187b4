"""Where data sets keep their images: a registry of layouts, read as they are published.

MVTec AD (Bergmann et al., CVPR 2019) and MPDD (Jezek et al., ICUMT 2021) share one layout; BTAD (Mishra et al.,
ISIE 2021) names its folders otherwise; VisA (Zou et al., ECCV 2022) lists its images in ``split_csv/1cls.csv``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from regad.runtime.errors import InputError
from regad.runtime.imaging.files import image_files
from regad.runtime.imaging.reading import IMAGE_SUFFIXES

__all__ = ["LAYOUTS", "VISA_SPLIT", "Layout", "TestItem", "good_images", "list_categories", "list_images", "test_items"]


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

VISA_SPLIT = Path("split_csv") / "1cls.csv"
"""VisA's list of images, below its root; its columns are `_VISA_COLUMNS`, its paths relative to the root."""

_VISA_COLUMNS = ("object", "split", "label", "image", "mask")
_EXPECTED = "expected DIR/<category>/train/good (MVTec AD, MPDD), train/ok (BTAD) or good, or VisA's DIR/" + str(
    VISA_SPLIT
)


def list_images(folder: Path) -> list[Path]:
    """Return the image files of ``folder`` by name, hidden files left out. Raises InputError if it is no folder."""
    try:
        return image_files(folder)
    except OSError as error:
        raise InputError(f"cannot read folder {folder}: {error.strerror}; {_EXPECTED}") from error


def list_categories(root: Path) -> list[str]:
    """Return the names of the categories of ``root``, sorted, whatever their layout.

    Raises InputError when ``root`` is missing, is itself a category, or holds none.
    """
    if not root.is_dir():
        raise InputError(f"data folder {root} does not exist; {_EXPECTED}")
    if (root / VISA_SPLIT).is_file():
        return sorted({row["object"] for row in _visa_rows(root)})
    if _layout(root) is not None:
        raise InputError(f"data folder {root} is one category; name the folder above it, {root.absolute().parent}")
    names = sorted(path.name for path in root.iterdir() if _layout(path) is not None)
    if not names:
        raise InputError(f"data folder {root} holds no category; {_EXPECTED}")
    return names


def good_images(root: Path, category: str) -> list[Path]:
    """Return the good training images of one category, by name. Raises InputError if it is missing or empty."""
    known = list_categories(root)
    if category not in known:
        raise InputError(f"category {category!r} is not in {root}; it holds {', '.join(known)}")
    if (root / VISA_SPLIT).is_file():
        paths, place = [item.path for item in _visa_items(root, category, "train") if not item.label], root / VISA_SPLIT
    else:
        layout = _layout(root / category)
        assert layout is not None, category
        place = root / category / layout.good
        paths = list_images(place)
    if not paths:
        raise InputError(f"{place} holds no image of a good {category}; {_EXPECTED}")
    return paths


def test_items(category: Path) -> list[TestItem]:
    """Return the test images of a category folder, the folders of defects by name, with masks where present.

    Raises InputError when there is no test image.
    """
    if (category.parent / VISA_SPLIT).is_file():
        items = _visa_items(category.parent, category.name, "test")
        if not items:
            raise InputError(f"{category.parent / VISA_SPLIT} lists no test image of {category.name}")
        return items
    layout = _layout(category) or LAYOUTS[0]
    wanted = f"expected {category.name}/{layout.test}/{layout.good_test} and {category.name}/{layout.test}/<defect>"
    if not layout.test:
        raise InputError(f"{category} has only good images ({layout.good}/); to test, use {LAYOUTS[0].name}'s layout")
    test = category / layout.test
    if not test.is_dir():
        raise InputError(f"{test} does not exist; {wanted}")
    items = []
    for folder in sorted(path for path in test.iterdir() if path.is_dir()):
        defect = folder.name != layout.good_test
        for path in list_images(folder):
            items.append(TestItem(path, int(defect), folder.name, _mask(category, layout, path) if defect else None))
    if not items:
        raise InputError(f"{test} holds no image; {wanted}")
    return items


def _layout(category: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if (category / layout.good).is_dir()), None)


def _mask(category: Path, layout: Layout, image: Path) -> Path | None:
    names = (pattern.format(defect=image.parent.name, stem=image.stem) for pattern in layout.masks)
    return next((category / name for name in names if (category / name).is_file()), None)


def _visa_rows(root: Path) -> list[dict[str, str]]:
    """Return the rows of VisA's list. Raises InputError when it cannot be read or is not such a list."""
    path = root / VISA_SPLIT
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _VISA_COLUMNS if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error}); expected VisA's list of images") from error
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}; expected {','.join(_VISA_COLUMNS)}")
    for number, row in enumerate(rows, 2):
        if any(row[name] is None for name in _VISA_COLUMNS):
            raise InputError(f"{path}, line {number}, is cut short; expected {','.join(_VISA_COLUMNS)}")
        if row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
            raise InputError(
                f"{path}, line {number}: split {row['split']!r}, label {row['label']!r}; "
                "expected train or test, normal or anomaly"
            )
    if not rows:
        raise InputError(f"{path} lists no image")
    return rows


def _visa_items(root: Path, category: str, split: str) -> list[TestItem]:
    items = []
    for row in _visa_rows(root):
        if (row["object"], row["split"]) == (category, split):
            defect = row["label"] == "anomaly"
            mask = root / row["mask"] if defect and row["mask"] else None
            items.append(TestItem(root / row["image"], int(defect), "anomaly" if defect else "good", mask))
    absent = [path for item in items for path in (item.path, item.mask) if path is not None and not path.is_file()]
    if absent:
        raise InputError(f"{root / VISA_SPLIT} lists {absent[0].relative_to(root)}, which is missing in {root}")
    return items
