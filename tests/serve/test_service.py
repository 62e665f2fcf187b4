"""Requests of several parts at once: one batch, each its own verdict or its own error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from regad.runtime.detector import Detector
from regad.runtime.errors import CategoryError, DeviceError, InputError, RegadError
from regad.runtime.formats.category import Category
from regad.runtime.result import Result
from regad.runtime.serve.service import Answer, Request, Service
from regad.runtime.serve.shelf import Shelf
from regad.runtime.serve.triton.check import ppm

from .doubles import Noise, model, place

NAMES = ("a", "b", "c")


class Bench:
    """A service of three categories on noise, and a detector of each."""

    def __init__(self, folder: Path, limit: int = 1 << 30, default: str = "") -> None:
        self.model = model()
        self.categories = {name: place(folder, name, number) for number, name in enumerate(NAMES)}
        self.shelf = Shelf(self.model, folder, limit)
        self.service = Service(self.model, self.shelf, default)

    @property
    def backend(self) -> Noise:
        assert isinstance(self.model.backend, Noise)
        return self.model.backend

    def alone(self, category: Category, image: NDArray[np.uint8]) -> Result:
        detector = Detector(self.model)
        detector.use(category)
        return detector.predict(image)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def frame(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (30 + number, 40, 3), np.uint8)


def assert_same(result: Result, wanted: Result) -> None:
    assert (result.score, result.threshold, result.reason) == (wanted.score, wanted.threshold, wanted.reason)
    np.testing.assert_array_equal(result.anomaly_map, wanted.anomaly_map)
    np.testing.assert_array_equal(result.thetas, wanted.thetas)


def test_requests_of_three_parts_are_encoded_once_and_judged_as_a_detector_judges_them(bench: Bench) -> None:
    order = ["b", "a", "c", "a", "b", "b"]
    requests = [Request(name, [ppm(frame(number))]) for number, name in enumerate(order)]
    answers = bench.service.answer(requests)
    assert bench.backend.batches == [6]
    for number, (name, answer) in enumerate(zip(order, answers, strict=True)):
        assert isinstance(answer, Answer)
        assert answer.category.hash == bench.categories[name].hash
        (result,) = answer.results
        assert_same(result, bench.alone(bench.categories[name], frame(number)))
    assert len({answer.results[0].score for answer in answers if isinstance(answer, Answer)}) == 6


def test_what_is_wrong_with_one_request_is_its_error_alone(bench: Bench) -> None:
    good = ppm(frame(1))
    answers = bench.service.answer(
        [
            Request("a", [good]),
            Request("a", [b"no image"]),
            Request("b", [good[:-100]]),
            Request("elsewhere", [good]),
            Request("", [good]),
            Request("b", [good, b""]),
            Request("c", [good, ppm(frame(2))]),
        ]
    )
    assert [len(answer.results) if isinstance(answer, Answer) else type(answer) for answer in answers] == [
        *(1, InputError, InputError, CategoryError, CategoryError, InputError, 2)
    ]
    assert str(answers[1]).startswith("the image is not an image file that can be read")
    assert "the image" in str(answers[2])
    assert str(answers[3]) == "there is no category 'elsewhere'; expected one of: a, b, c"
    assert str(answers[4]) == "the request names no category; give it the parameter 'category'"
    assert str(answers[5]).startswith("image 2 is not an image file")
    assert bench.backend.batches == [3]


def test_a_result_that_is_not_finite_is_that_requests_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    score = Noise._score

    def broken(self: Noise, encoded: Any, statistics: Any) -> Any:
        done = score(self, encoded, statistics)
        if len(done.anomaly_score) == 2:
            done.anomaly_score[1] = np.nan
        return done

    monkeypatch.setattr(Noise, "_score", broken)
    answers = bench.service.answer([Request(name, [ppm(frame(1))]) for name in ("a", "b", "a")])
    assert [isinstance(answer, Answer) for answer in answers] == [True, True, False]
    assert str(answers[2]).startswith("the score is not finite; the image is not judged")


def test_a_batch_that_the_device_cannot_take_is_judged_one_by_one(bench: Bench) -> None:
    bench.backend.most = 2
    sizes = {"a": 1, "b": 3, "c": 2}
    requests = [Request(name, [ppm(frame(n)) for n in range(size)]) for name, size in sizes.items()]
    answers = bench.service.answer(requests)
    assert bench.backend.batches == [6, 1, 3, 2]
    assert isinstance(answers[1], DeviceError)
    assert [len(answer.results) for answer in (answers[0], answers[2]) if isinstance(answer, Answer)] == [1, 2]


def test_a_lone_request_is_not_tried_twice(bench: Bench) -> None:
    bench.backend.most = 0
    (answer,) = bench.service.answer([Request("a", [ppm(frame(1))])])
    assert isinstance(answer, DeviceError)
    assert bench.backend.batches == [1]


def test_categories_that_do_not_fit_into_memory_together_are_judged_in_passes(tmp_path: Path) -> None:
    place(tmp_path, "a", 0)
    size = (tmp_path / "a.safetensors").stat().st_size
    bench = Bench(tmp_path, limit=2 * size)
    answers = bench.service.answer([Request(name, [ppm(frame(n))]) for n, name in enumerate("abcab")])
    assert bench.backend.batches == [4, 1]
    assert all(isinstance(answer, Answer) for answer in answers)
    assert bench.shelf.nbytes <= 2 * size


def test_a_service_with_a_category_of_its_own_takes_requests_that_name_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, default="b")
    (answer,) = bench.service.answer([Request("", [ppm(frame(1))])])
    assert isinstance(answer, Answer)
    assert answer.category.hash == bench.categories["b"].hash


def test_no_requests_have_no_answers(bench: Bench) -> None:
    assert bench.service.answer([]) == []
    assert not isinstance(bench.service.answer([Request("a", [])])[0], RegadError)
