"""Parts judged again: with the same category in every bit, with another one or another threshold by their changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib.stored import teach_parts
from regad.calib.teach import teach
from regad.runtime.detector import Detector
from regad.runtime.errors import CategoryError, InputError, OutputError
from regad.runtime.formats.category import Category, Threshold
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.model import Model
from regad.runtime.station.codes import VerdictCode
from regad.runtime.station.trace.package import export_part, read_part
from regad.runtime.station.trace.reader import Selection, TraceReader
from regad.runtime.station.trace.rejudge import Change, Rejudged, rejudge, rejudge_threshold, verdict_of
from regad.runtime.station.trace.writer import Trace

from ...run_doubles import ARTIFACT, FakeBackend, category
from .parts import ROOMY, ask, filled, part

PASS, REJECT, REVIEW = VerdictCode.PASS, VerdictCode.REJECT, VerdictCode.REVIEW


def grey(value: int) -> np.ndarray:
    """An input whose score is a tenth of its grey value, by the double."""
    return np.full((224, 224, 3), value, np.uint8)


def detector(threshold: float = 10.0, warn: float | None = None) -> Detector:
    made = Detector(Model(ARTIFACT, FakeBackend()))  # type: ignore[arg-type]
    made.use(replace(category(), threshold=Threshold(threshold, "manual", warn=warn)))
    return made


def recorded(folder: Path, judge: Detector, *values: int) -> Path:
    """A trace of parts of those grey values, as the detector judges them, and one that was never judged."""
    parts = []
    for seq, value in enumerate(values, 1):
        (result,) = judge.predict_inputs(grey(value)[None])
        parts.append(
            part(seq, input=grey(value), score=result.score, verdict=verdict_of(result), threshold=result.threshold)
        )
    parts.append(part(len(values) + 1, verdict=VerdictCode.NOT_JUDGED, output=VerdictCode.NOT_JUDGED, score=None))
    return filled(folder, *parts)


def test_the_same_category_changes_nothing(tmp_path: Path) -> None:
    changes: list[Change] = []
    recorded(tmp_path, detector(), 50, 99, 101, 200)
    done = rejudge(tmp_path, detector(), on_change=changes.append)
    assert (done, changes) == (Rejudged(run=1, judged=4, changed=0, same_scores=4, left_out=1), [])
    assert ask(tmp_path, "SELECT inspection, score, verdict FROM rejudge WHERE run = 1") == [
        *((number, value, verdict) for number, value, verdict in ((1, 5.0, 1), (2, 9.899999618530273, 1))),
        *((number, value, verdict) for number, value, verdict in ((3, 10.100000381469727, 2), (4, 20.0, 2))),
    ]


def test_another_category_lists_each_part_that_changes_sides(tmp_path: Path) -> None:
    changes: list[Change] = []
    recorded(tmp_path, detector(), 50, 99, 101, 200)
    done = rejudge(tmp_path, detector(15.0, warn=9.0), on_change=changes.append, by="anna")
    assert (done.judged, done.changed, done.same_scores) == (4, 2, 4)
    assert [(change.inspection, change.verdict_before, change.verdict) for change in changes] == [
        (2, PASS, REVIEW),
        (3, REJECT, REVIEW),
    ]
    assert ask(tmp_path, "SELECT threshold, from_id, to_id, by FROM rejudge_run") == [(15.0, 1, 5, "anna")]


def test_another_threshold_is_held_against_the_stored_scores(tmp_path: Path) -> None:
    changes: list[Change] = []
    recorded(tmp_path, detector(), 50, 99, 101, 200)
    done = rejudge_threshold(tmp_path, 9.5, Selection(2, 3), on_change=changes.append)
    assert done == Rejudged(run=1, judged=2, changed=1, same_scores=2, left_out=0)
    assert changes == [Change(2, 9.899999618530273, 9.899999618530273, PASS, REJECT)]
    assert ask(tmp_path, "SELECT category_version, from_id, to_id FROM rejudge_run") == [(None, 2, 3)]


def test_the_warn_limit_of_the_part_s_own_category_stays_below_another_threshold(tmp_path: Path) -> None:
    recorded(tmp_path, detector(), 50, 99)
    ask(tmp_path, "UPDATE category_version SET low = 9.0")
    changes: list[Change] = []
    rejudge_threshold(tmp_path, 20.0, on_change=changes.append)
    assert [(change.inspection, change.verdict) for change in changes] == [(2, REVIEW)]


def test_a_part_without_its_input_is_left_out_and_counted(tmp_path: Path) -> None:
    recorded(tmp_path, detector(), 50, 99)
    ask(tmp_path, "DELETE FROM file WHERE inspection = 1")
    assert rejudge(tmp_path, detector()) == Rejudged(run=1, judged=1, changed=0, same_scores=1, left_out=2)


def test_what_cannot_be_judged_again_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        rejudge(tmp_path, detector())
    recorded(tmp_path, detector(), 50)
    with pytest.raises(CategoryError, match="no category is loaded"):
        rejudge(tmp_path, Detector(Model(ARTIFACT, FakeBackend())))  # type: ignore[arg-type]
    for threshold in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="expected a number above 0"):
            rejudge_threshold(tmp_path, threshold)
    (tmp_path / "images/000001/000000/000000001-input.png").write_bytes(b"spoilt")
    with pytest.raises(InputError, match="was changed after it was written"):
        rejudge(tmp_path, detector())


def test_a_trace_that_cannot_be_written_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path, detector(), 50)
    ask(tmp_path, "DROP TABLE rejudge_run")
    with pytest.raises(OutputError, match="cannot be written: no such table"):
        rejudge_threshold(tmp_path, 1.0)


def plate(seed: int) -> np.ndarray:
    """A photo of a part, of an odd size."""
    rng = np.random.default_rng(seed)
    image = np.full((190, 270, 3), 60.0)
    image[30:160, 40:230] = 150
    image[80:110, 120:150] = 40
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def judge(small_artifact: Path) -> Detector:
    """A detector that was taught plates 0 and 1."""
    judge = Detector.load(small_artifact, threads=1)
    judge.fit([plate(0), plate(1)], spec=InputSpec(fit="letterbox", roi=(5, 5, 250, 180)))
    return judge


@pytest.fixture
def line(judge: Detector, tmp_path: Path) -> tuple[Detector, Path, Category, list[Any]]:
    """A model, the trace of ten photos, the category that judged them, and the results."""
    taught = judge.category
    judge.save_category(tmp_path / "part.safetensors")
    trace = Trace(tmp_path / "trace", ROOMY)
    trace.open()
    trace.category(3, taught, tmp_path / "part.safetensors")
    results = []
    for seq in range(1, 11):
        photo = plate(seq - 1 if seq < 3 else 20 + seq)
        if seq == 10:
            photo = photo * 0
        result = judge.predict(photo)
        results.append(result)
        score = result.score if result.refusal is None else None
        facts = {"verdict": verdict_of(result), "score": score, "category": taught.hash, "map": result.anomaly_map}
        trace.add(part(seq, input=preprocess(photo, taught.spec), **facts))
    trace.close()
    return judge, tmp_path / "trace", taught, results


def test_every_stored_part_is_judged_again_in_every_bit(line: tuple[Detector, Path, Category, list[Any]]) -> None:
    judge, folder, _, results = line
    assert rejudge(folder, judge) == Rejudged(run=1, judged=10, changed=0, same_scores=10, left_out=0)
    with TraceReader(folder) as reader:
        for number, first in enumerate(results, 1):
            stored = reader.input(number)
            assert stored is not None
            (again,) = judge.predict_inputs(stored[None])
            assert (again.score, again.reason) == (first.score, first.reason)
            assert again.anomaly_map.tobytes() == first.anomaly_map.tobytes()
    assert results[-1].reason == "no_part"


def test_a_part_in_a_zip_is_judged_elsewhere_in_every_bit(
    line: tuple[Detector, Path, Category, list[Any]], small_artifact: Path, tmp_path: Path
) -> None:
    _, folder, _, results = line
    export_part(folder, 5, tmp_path / "part.zip")
    packed = read_part(tmp_path / "part.zip")
    elsewhere = Detector.load(small_artifact, threads=1)
    assert packed.category is not None
    elsewhere.use(packed.category)
    (again,) = elsewhere.predict_inputs(packed.input[None])
    assert again.score == results[4].score == packed.row["score"]
    assert again.anomaly_map.tobytes() == results[4].anomaly_map.tobytes()


def test_a_part_taught_again_from_the_trace_is_the_same_and_its_pictures_are_kept(
    line: tuple[Detector, Path, Category, list[Any]],
) -> None:
    judge, folder, taught, _ = line
    again = teach_parts(judge.model, folder, (1, 2))
    from_photos = teach(judge.model, [plate(0), plate(1)], taught.spec)
    assert again.data_sha256 == from_photos.data_sha256 == taught.data_sha256
    assert (again.threshold, again.limits, again.spec) == (taught.threshold, taught.limits, taught.spec)
    assert ask(folder, "SELECT inspection FROM file WHERE keep = 1 ORDER BY 1") == [(1,), (2,)]
