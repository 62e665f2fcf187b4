"""Model, part and detector: who owns what, what close ends, and that changes from several threads undo nothing."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib import fitting
from regad.runtime import detector as detector_module
from regad.runtime import judging
from regad.runtime.detector import Detector
from regad.runtime.errors import ArtifactError, CategoryError, DeviceError, InputError
from regad.runtime.formats.category import save_category
from regad.runtime.formats.spec import InputSpec
from regad.runtime.model import Model

from .run_doubles import ARTIFACT, FakeBackend, Noise, category

CLOSED = "this model or detector was closed and cannot be used any more; load the artifact again"
GREY = np.full((30, 40, 3), 90, np.uint8)


class Closing(FakeBackend):
    """Counts how often it was closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def made(spec: InputSpec | None = None) -> tuple[Detector, Closing]:
    backend = Closing()
    return Detector(Model(ARTIFACT, backend), spec), backend  # type: ignore[arg-type]


def test_a_shared_model_outlives_its_detectors() -> None:
    first, backend = made()
    second = Detector(first.model)
    for detector in (first, second):
        detector.use(category())
    with first:
        pass
    assert backend.closed == 0
    assert second.predict(GREY).score == 9
    with pytest.raises(DeviceError, match="closed"):
        first.predict(GREY)


def test_an_owned_model_is_closed_with_its_detector() -> None:
    backend = Closing()
    with Detector(Model(ARTIFACT, backend), owns_model=True):  # type: ignore[arg-type]
        assert backend.closed == 0
    assert backend.closed == 1


def test_a_closed_detector_says_one_thing_whatever_is_asked(tmp_path: Path) -> None:
    detector, _ = made()
    detector.use(category())
    detector.save_category(tmp_path / "part.safetensors")
    detector.close()
    detector.close()
    for call in (
        lambda: detector.predict(GREY),
        lambda: detector.predict_batch([]),
        lambda: detector.set_threshold(1.0),
        lambda: detector.use(category()),
        lambda: detector.load_category(tmp_path / "part.safetensors"),
        lambda: detector.save_category(tmp_path / "other.safetensors"),
        lambda: detector.fit([GREY, GREY + 1]),
    ):
        with pytest.raises(DeviceError) as caught:
            call()
        assert str(caught.value) == CLOSED
    assert detector.describe()["category"] is None


