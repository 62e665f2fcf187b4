"""``python -m regad.runtime.desk.learning.work``: teaches and judges for a proposal, in a process of its own.

It reads an `Order` as JSON from its input and writes lines of JSON: ``{"done", "total"}`` as it goes on, and at the end
a `Made` or ``{"error"}``. The line keeps the processor: one thread, nice 19.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from regad.calib.prepared import teach_inputs
from regad.calib.stored import teach_parts

from ...backends.base import Precision
from ...detector import Detector
from ...errors import InputError, RegadError
from ...formats.category import Category, SupportImage, load_category
from ...formats.spec import InputSpec
from ...model import Model
from ...station.codes import VerdictCode
from ...station.installed import store_category
from ...station.judge import verdict_of
from ...station.trace.prepared import is_prepared_for, prepared_of
from ..web.pictures import decode_upload
from .proposal import Judged, Report, Wanted, evidence_of, judged
from .records import LearningTrace, Part, Version
from .taught import TaughtImages

__all__ = ["Made", "Order", "carry_out"]

VALIDATION: Final = 100
"""So many of the newest good parts set the threshold of a part that is taught again."""
_LEAST = 2  # images that a part can be taught with
_NICE = 19

Progress = Callable[[int, int], None]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: ``trace`` and ``state`` are folders, ``model`` the artifact, ``category`` the base's file.

    ``base`` is the version in force, 0 for a job that is new: it has no file either.
    """

    trace: str
    state: str
    model: str
    device: str
    precision: Precision = "f32"
    category: str
    base: int
    wanted: Wanted


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the file that would be installed, its limits (None: the file's own), and the report.

    ``held_out`` are the scores of the images that it was taught with, each left out once.
    """

    sha256: str
    threshold: float | None
    warn: float | None
    limit: float
    report: Report
    notes: tuple[str, ...] = ()
    held_out: tuple[float, ...] = ()


def carry_out(order: Order, progress: Progress, open_model: Callable[[], Model] | None = None) -> Made:
    """Do what is ordered. Raises RegadError."""
    with LearningTrace(Path(order.trace)) as trace:
        base = trace.version(order.wanted.job, order.base) if order.base else None
        work = _Work(order, trace, base, open_model or partial(_opened, order), progress)
        try:
            return work.made()
        finally:
            work.close()


def _opened(order: Order) -> Model:
    return Model.load(order.model, order.device, 1, order.precision)


_Named = tuple[NDArray[np.uint8], SupportImage]


class _Work:
    def __init__(
        self,
        order: Order,
        trace: LearningTrace,
        base: Version | None,
        open_model: Callable[[], Model],
        progress: Progress,
    ) -> None:
        self._order, self._trace, self._base, self._progress = order, trace, base, progress
        self._open_model = open_model
        self._model: Model | None = None
        self._detector: Detector | None = None
        self._category: Category | None = None
        versions = trace.versions(order.wanted.job)
        self._same_hash = {one.id for one in versions if base is not None and one.hash == base.hash}
        self._specs = trace.specs()
        self._by_full = 0  # parts that were judged by their full pictures

    def close(self) -> None:
        if self._model is not None:
            self._model.close()

    def made(self) -> Made:
        wanted = self._order.wanted
        evidence = evidence_of(self._trace, wanted.job)
        if wanted.kind == "threshold" and self._base is not None:
            limit, warn = _limits(wanted)
            report = judged(evidence, lambda part: self._by_score(part, limit, warn), self._progress)
            return Made(
                sha256=self._base.sha256, threshold=limit, warn=warn, limit=limit, report=report, notes=self._said()
            )
        category = self._taught()
        self._use(category)
        report = judged(evidence, self._by_input, self._progress)
        sha256 = store_category(Path(self._order.trace), category)
        limit = category.threshold.value
        notes = (*category.notes, category.threshold.note, *self._said())
        scores = category.threshold.held_out or category.threshold.scores
        own = scores if len(scores) == len(category.support) else ()
        return Made(sha256=sha256, threshold=None, warn=None, limit=limit, report=report, notes=notes, held_out=own)

    def _by_score(self, part: Part, limit: float, warn: float | None) -> Judged | None:
        """By the stored score where the base gave it, else by judging the stored input with the base."""
        score, verdict = part.score, VerdictCode(part.verdict)
        if part.version not in self._same_hash or verdict is VerdictCode.NOT_JUDGED:
            if self._detector is None:
                self._use(self._base_category())
            again = self._by_input(part)
            if again is None:
                return None
            score, verdict = again
        if verdict is VerdictCode.NO_PART:
            return Judged(None, verdict)
        if score is None:
            return None
        if score > limit:
            return Judged(score, VerdictCode.REJECT)
        return Judged(score, VerdictCode.REVIEW if warn is not None and score > warn else VerdictCode.PASS)

    def _by_input(self, part: Part) -> Judged | None:
        """By the stored input where the category would have made it so; else by the full picture, a JPEG."""
        detector = self._detector
        category = None if detector is None else detector.category
        if detector is None or category is None:
            return None
        row = self._trace.row(part.id)
        image = self._trace.input(part.id) if part.has_input and self._fits(part, category) else None
        if image is not None:
            (result,) = detector.predict_prepared([prepared_of(row, image, category.registration)])
        elif (full := self._trace.full(part.id)) is not None:
            self._by_full += 1
            result = detector.predict(decode_upload(full))
        else:
            return None
        return Judged(None if result.refusal else result.score, verdict_of(result))

    def _said(self) -> tuple[str, ...]:
        if not self._by_full:
            return ()
        return (f"{self._by_full} parts were judged by their full pictures, JPEG: their scores are near, not exact",)

    def _fits(self, part: Part, category: Category) -> bool:
        """Whether the part's stored input is what the category would make of its frame."""
        spec = None if part.version is None else self._specs.get(part.version)
        return is_prepared_for(self._trace.row(part.id), category, category.preparation, spec)

    def _base_category(self) -> Category:
        if self._category is None:
            self._category = load_category(Path(self._order.category))
        return self._category

    def _opened(self) -> Model:
        if self._model is None:
            self._model = self._open_model()
        return self._model

    def _use(self, category: Category) -> None:
        self._detector = Detector(self._opened())
        self._detector.use(category)

    def _taught(self) -> Category:
        """Teach again, and set the threshold by the newest good parts; photos of the page have none of their own."""
        wanted = self._order.wanted
        if self._base is None:
            return self._taught_by_photos(self._opened().info.spec, None, None)
        base = self._base_category()
        rate, warn_rate = base.threshold.target_frr, base.threshold.warn_frr
        if wanted.kind == "photos":
            return self._taught_by_photos(base.spec, rate, warn_rate)
        goods = [
            part
            for part in self._trace.goods(wanted.job, 2 * VALIDATION, stored=True)
            if part.id not in wanted.parts and self._fits(part, base)
        ]
        chosen = self._chosen()
        if wanted.afresh:
            validation = [part.id for part in goods[:VALIDATION]]
            return teach_parts(
                self._opened(),
                Path(self._order.trace),
                wanted.parts,
                job=wanted.job,
                validation=validation,
                progress=self._progress,
                target_frr=rate,
                warn_frr=warn_rate,
            )
        inputs, files = self._images(chosen)
        taken = {file.sha256 for file in files}
        goods = [part for part in goods if part.input_sha256 not in taken][:VALIDATION]
        pictures = [image for part in goods if (image := self._trace.input(part.id)) is not None]
        named = tuple(SupportImage(f"part {part.id}", part.input_sha256 or "") for part in goods)
        return teach_inputs(
            self._opened(),
            inputs,
            base.spec,
            files=files,
            validation=pictures,
            validation_files=named[: len(pictures)],
            progress=self._progress,
            target_frr=rate,
            warn_frr=warn_rate,
        )

    def _taught_by_photos(self, spec: InputSpec, rate: float | None, warn_rate: float | None) -> Category:
        inputs, files = self._photos()
        return teach_inputs(
            self._opened(),
            inputs,
            replace(spec, roi=self._order.wanted.roi),
            files=files,
            target_frr=rate,
            warn_frr=warn_rate,
            progress=self._progress,
        )

    def _photos(self) -> tuple[list[NDArray[np.uint8]], tuple[SupportImage, ...]]:
        """The photos that were taken at the page."""
        taught = TaughtImages(Path(self._order.state), self._trace)
        found = [(taught.find(sha256), sha256) for sha256 in self._order.wanted.photos]
        if any(image is None for image, _ in found) or len(found) < _LEAST:
            raise InputError(f"{len(found)} photos to teach with; take at least {_LEAST}, better 4 to 8")
        files = tuple(SupportImage(f"photo {number}", sha256) for number, (_, sha256) in enumerate(found, 1))
        return [image for image, _ in found if image is not None], files

    def _images(self, chosen: list[_Named]) -> tuple[list[NDArray[np.uint8]], tuple[SupportImage, ...]]:
        """The images that the base was taught with, and the chosen parts' inputs."""
        if self._base_category().registration is not None:
            raise InputError("the part is registered; teach it again, from good parts of the trace alone (4 to 8)")
        taught = TaughtImages(Path(self._order.state), self._trace)
        support: tuple[tuple[str, str], ...] = () if self._base is None else self._base.support
        found = [(taught.find(sha256), SupportImage(name, sha256)) for name, sha256 in support]
        missing = [file.name for image, file in found if image is None]
        if missing:
            raise InputError(
                f"{len(missing)} of the {len(found)} photos that the part was taught with are not on this station "
                f"({', '.join(missing[:5])}): teach it again, from good parts of the trace alone (4 to 8)"
            )
        known = [(image, file) for image, file in found if image is not None]
        both = [*known, *chosen]
        return [image for image, _ in both], tuple(file for _, file in both)

    def _chosen(self) -> list[_Named]:
        """The parts that are to be taught, with their inputs. Raises InputError for one that cannot be."""
        found = []
        for part in self._trace.parts(self._order.wanted.parts):
            if part.label != "good":
                raise InputError(
                    f"part {part.id} is {'not labelled' if part.label is None else 'labelled ' + part.label}: "
                    "only parts that somebody labelled good are taught"
                )
            if part.job != self._order.wanted.job or not self._fits(part, self._base_category()):
                raise InputError(
                    f"part {part.id} is of another job, or was cropped or registered in another way than by the "
                    "version in use; leave it out"
                )
            image = self._trace.input(part.id)
            if image is None:
                raise InputError(f"the picture of part {part.id} is not stored any more; choose another part")
            found.append((image, SupportImage(f"part {part.id}", part.input_sha256 or "")))
        return found


def _limits(wanted: Wanted) -> tuple[float, float | None]:
    limit, warn = wanted.threshold, wanted.warn
    if limit is None or not 0 < limit < float("inf"):
        raise InputError(f"the threshold is {limit}; expected a number above 0")
    if warn is not None and not 0 < warn < limit:
        raise InputError(f"the warn limit is {warn}; expected a number above 0 and below the threshold {limit:g}")
    return limit, warn


def main() -> int:
    """Carry out the order that comes in; the exit status is 0 if it could be."""
    os.nice(_NICE)
    told = sys.stdout.buffer

    def tell(value: Any) -> None:
        told.write(msgspec.json.encode(value) + b"\n")
        told.flush()

    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        tell(carry_out(order, lambda done, total: tell({"done": done, "total": total})))
    except RegadError as error:
        tell({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
