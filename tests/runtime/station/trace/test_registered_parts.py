"""Registered parts in the trace: judged again in every bit by every category of the same template, and by no other."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from regad.calib.limits import learn_limits
from regad.calib.registering import choose
from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, load_category, save_category, tensors_sha256
from regad.runtime.formats.digest import sha256_of
from regad.runtime.formats.limits import Limit
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.model import Model
from regad.runtime.sources.frame import Frame
from regad.runtime.station.codes import Mode, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Record
from regad.runtime.station.judge import Pinned, judge
from regad.runtime.station.part import Job, Outcome, Part, Token
from regad.runtime.station.records import WallClock, inspection_of
from regad.runtime.station.trace.package import export_part, read_part
from regad.runtime.station.trace.prepared import prepared_of
from regad.runtime.station.trace.reader import TraceReader
from regad.runtime.station.trace.rejudge import Change, Rejudged, rejudge
from regad.runtime.station.trace.writer import Trace

from ...run_doubles import ARTIFACT, FakeBackend, category
from ..station_doubles import Station, TestCamera
from .parts import ROOMY, ask

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw

SPEC = InputSpec(roi=(10, 5, 200, 210))
PASS, NO_PART = VerdictCode.PASS, VerdictCode.NO_PART


def screw(seed: int, pose: ScrewPose = UPRIGHT) -> np.ndarray:
    return draw_screw(np.random.default_rng(seed), pose, size=224)[0]


def taught(first: int = 0) -> Category:
    """A registered category whose statistics are the double's: it scores by brightness."""
    images = [screw(first), screw(first + 1)]
    inputs = [preprocess(image, SPEC) for image in images]
    registration = choose(FakeBackend(), images, inputs, SPEC, Scoring(), "on").registration  # type: ignore[arg-type]
    limits = learn_limits(inputs)
    made = replace(category(), registration=registration, spec=SPEC, limits=limits)
    return replace(made, threshold=made.threshold.by_hand(30.0), data_sha256=tensors_sha256(made.tensors))


def detector(part: Category) -> Detector:
    made = Detector(Model(ARTIFACT, FakeBackend(), threads=1))  # type: ignore[arg-type]
    made.use(part)
    return made


FRAMES = {
    "upright": screw(5),
    "turned": screw(6, ScrewPose(70, 0.05, -0.04)),
    "cut off": screw(7, ScrewPose(dx=0.45)),
    "empty": np.full((224, 224, 3), 90, np.uint8),
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Category, Path, list[Outcome]]:
    """A trace of four frames as the judging thread judges them."""
    folder, part = tmp_path_factory.mktemp("line"), taught()
    save_category(part, folder / "part.safetensors")
    job = Job(3, "screw", "a" * 64)
    pinned = Pinned(job, detector(part), part.limits, part.hash, part.preparation)
    trace = Trace(folder / "trace", ROOMY)
    boot = trace.open()
    trace.category(3, part, folder / "part.safetensors")
    outcomes = []
    for seq, image in enumerate(FRAMES.values(), 1):
        outcome, _ = judge(image, pinned, None)
        whole = Part(Token(boot.id, seq), TriggerKind.COMMAND, 0, job, seq)
        record = Record(whole, outcome, outcome.verdict, 10)
        trace.add(inspection_of(record, boot, Mode.LIVE, WallClock(True)))
        outcomes.append(outcome)
    trace.close()
    return part, folder / "trace", outcomes


Line = tuple[Category, Path, list[Outcome]]


def test_the_four_frames_are_judged_as_they_should_be(line: Line) -> None:
    outcomes = line[2]
    assert [outcome.verdict for outcome in outcomes] == [PASS, PASS, NO_PART, NO_PART]
    assert [outcome.reason for outcome in outcomes] == ["good", "good", "misplaced", "no_part"]
    rows = ask(line[1], "SELECT prepared, round(angle), round(shift_x), round(scale, 1), quality > 0.8 FROM inspection")
    assert {row[0] for row in rows} == {line[0].preparation}
    assert rows[1][1] == 70.0 and rows[1][3:] == (1.0, 1) and rows[0][1:4] == (0.0, 0.0, 1.0)