@pytest.mark.parametrize("owns_model", [True, False])
@pytest.mark.parametrize("call", ["predict", "fit", "load_category"])
def test_close_waits_for_a_call_that_is_between_two_passes_of_the_backend(
    call: str, owns_model: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.safetensors"
    save_category(dataclasses.replace(category(), artifact="ab" * 32), path)
    model = Model(dataclasses.replace(ARTIFACT, hash="ab" * 32), Noise())
    detector = Detector(model, owns_model=owns_model)
    detector.load_category(path)
    at_work, go_on = threading.Event(), threading.Event()

    def held(original: Any) -> Any:
        def waiting(*args: Any, **options: Any) -> Any:
            at_work.set()
            assert go_on.wait(30)
            return original(*args, **options)

        return waiting

    for module, name in (
        (judging, "arrive"),
        (fitting, "fit_statistics"),
        (detector_module, "load_category"),
    ):
        monkeypatch.setattr(module, name, held(getattr(module, name)))
    calls = {
        "predict": lambda: detector.predict(GREY).score,
        "fit": lambda: detector.fit([GREY, GREY + 1]).shot,
        "load_category": lambda: detector.load_category(path).shot,
    }
    done: list[Any] = []
    worker = threading.Thread(target=lambda: done.append(calls[call]()))
    worker.start()
    assert at_work.wait(30)
    closer = threading.Thread(target=lambda: (detector.close(), model.close()))
    closer.start()
    while not model.backend._lifecycle.closed:
        closer.join(0.001)
    assert closer.is_alive(), "the call is not over"
    go_on.set()
    for thread in (worker, closer):
        thread.join(30)
    assert len(done) == 1
    assert done[0] > 0
    assert detector.category is None, "nothing is put in force after close"


def test_what_is_described_is_one_part_also_while_another_takes_its_place() -> None:
    detector, backend = made()
    parts = [category(spec=InputSpec(roi=(0, 0, 9 + number, 9))) for number in range(2)]
    detector.use(parts[0])

    class Swaps(Closing):
        @property
        def device(self) -> str:  # type: ignore[override]
            detector.use(parts[1])
            return "cpu"

    backend.__class__ = Swaps
    told = detector.describe()
    assert detector.category is parts[1]
    assert told["input"] == parts[0].spec.to_json()
    assert told["category"]["hash"] == parts[0].hash


@pytest.mark.parametrize(("output", "what"), [(0, "map"), (1, "score"), (2, "theta")])
def test_what_is_not_finite_is_no_verdict(output: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, backend = made()
    detector.use(category())
    done = FakeBackend().infer(GREY[None], None)
    done[output].flat[-1] = np.nan
    monkeypatch.setattr(backend, "infer", lambda *args: done)
    with pytest.raises(InputError, match=f"the {what} is not finite; the image is not judged"):
        detector.predict(GREY)


def test_a_closed_model_ends_the_detectors_that_share_it() -> None:
    model = Model(ARTIFACT, Noise())
    detector = Detector(model)
    detector.use(category())
    model.close()
    model.close()
    for call in (
        lambda: detector.predict(GREY),
        lambda: model.part(category()),
        lambda: detector.fit([GREY, GREY + 2]),
    ):
        with pytest.raises(DeviceError) as caught:
            call()
        assert str(caught.value) == CLOSED


def test_a_part_that_is_replaced_is_freed_when_nobody_judges_with_it() -> None:
    detector, _ = made()
    detector.use(category())
    part = weakref.ref(detector._part)  # type: ignore[type-var]
    detector.use(category())
    gc.collect()
    assert part() is None


def test_a_part_of_another_model_or_another_mean_is_refused_and_the_one_before_stays() -> None:
    detector, _ = made()
    first = category()
    detector.use(first)
    for wrong, word in (
        (category(artifact="b" * 64), "was taught on artifact bbbbbbbbbbbb, but this one is aaaaaaaaaaaa"),
        (category(spec=InputSpec(mean=(0.5, 0.5, 0.5))), r"^mean/std .* are not the model's"),
    ):
        with pytest.raises(CategoryError, match=word):
            detector.use(wrong)
    assert detector.category is first
    with pytest.raises(CategoryError, match=r"^mean/std .* are not the model's"):
        made(InputSpec(mean=(0.5, 0.5, 0.5)))


def test_a_threshold_never_undoes_a_part_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other thread puts its part in force just between the reading and the writing of the first."""
    detector, _ = made()
    first, second = category(), dataclasses.replace(category(), shot=9)
    detector.use(first)
    prepared = threading.Event()
    make = detector.model.part

    def part(taught: Any) -> Any:
        ready = make(taught)
        prepared.set()
        return ready

    others: list[threading.Thread] = []

    def meanwhile(*args: Any, **changes: Any) -> Any:
        if not others:
            others.append(threading.Thread(target=detector.use, args=(second,)))
            others[0].start()
            assert prepared.wait(30)
            others[0].join(0.2)  # without a lock it is through by now
        return dataclasses.replace(*args, **changes)

    monkeypatch.setattr(detector.model, "part", part)
    monkeypatch.setattr(detector_module, "replace", meanwhile)
    detector.set_threshold(5.0)
    others[0].join(30)
    assert detector.category is second


def test_thresholds_and_parts_changed_by_many_threads_are_never_mixed() -> None:
    detector, _ = made()
    parts = [dataclasses.replace(category(), shot=shot) for shot in (2, 3)]
    detector.use(parts[0])

    def change() -> None:
        for turn in range(50):
            detector.use(parts[turn % 2])
            detector.set_threshold(1.0 + turn)
            assert detector.category is not None

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert detector.category is not None
    assert detector.category.threshold.method in ("manual", "leave-one-out")


def test_a_model_that_is_no_artifact_says_so() -> None:
    info: Any = dataclasses.make_dataclass("Info", ["path", "hash", "spec"])(Path("model.pt"), "c" * 64, InputSpec())
    model = Model(info, Closing())  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=r"model\.pt is not an artifact folder; export it: regad-export"):
        _ = model.artifact
