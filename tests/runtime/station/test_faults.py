"""Each fault that a line meets, on the real threads: what is put out, what is recorded, how the station comes back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regad.runtime.formats.artifact import Artifact
from regad.runtime.model import Model
from regad.runtime.station.codes import Fault, Flag, State, Status, VerdictCode
from regad.runtime.station.config import CameraConfig, DeskConfig, StationConfig, TraceConfig, TriggerConfig
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.opening import SelfTestError
from regad.runtime.station.trace.reader import TraceReader

from ..run_doubles import ARTIFACT
from .station_doubles import BAD, BLACK, GOOD, PATIENCE, Station, running


@pytest.fixture(autouse=True)
def artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)


def ready(station: Station) -> None:
    station.until(lambda image: Status.READY in image.status)


def rows(station: Station) -> list[dict[str, Any]]:
    station.line.close()
    with TraceReader(station.folder / "trace") as reader:
        return list(reader.rows())


def test_a_good_part_passes_and_a_bad_one_does_not(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        answer = station.trigger(part_id=77, serial="A1")
        image = station.line.image
        assert image.passes and image.shown.part_id == 77 and image.shown.percent == pytest.approx(60, abs=1)
        assert (answer["verdict"], answer["seq"]) == ("PASS", 1)
        assert station.part(BAD) == "REJECT"
        assert not station.line.image.passes
        good, bad = rows(station)
    assert (good["verdict"], good["output"], good["part_id"], good["serial"]) == (1, 1, 77, "A1")
    assert (bad["verdict"], bad["output"], bad["reason"]) == (2, 2, "anomalous")
    assert good["frame_id"] == 1 and bad["frame_id"] == 2 and good["category"]


def test_the_encoder_s_input_of_every_part_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        station.part()
        station.part(BAD)
        kept = rows(station)
        with TraceReader(tmp_path / "trace") as reader:
            inputs = [reader.input(row["id"]) for row in kept]
    assert [None if each is None else (each.shape, round(float(each.mean()))) for each in inputs] == [
        ((224, 224, 3), GOOD),
        ((224, 224, 3), BAD),
    ]


def test_in_shadow_mode_nothing_is_put_out_and_the_truth_recorded(tmp_path: Path) -> None:
    with running(tmp_path, station=StationConfig(mode="shadow", autostart=True, job=1)) as station:
        ready(station)
        assert station.part() == "NONE"
        image = station.line.image
        assert Status.SHADOW in image.status and not image.passes
        (row,) = rows(station)
    assert (row["verdict"], row["output"], row["shadow"]) == (VerdictCode.PASS, VerdictCode.NONE, 1)


def test_a_trigger_while_not_ready_is_missed_and_recorded(tmp_path: Path) -> None:
    with running(tmp_path, station=StationConfig(mode="live", autostart=False, job=1)) as station:
        assert station.part() == "MISSED"
        assert Status.MISSED in station.line.image.status
        (row,) = rows(station)
    assert (row["verdict"], row["output"], row["error"]) == (VerdictCode.MISSED, VerdictCode.MISSED, "")


def test_a_camera_that_is_dead_is_a_fault_until_it_is_back(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        station.camera.dead = True
        assert station.part() == "NOT_JUDGED"
        image = station.until(lambda image: image.fault is Fault.CAMERA)
        assert image.state is State.FAULT and Status.READY not in image.status
        station.camera.dead = False
        ready(station)
        assert station.part() == "PASS"
        row = rows(station)[0]
    assert row["verdict"] == VerdictCode.NOT_JUDGED and "no frame within 500 ms" in row["error"]


def test_a_frame_that_comes_again_is_never_judged_and_the_third_is_a_fault(tmp_path: Path) -> None:
    with running(tmp_path, camera=CameraConfig(source="camera:0", frozen_frames=3)) as station:
        ready(station)
        assert station.part() == "PASS"
        station.camera.frozen = True
        station.part()  # may differ from the one before
        assert station.part() == "NOT_JUDGED"
        assert station.line.image.fault is Fault.NONE
        assert station.part() == "NOT_JUDGED"
        image = station.until(lambda image: image.fault is Fault.FROZEN)
        assert not image.passes
        station.camera.frozen = False
        station.line.requests.handle({"command": "reset"})
        ready(station)
        assert station.part() == "PASS"


def test_a_black_picture_is_not_judged_and_the_third_a_fault_until_somebody_looked(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        assert [station.part(BLACK) for _ in range(3)] == ["NOT_JUDGED"] * 3
        station.until(lambda image: image.fault is Fault.PICTURE)
        assert station.part() == "MISSED"
        station.line.requests.handle({"command": "reset"})
        ready(station)
        assert station.part() == "PASS"
        assert "black" in rows(station)[0]["error"]


def test_a_verdict_that_is_late_is_a_reject_and_the_truth_is_recorded(tmp_path: Path) -> None:
    with running(tmp_path, trigger=TriggerConfig(deadline_ms=50, hold_ms=60_000)) as station:
        ready(station)
        station.backend.held = threading.Event()
        assert station.part() == "LATE"
        image = station.line.image
        assert Flag.LATE in image.flags and image.shown.verdict is VerdictCode.LATE and Status.READY not in image.status
        station.backend.held.set()
        station.until(lambda image: image.parts == 1)
        assert station.line.image.shown.verdict is VerdictCode.LATE
        (row,) = rows(station)
    assert (row["verdict"], row["output"], row["late"]) == (VerdictCode.PASS, VerdictCode.LATE, 1)


def test_a_backend_that_fails_three_times_is_a_fault_and_is_opened_again_once(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        station.backend.broken = True
        assert [station.part() for _ in range(3)] == ["NOT_JUDGED"] * 3
        station.until(lambda image: image.fault is Fault.JUDGE)
        station.backend.broken = False
        assert station.part() == "MISSED"

        def reset(image: Any) -> bool:
            station.line.requests.handle({"command": "reset"})
            return Status.READY in image.status

        station.until(reset)
        assert station.part() == "PASS"
        assert station.backend.opened == 2
        assert rows(station)[0]["error"] == "RuntimeError: the device fell off the bus"


def test_on_a_disk_that_is_short_a_result_waits_for_its_row_alone(tmp_path: Path) -> None:
    trace = TraceConfig(folder=tmp_path / "trace", before_result=True, min_free_gb=1e6)
    with running(tmp_path, trace=trace) as station:
        ready(station)
        assert [station.part(), station.part(BAD)] == ["PASS", "REJECT"]
        assert [row["input_file"] for row in rows(station)] == [None, None]


def test_two_failures_and_a_good_part_are_no_fault(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        for broken in (True, True, False, True, True):
            station.backend.broken = broken
            assert station.part() == ("NOT_JUDGED" if broken else "PASS")
        assert station.line.image.fault is Fault.NONE


def test_a_job_that_nobody_knows_is_a_fault_and_the_old_one_is_not_kept(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        station.line.requests.handle({"command": "job", "number": 9})
        image = station.until(lambda image: image.fault is Fault.UNKNOWN_JOB)
        assert (image.job, image.state) == (0, State.FAULT)
        assert any("there is no job 9; the station has: 1, 2" in text for text in station.said)
        station.line.requests.handle({"command": "job", "number": 2})
        image = station.until(lambda image: Status.READY in image.status)
        assert image.job == 2
        assert station.part() == "PASS"


def test_a_category_file_that_was_swapped_is_refused_until_it_is_put_back(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        path = station.config.jobs[0].category
        taught = path.read_bytes()
        path.write_bytes(taught + b"\0")
        station.line.requests.handle({"command": "job", "number": 1})
        image = station.until(lambda image: image.fault is Fault.CATEGORY)
        assert (image.job, image.passes) == (0, False) and Status.JOB_OK not in image.status
        assert any("pinned is" in text for text in station.said)
        path.write_bytes(taught)
        station.line.requests.handle({"command": "job", "number": 1})
        ready(station)
        assert station.part() == "PASS"


def test_a_model_that_fails_its_self_test_never_judges_and_is_tried_again_at_clear(tmp_path: Path) -> None:
    station = Station(tmp_path)
    sound = station.backend.model

    tried: list[str] = []

    def unsound() -> Model:
        tried.append("")
        raise SelfTestError("model.regad fails its self-test: theta is off by 1.0e-01", remedy="export it again")

    station.line.jobs._open_model = unsound
    with station.line:
        station.line.start()
        image = station.until(lambda image: image.fault is Fault.JUDGE)
        assert (image.state, image.job) == (State.FAULT, 0)
        assert "model.regad fails its self-test: theta is off by 1.0e-01; export it again" in station.said
        assert station.part() == "MISSED"
        station.line.requests.handle({"command": "reset"})
        station.until(lambda image: len(tried) == 2)
        station.line.jobs._open_model = sound

        def reset(image: ProcessImage) -> bool:
            station.line.requests.handle({"command": "reset"})
            return Status.READY in image.status

        assert station.until(reset).job == 1, "the job of the start is in force, without being set again"
        assert station.part() == "PASS"


def test_a_station_asks_for_a_stop_as_its_configuration_says(tmp_path: Path) -> None:
    trigger = TriggerConfig(deadline_ms=20_000, stop_after_rejects=2)
    with running(tmp_path, trigger=trigger) as station:
        ready(station)
        assert [station.part(BAD), station.part(BAD)] == ["REJECT", "REJECT"]
        station.until(lambda image: Status.STOP_REQUEST in image.status)
        assert station.part() == "PASS"
        station.until(lambda image: Status.STOP_REQUEST not in image.status)
    shadow = Station(tmp_path, trigger=trigger, station=StationConfig(mode="shadow", autostart=True, job=1))
    with shadow.line:
        shadow.line.start()
        ready(shadow)
        for _ in range(3):
            shadow.part(BAD)
        assert Status.STOP_REQUEST not in shadow.line.image.status, "in shadow it has no say"


def test_where_nothing_can_be_recorded_a_station_that_must_record_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = TraceConfig(folder=tmp_path / "trace", min_free_gb=0.0, on_disk_full="stop")
    with running(tmp_path, trace=trace) as station:
        ready(station)
        with monkeypatch.context() as patch:
            patch.setattr(type(station.line.trace), "must_stop", True)
            image = station.until(lambda image: image.fault is Fault.TRACE)
            assert image.state is State.FAULT
        ready(station)


def test_a_result_waits_for_its_record_where_it_must(tmp_path: Path) -> None:
    trace = TraceConfig(folder=tmp_path / "trace", min_free_gb=0.0, before_result=True)
    with running(tmp_path, trace=trace) as station:
        ready(station)
        station.camera.grey = GOOD
        assert station.trigger()["verdict"] == "PASS"
        with TraceReader(tmp_path / "trace") as reader:
            (row,) = reader.rows()
    assert (row["verdict"], row["output"]) == (1, 1)


def test_a_clock_that_jumps_changes_no_verdict_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as station:
        ready(station)
        assert station.part() == "PASS"
        monkeypatch.setattr(station.line.wall, "_wall", lambda: 2_500_000_000.0)
        assert station.part() == "PASS"
        station.until(lambda image: Flag.CLOCK_BAD in image.flags)
        found = rows(station)
    assert [row["clock_ok"] for row in found] == [1, 0]
    assert found[0]["mono_ns"] < found[1]["mono_ns"]


def test_a_desk_that_is_killed_is_started_again_and_the_line_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, desk=DeskConfig(command=("sleep", "1000"))) as station:
        ready(station)
        station.until(lambda image: station.line.desk.child is not None)
        first = station.line.desk.child
        assert first is not None
        first.kill()
        assert station.part() == "PASS"
        station.until(lambda image: station.line.desk.child not in (first, None))
        assert any("the desk process ended with status -9" in text for text in station.said)
        station.until(lambda image: Flag.DESK_OFFLINE not in image.flags)


def test_a_recording_is_refused_by_a_station_that_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (40, 40), 60).save(tmp_path / "a.png")
    monkeypatch.setattr("regad.runtime.station.camera._UNASKED_NS", 0)
    camera = CameraConfig(source=str(tmp_path / "a.png"), max_age_ms=200)
    station = Station(tmp_path, camera=camera, source=False)
    with station.line:
        station.line.start()
        station.until(lambda image: image.fault is Fault.CAMERA)
    assert any("is a recording" in text and 'set station.mode = "simulate"' in text for text in station.said)


def test_a_station_that_is_closed_has_nothing_at_its_outputs(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        ready(station)
        station.part()
        assert station.line.image.passes
        station.line.close()
        assert station.line.image.state is State.STOPPED and not station.line.image.passes


def test_a_judge_that_hangs_is_a_fault_until_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regad.runtime.station.line._JUDGE_SILENT_NS", 200_000_000)
    with running(tmp_path) as station:
        ready(station)
        station.backend.held = threading.Event()
        answer = station.line.requests.handle({"command": "trigger"})
        assert station.backend.entered.wait(PATIENCE)
        image = station.until(lambda image: image.fault is Fault.HANG)
        assert not isinstance(answer, dict) and answer.result(PATIENCE)["verdict"] == "NOT_JUDGED"
        assert not image.passes and Status.READY not in image.status
        station.backend.held.set()
        ready(station)
        assert station.part() == "PASS"