def test_the_same_category_gives_every_bit_again_and_every_reason(line: Line) -> None:
    part, folder, outcomes = line
    assert rejudge(folder, detector(part)) == Rejudged(ask(folder, "SELECT max(run) FROM rejudge")[0][0], 4, 0, 4, 0, 0)
    with TraceReader(folder) as reader:
        for number, first in enumerate(outcomes, 1):
            image = reader.input(number)
            assert image is not None
            (again,) = detector(part).predict_prepared([prepared_of(reader.row(number), image, part.registration)])
            assert (again.reason, again.message) == (first.reason, first.error)
            assert again.located is None or again.located == first.details.frame.located


def test_another_category_of_the_same_template_judges_them_too(line: Line) -> None:
    """Also a part that was misplaced, or was no part, by the limits of the one before."""
    part, folder, outcomes = line
    registration = part.registration
    assert registration is not None
    loose = Limit(-1.0, None, (0.0, 1.0))
    looser = replace(part, limits={}, registration=replace(registration, quality=loose, shown=loose))
    changes: list[Change] = []
    done = rejudge(folder, detector(looser), on_change=changes.append)
    assert (done.judged, done.same_scores, done.other_input) == (4, 2, 0)
    assert [change.inspection for change in changes] == [3, 4]
    for change, name in zip(changes, ("cut off", "empty"), strict=True):
        assert change.score == detector(looser).predict(FRAMES[name]).score
    assert len(outcomes) == 4


@pytest.mark.parametrize("other", ["template", "region", "unregistered"])
def test_a_category_of_another_template_is_told_of_every_part_that_it_cannot_judge(line: Line, other: str) -> None:
    part, folder, _ = line
    another = {
        "template": taught(8),
        "region": replace(part, spec=InputSpec(roi=(0, 0, 200, 210))),
        "unregistered": replace(part, registration=None),
    }[other]
    told: list[int] = []
    done = rejudge(folder, detector(another), on_other_input=told.append)
    assert (done.judged, done.left_out, done.other_input, told) == (0, 0, 4, [1, 2, 3, 4])


def test_a_registered_part_in_a_zip_is_judged_elsewhere(line: Line, tmp_path: Path) -> None:
    _, folder, outcomes = line
    for number in (2, 3):
        export_part(folder, number, tmp_path / "part.zip")
        packed = read_part(tmp_path / "part.zip")
        assert packed.category is not None
        (again,) = detector(packed.category).predict_prepared(
            [prepared_of(packed.row, packed.input, packed.category.registration)]
        )
        assert again.reason == outcomes[number - 1].reason
        assert again.refusal or again.score == packed.row["score"]


def test_the_spot_is_where_the_camera_shows_it(line: Line) -> None:
    """The double's map is even, so its highest place is the first one; the part's frame shows it turned."""
    part, _, outcomes = line
    located: Any = outcomes[1].details.frame.located
    assert outcomes[0].spot is not None and max(outcomes[0].spot) <= 3
    assert outcomes[1].spot != outcomes[0].spot and located.pose.angle == pytest.approx(70, abs=1)
    assert part.registration is not None


class Shows(TestCamera):
    """A camera that shows one picture, with a little noise."""

    picture = FRAMES["upright"]

    def _next(self) -> Frame:
        noise = np.random.default_rng(self.index).integers(0, 2, self.picture.shape)
        made = super()._next()
        return replace(made, image=np.clip(self.picture.astype(int) + noise, 0, 255).astype(np.uint8))


def test_a_running_station_judges_parts_that_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    config = Station(tmp_path).config
    save_category(taught(), tmp_path / "screw.safetensors")
    job = msgspec.structs.replace(
        config.jobs[0], category=tmp_path / "screw.safetensors", sha256=sha256_of(tmp_path / "screw.safetensors")
    )
    camera = Shows()
    station = Station(tmp_path, config=msgspec.structs.replace(config, jobs=(job,)), source_camera=camera)
    with station.line:
        station.line.start()
        station.until(lambda image: bool(image.status & Status.READY))
        found = []
        for camera.picture in FRAMES.values():
            found.append(station.trigger()["reason"])
    assert found == ["good", "good", "misplaced", "no_part"]
    rows = ask(tmp_path / "trace", "SELECT prepared, round(angle), input_file IS NOT NULL FROM inspection ORDER BY id")
    assert [row[0] for row in rows] == [taught().preparation] * 4 and rows[1] == (taught().preparation, 70.0, 1)


def test_the_template_s_identity_outlives_the_file(tmp_path: Path) -> None:
    part = taught()
    save_category(part, tmp_path / "part.safetensors")
    back = load_category(tmp_path / "part.safetensors")
    assert back.preparation == part.preparation != taught(8).preparation
    assert replace(part, registration=None).preparation not in ("", part.preparation)
