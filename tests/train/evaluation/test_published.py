"""The published numbers: complete as the paper's averages, consistent, packaged, and beside ours."""

from __future__ import annotations

import statistics

import pytest

from regad.train.evaluation.published import dataset_of, load_published, published_beside, published_note
from regad.train.evaluation.results import Summary

MVTEC = {
    "RegAD": {2: (85.7, 94.6), 4: (88.2, 95.8), 8: (91.2, 96.7), 16: (92.7, 96.6), 32: (94.6, 96.9)},
    "TDG+": {2: (73.2, None), 4: (74.4, None), 8: (76.6, None)},
    "DiffNet+": {2: (80.6, None), 4: (81.3, None), 8: (83.2, None)},
    "GANomaly": {None: (80.5, None)},
    "ARNet": {None: (83.9, None)},
    "MKD": {None: (87.7, 90.7)},
    "CutPaste": {None: (95.2, 96.0)},
    "FYD": {None: (97.3, 97.4)},
    "PaDiM": {None: (97.9, 97.5)},
    "PatchCore": {None: (99.1, 98.1)},
    "CFlow": {None: (98.3, 98.6)},
}
MPDD = {
    "RegAD": {4: (68.8, 93.9), 8: (71.9, 95.1), 16: (75.3, 96.3), 32: (76.8, 96.3)},
    "GANomaly": {None: (64.8, None)},
    "ARNet": {None: (69.7, None)},
    "PaDiM": {None: (74.8, 96.7)},
    "PatchCore": {None: (82.1, 95.7)},
    "CFlow": {None: (86.1, 97.7)},
}


def summary(category: str | None, shot: int) -> Summary:
    return Summary(category, shot, 1, 1, 1, {}, 1.0)


@pytest.mark.parametrize(("dataset", "wanted"), [("mvtec", MVTEC), ("mpdd", MPDD)])
def test_the_averages_are_the_papers(
    dataset: str, wanted: dict[str, dict[int | None, tuple[float, float | None]]]
) -> None:
    got: dict[str, dict[int | None, tuple[float, float | None]]] = {}
    for value in load_published():
        if (value.dataset, value.category, value.source) == (dataset, None, "paper"):
            got.setdefault(value.method, {})[value.shot] = (value.image_auroc, value.pixel_auroc)
    assert got == wanted


@pytest.mark.parametrize("method", ["RegAD", "RegAD (released code)"])
@pytest.mark.parametrize("shot", [2, 4, 8])
def test_the_categories_average_to_the_averages(method: str, shot: int) -> None:
    values = [v for v in load_published() if (v.method, v.dataset, v.shot) == (method, "mvtec", shot)]
    mean = next(v for v in values if v.category is None)
    each = [v for v in values if v.category is not None]
    assert len({v.category for v in each}) == len(each) == 15
    assert statistics.mean(v.image_auroc for v in each) == pytest.approx(mean.image_auroc, abs=0.06)
    assert statistics.mean(v.pixel_auroc or 0 for v in each) == pytest.approx(mean.pixel_auroc, abs=0.06)


def test_a_category_is_known_by_its_data_set() -> None:
    assert dataset_of(["bottle", "zipper"]) == "mvtec"
    assert dataset_of(["tubes"]) == "mpdd"
    assert dataset_of(["bottle", "tubes"]) is None
    assert dataset_of(["cookies"]) is None
    assert dataset_of([]) is None


def test_what_stands_beside_ours() -> None:
    beside = published_beside(["bottle", "cable"])
    assert beside(summary("bottle", 2)) == [("RegAD", 99.4, 98.0), ("RegAD (released code)", 99.7, 98.6)]
    assert beside(summary("bottle", 16)) == []
    mean = {name: (image, pixel) for name, image, pixel in beside(summary(None, 4))}
    assert mean["RegAD, mean of 15"] == (88.2, 95.8)
    assert mean["DiffNet+, mean of 15"] == (81.3, None)
    assert mean["PatchCore, all images, mean of 15"] == (99.1, 98.1)
    assert published_beside(["bottle", "cookies"])(summary(None, 4)) == []
    assert published_beside(["cookies"])(summary("cookies", 4)) == []


def test_the_note_names_the_sources() -> None:
    assert published_note(["cookies"]) == ""
    assert "MVTec AD" in published_note(["bottle", "cookies"])
    assert "ECCV 2022" in published_note(["tubes"])
