"""The writer: every value as it was given, events, jobs, corrections, and what is stored of a picture."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.runtime.errors import OutputError
from regad.runtime.formats.category import SupportImage, save_category
from regad.runtime.station.trace import rows
from regad.runtime.station.trace.files import array_sha256
from regad.runtime.station.trace.inspection import Inspection, TraceAlarm, TracePolicy
from regad.runtime.station.trace.reader import TraceReader
from regad.runtime.station.trace.writer import Trace

from ...run_doubles import category
from .parts import ROOMY, Alarms, ask, filled, heat, part, picture, pictures


def test_every_value_of_a_part_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    given = part(
        1,
        **{"part_id": 2**32 - 1, "serial": "Größe 7", "verdict": 2, "output": 5, "reason": "anomalous", "warn": True},
        **{"ms_acquire": 1.5, "ms_judge": 2.5, "ms_total": 4.5, "deadline_ms": 100.0, "late": True, "shadow": True},
        **{"simulated": True, "frame_id": 77, "mean": 101.25, "sharp": 3.5, "spot_x": 12, "spot_y": 223},
        error="none at all",
    )
    with TraceReader(filled(tmp_path, given)) as reader:
        row = reader.row(1)
    plain = [field.name for field in fields(Inspection) if field.name not in ("input", "map", "frame")]
    assert {name: row[name] for name in plain} == {name: getattr(given, name) for name in plain}


def test_the_input_is_stored_bit_for_bit_and_the_map_to_a_255th_of_its_peak(tmp_path: Path) -> None:
    given = [part(seq, input=picture(seq), map=heat(seq)) for seq in (1, 2)]
    given += [part(3, input=np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8))]
    with TraceReader(filled(tmp_path, *given)) as reader:
        for number, one in enumerate(given, 1):
            stored = reader.input(number)
            assert stored is not None and one.input is not None
            assert stored.tobytes() == one.input.tobytes()
            assert reader.row(number)["input_sha256"] == array_sha256(one.input)
        coarse = given[0].map.reshape(56, 4, 56, 4).max(axis=(1, 3))  # type: ignore[union-attr]
        stored_map = reader.map(1)
        assert stored_map is not None
        assert np.abs(stored_map - coarse).max() <= coarse.max() / 255
        assert stored_map.max() == pytest.approx(coarse.max(), rel=1e-6)
        assert reader.map(3) is None


def test_numbers_of_numpy_are_numbers_and_what_is_not_finite_is_none(tmp_path: Path) -> None:
    infinite = np.full((224, 224), np.inf, np.float32)
    odd = part(1, score=np.float32(1.5), spot_x=np.int64(7), late=np.bool_(True), mean=np.inf, map=infinite)
    with TraceReader(filled(tmp_path, odd)) as reader:
        (row,) = reader.rows()
    assert (row["score"], row["spot_x"], row["late"], row["mean"]) == (1.5, 7, 1, None)
    assert ask(tmp_path, "SELECT count(*) FROM heat") == [(0,)]


def test_flushed_means_that_another_process_sees_the_row_and_its_input(tmp_path: Path, trace: Trace) -> None:
    trace.add(part(1, input=picture(1)))
    assert trace.flushed(1, 60.0)
    ((name,),) = ask(tmp_path, "SELECT input_file FROM inspection WHERE seq = 1")
    assert (tmp_path / name).is_file()
    assert not trace.flushed(2, 0.0)


def test_a_boot_is_clean_only_after_an_orderly_end(tmp_path: Path) -> None:
    trace = Trace(tmp_path, ROOMY)
    first = trace.open(artifact="abc")
    assert (first.id, first.clean_before) == (1, True)
    assert ask(tmp_path, "SELECT clean, artifact FROM boot") == [(0, "abc")]
    trace.close()
    trace.close()
    assert ask(tmp_path, "SELECT clean FROM boot") == [(1,)]
    again = Trace(tmp_path, ROOMY)
    assert again.open().id == 2
    again.close()


def test_a_second_writer_of_the_folder_is_refused(tmp_path: Path, trace: Trace) -> None:
    with pytest.raises(OutputError, match="in use by another station"):
        Trace(tmp_path, ROOMY).open()


def test_a_part_that_cannot_be_recorded_is_told_and_does_not_take_others_with_it(
    tmp_path: Path, trace: Trace, alarms: Alarms
) -> None:
    for one in (part(1), part(2, part_id=2**80), part(1), part(3, boot=99), part(4)):
        trace.add(one)
    trace.close()
    assert ask(tmp_path, "SELECT seq FROM inspection ORDER BY id") == [(1,), (4,)]
    assert alarms.codes() == [TraceAlarm.UNFIT] * 3
    assert "part 2 cannot be recorded" in alarms[0][1]
    assert trace.lag.lost_rows == 3


def test_events_are_recorded_in_order(tmp_path: Path, trace: Trace) -> None:
    trace.event("info", 10, "camera open")
    trace.event("alarm", 11, "the picture\nis frozen")
    trace.close()
    with TraceReader(tmp_path) as reader:
        assert [(e["severity"], e["code"], e["text"]) for e in reader.events()] == [
            ("info", 10, "camera open"),
            ("alarm", 11, "the picture\ufffdis frozen"),
        ]


def test_a_job_has_one_version_in_force_and_its_taught_parts_are_kept(tmp_path: Path, trace: Trace) -> None:
    trace.add(part(1, input=picture(1)))
    trace.add(part(2, input=picture(1)))
    trace.add(part(3, input=picture(3)))
    assert trace.flushed(3, 60.0)
    taught = category((SupportImage("inspection 1", array_sha256(picture(1))),))
    for name in ("one", "two"):
        save_category(taught, tmp_path / name)
    (tmp_path / "two").write_bytes((tmp_path / "two").read_bytes() + b" ")
    for name in ("one", "two", "one"):
        trace.category(3, taught, tmp_path / name)
    trace.add(part(4, category=taught.hash))
    trace.close()
    versions = ask(tmp_path, "SELECT id, path, retired_at IS NULL FROM category_version WHERE hash = ?", taught.hash)
    assert [(Path(path).name, in_force) for _, path, in_force in versions] == [("one", 1), ("two", 0)]
    assert ask(tmp_path, "SELECT category_version FROM job WHERE number = 3") == [(versions[0][0],)]
    assert ask(tmp_path, "SELECT inspection FROM file WHERE keep = 1") == [(1,)]


@pytest.mark.parametrize(
    ("full", "percent", "stored"),
    [("none", 50.0, []), ("reject", 0.0, [5]), ("reject", 25.0, [4, 5, 8]), ("all", 0.0, 8)],
)
def test_full_pictures_are_stored_as_the_policy_says(
    tmp_path: Path, full: str, percent: float, stored: list[int] | int
) -> None:
    policy = TracePolicy(full=full, full_goods_percent=percent, min_free_gb=0.0)  # type: ignore[arg-type]
    frame = np.full((30, 40, 3), 90, np.uint8)
    filled(tmp_path, *(part(seq, verdict=2 if seq == 5 else 1, frame=frame) for seq in range(1, 9)), policy=policy)
    found = [seq for (seq,) in ask(tmp_path, "SELECT seq FROM inspection WHERE full_file IS NOT NULL ORDER BY seq")]
    assert found == (stored if isinstance(stored, list) else list(range(1, 9)))
    assert len(pictures(tmp_path)) == len(found)


def test_a_part_that_was_put_out_otherwise_than_recorded_is_corrected_in_its_row(tmp_path: Path, trace: Trace) -> None:
    trace.add(part(1))
    trace.add(part(2))
    trace.correct(2, 5, late=True)
    trace.close()
    assert ask(tmp_path, "SELECT seq, verdict, output, late FROM inspection") == [(1, 1, 1, 0), (2, 1, 5, 1)]


def test_the_newest_events_are_kept(tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "EVENTS", 3)
    for number in range(6):
        trace.event("info", 0, f"event {number}")
    trace.close()
    assert ask(tmp_path, "SELECT text FROM event ORDER BY id") == [(f"event {number}",) for number in (3, 4, 5)]


def test_a_threshold_that_the_station_changes_is_another_version_of_the_category(tmp_path: Path, trace: Trace) -> None:
    taught = category()
    save_category(taught, tmp_path / "one.safetensors")
    changed = replace(taught, threshold=taught.threshold.by_hand(7.0))
    for seq, one in enumerate((taught, changed, taught), 1):
        trace.category(3, one, tmp_path / "one.safetensors")
        trace.add(part(seq, category=taught.hash))
    trace.close()
    found = (
        "SELECT v.threshold FROM inspection AS i JOIN category_version AS v ON v.id = i.category_version ORDER BY seq"
    )
    assert ask(tmp_path, found) == [(taught.threshold.value,), (7.0,), (taught.threshold.value,)]


def test_the_row_of_a_job_says_what_it_judges_by_and_each_change_is_audited(tmp_path: Path, trace: Trace) -> None:
    taught = category()
    file = tmp_path / "one.safetensors"
    save_category(taught, file)
    with_warn = replace(taught, threshold=taught.threshold.with_warn(4.0))
    facts: dict[str, Any] = {"name": "nut", "deadline_ms": 250.0, "review_is": "pass"}
    for one, more in ((taught, {}), (taught, {}), (with_warn, {"by": "anna", "note": "warn early"})):
        trace.category(3, one, file, **facts, **more)
    trace.close()
    ((name, version, deadline, bands, rules),) = ask(
        tmp_path, "SELECT name, category_version, deadline_ms, bands, output_rules FROM job WHERE number = 3"
    )
    assert (name, version, deadline) == ("nut", 2, 250.0)
    assert json.loads(bands) == {"low": 4.0, "threshold": 10.0} and json.loads(rules) == {"review_is": "pass"}
    first, second = ask(tmp_path, "SELECT user, action, before, after FROM audit ORDER BY id")
    assert first[:3] == ("station.toml", "job 3", None) and second[:3] == ("anna", "job 3", first[3])
    before, after = json.loads(second[2]), json.loads(second[3])
    assert {key for key in after if after[key] != before[key]} == {"category_version", "bands"}
    assert ask(tmp_path, "SELECT approved_by, note, parent FROM category_version WHERE id = 2") == [
        ("anna", "warn early", 1)
    ]
