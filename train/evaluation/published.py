"""The numbers that others published, from ``published.json``, to stand beside ours where the category is one of theirs.

A value that was not published, or whose source was not at hand, is absent from the file; nothing is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from .results import Beside, Summary

__all__ = ["Dataset", "Published", "dataset_of", "load_published", "published_beside", "published_note"]


class Published(NamedTuple):
    """One published result in percent; ``shot`` None: all training images, ``category`` None: the data set's mean."""

    method: str
    dataset: str
    shot: int | None
    category: str | None
    image_auroc: float
    pixel_auroc: float | None
    source: str


class Dataset(NamedTuple):
    """A data set by its name and the folder names of its categories."""

    name: str
    categories: tuple[str, ...]


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("published.json").read_text(encoding="utf-8"))
    return content


@cache
def load_published() -> tuple[Published, ...]:
    """Return every value of the file."""
    return tuple(Published(**{**v, "shot": None if v["shot"] == "all" else v["shot"]}) for v in _content()["values"])


def dataset_of(categories: Collection[str]) -> str | None:
    """Return the key of the data set that all ``categories`` belong to, or None."""
    for key, dataset in _content()["datasets"].items():
        if categories and set(categories) <= set(dataset["categories"]):
            return str(key)
    return None


def _dataset(key: str) -> Dataset:
    return Dataset(_content()["datasets"][key]["name"], tuple(_content()["datasets"][key]["categories"]))


def published_beside(categories: Collection[str]) -> Beside:
    """Return what to put beside each summary of an evaluation of ``categories``.

    Beside a category stand its few-shot values at the same shot; beside the mean those of the whole data set, those of
    methods that train on all images among them, if every category is one of that data set.
    """
    whole = dataset_of(categories)

    def beside(summary: Summary) -> list[tuple[str, float | None, float | None]]:
        key = whole if summary.category is None else dataset_of([summary.category])
        found: list[tuple[str, float | None, float | None]] = []
        for value in load_published():
            fits = value.shot == summary.shot or (value.shot is None and summary.category is None)
            if value.dataset == key and value.category == summary.category and fits:
                found.append((_name(value), value.image_auroc, value.pixel_auroc))
        return found

    return beside


def _name(value: Published) -> str:
    images = "" if value.shot is not None else ", all images"
    mean = "" if value.category is not None else f", mean of {len(_dataset(value.dataset).categories)}"
    return f"{value.method}{images}{mean}"


def published_note(categories: Collection[str]) -> str:
    """Return a sentence on the published rows for these categories, or nothing if there are none."""
    keys = {key for name in categories if (key := dataset_of([name])) is not None}
    if not keys:
        return ""
    names = " and ".join(sorted(_dataset(key).name for key in keys))
    return f"Indented rows are published numbers on {names}: " + "; ".join(_content()["sources"].values()) + "."
