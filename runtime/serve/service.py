"""Many requests at once, of any categories of one model: decoded, encoded in one batch, each answered for itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import CategoryError, RegadError
from ..formats.category import Category
from ..imaging.arrival import Arrival
from ..imaging.reading import read_picture
from ..judging import judge, ready
from ..model import Model, Part
from ..result import Result
from .shelf import Shelf

__all__ = ["Answer", "Request", "Service"]


class Request(NamedTuple):
    """Images to be judged as one part: the name of its category ("": the service's own), the bytes of image files."""

    category: str
    images: Sequence[bytes]


class Answer(NamedTuple):
    """The verdicts on a request's images, and the category that they rest on."""

    category: Category
    results: Sequence[Result]


class _Taken(NamedTuple):
    """A request whose images are ready to be judged."""

    number: int
    part: Part
    arrivals: Sequence[Arrival]


class Service:
    """Answers requests on one model: with the verdicts that a `Detector` of their category gives, bit for bit.

    A frame alone has the bits of `Detector.predict`, frames together those of `Detector.predict_batch`.
    """

    def __init__(self, model: Model, shelf: Shelf, default: str = "") -> None:
        """Judge on ``model`` with the categories of ``shelf``; ``default`` is for requests that name none."""
        self._model = model
        self._shelf = shelf
        self._default = default

    def answer(self, requests: Sequence[Request]) -> list[Answer | RegadError]:
        """Return an answer for each request, or the error that it alone runs into.

        All are encoded in one batch, unless their categories do not fit into memory together. What a device cannot do
        for all at once is tried for each alone.
        """
        answers: dict[int, Answer | RegadError] = {}
        for numbers in self._passes(requests, answers):
            start = time.perf_counter()
            taken = [one for number in numbers if (one := self._take(number, requests[number], answers)) is not None]
            try:
                answers |= self._judge(taken, start)
            except RegadError as error:
                if len(taken) == 1:
                    answers[taken[0].number] = error
                    continue
                for one in taken:
                    answers |= self._judge_alone(one, start)
        return [answers[number] for number in range(len(requests))]

    def _passes(self, requests: Sequence[Request], answers: dict[int, Answer | RegadError]) -> Iterator[list[int]]:
        """The requests by category, in groups whose categories fit into memory together."""
        by_category: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            by_category.setdefault(request.category or self._default, []).append(number)
        group: list[int] = []
        room = self._shelf.limit
        for name, numbers in by_category.items():
            try:
                if not name:
                    raise CategoryError("the request names no category; give it the parameter 'category'")
                size = self._shelf.size(name)
            except CategoryError as error:
                answers |= dict.fromkeys(numbers, error)
                continue
            if group and size > room:
                yield group
                group, room = [], self._shelf.limit
            group, room = group + numbers, room - size
        if group:
            yield group

    def _take(self, number: int, request: Request, answers: dict[int, Answer | RegadError]) -> _Taken | None:
        """Decode a request's images and make them ready; None where that fails, which is its answer."""
        try:
            part = self._shelf.get(request.category or self._default)
            arrivals = []
            for place, data in enumerate(request.images, 1):
                name = "the image" if len(request.images) == 1 else f"image {place}"
                arrivals.append(ready(part, read_picture(name, data=data).image))
            return _Taken(number, part, arrivals)
        except RegadError as error:
            answers[number] = error
            return None

    def _judge(self, taken: Sequence[_Taken], start: float) -> dict[int, Answer | RegadError]:
        frames = [(one.part, arrival) for one in taken for arrival in one.arrivals]
        verdicts = iter(judge(self._model.backend, frames, start))
        answers: dict[int, Answer | RegadError] = {}
        for one in taken:
            own = [next(verdicts) for _ in one.arrivals]
            failed = next((verdict for verdict in own if isinstance(verdict, RegadError)), None)
            results = [verdict for verdict in own if isinstance(verdict, Result)]
            answers[one.number] = Answer(one.part.category, results) if failed is None else failed
        return answers

    def _judge_alone(self, one: _Taken, start: float) -> dict[int, Answer | RegadError]:
        try:
            return self._judge([one], start)
        except RegadError as error:
            return {one.number: error}
