"""regad-station init, run, simulate, passwd, export, import, teach and rejudge, as a user calls them."""

from __future__ import annotations

import csv
import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, Threshold, save_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.station import process, setup_file
from regad.runtime.station.config import Config
from regad.runtime.station.config_file import read_config
from regad.runtime.station.trace.inspection import Inspection
from regad.runtime.station.trace.reader import TraceReader

from ..formats.test_registration import registered
from ..run_doubles import category
from .cli_doubles import Station, change, problems
from .trace.parts import filled, heat, part, picture


def test_init_writes_what_it_finds(station: Station, taught: Path, small_artifact: Path, tmp_path: Path) -> None:
    done = station("init", "s", "--model", small_artifact, "--category", taught / "plate.safetensors")
    assert done.status == 0
    assert done.out == "s/station.toml is written; next: regad-station check s/station.toml\n"
    config = read_config(tmp_path / "s" / "station.toml")
    assert config.model.path == small_artifact
    assert config.station.job == 1
    (job,) = config.jobs
    category = taught / "plate.safetensors"
    assert (job.number, job.name, job.category, job.sha256) == (1, "plate", category, sha256_of(category))


def test_init_finds_files_beside_the_configuration_and_names_them_relatively(
    station: Station, taught: Path, tmp_path: Path
) -> None:
    (tmp_path / "plate.safetensors").write_bytes((taught / "plate.safetensors").read_bytes())
    (tmp_path / "other.safetensors").write_bytes(b"no category")
    assert station("init").status == 0
    assert 'category = "plate.safetensors"' in (tmp_path / "station.toml").read_text()
    assert len(read_config(tmp_path / "station.toml").jobs) == 1


def test_init_on_a_bare_machine_writes_a_file_that_check_completes(station: Station, tmp_path: Path) -> None:
    done = station("init")
    assert "artifact   none found" in done.err
    assert read_config(tmp_path / "station.toml").station.job is None
    assert station("check", "station.toml").status == 1


def test_init_leaves_a_file_that_is_there(station: Station, tmp_path: Path) -> None:
    (tmp_path / "station.toml").write_text("mine")
    done = station("init")
    assert (done.status, done.err.splitlines()[-1]) == (
        1,
        "error: station.toml exists and is left as it is; change it, or name another folder",
    )
    assert (tmp_path / "station.toml").read_text() == "mine"


def test_init_refuses_what_is_no_artifact_or_category(station: Station, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert "--model x is no artifact" in station("init", "--model", "x").err
    assert "--category x is no category file" in station("init", "--category", "x").err
    assert not (tmp_path / "station.toml").exists()


def test_init_takes_a_category_that_registers(station: Station, tmp_path: Path) -> None:
    save_category(registered(), tmp_path / "askew.safetensors")
    assert station("init").status == 0
    assert [job.name for job in read_config(tmp_path / "station.toml").jobs] == ["askew"]


LONG = "x" * 300


@pytest.mark.parametrize(
    "call",
    [
        ["init", LONG],
        ["import", LONG, "--out", "part"],
        ["import", "part.zip", "--out", LONG],
        ["import", "part.zip", "--out", f"{LONG}/part"],
        ["simulate", "--folder", "/proc/zz"],
        ["simulate", "--folder", LONG],
    ],
)
def test_a_name_that_the_system_refuses_is_told_in_one_line(
    station: Station, small_artifact: Path, call: list[str]
) -> None:
    done = station(*call, *(["--model", small_artifact] if call[0] == "simulate" else []))
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith("error: ")


def test_a_trace_whose_name_the_system_refuses_is_told_in_one_line(station: Station, ready: Path) -> None:
    change(ready, 'folder = "trace"', f'folder = "{LONG}"')
    (found,) = problems(station("check", ready))
    assert "cannot be read: File name too long | fix: name another trace.folder" in found
    for call in (["export", ready, "--out", "rows.csv"], ["rejudge", ready, "--threshold", 1.5]):
        done = station(*call)
        assert (done.status, "cannot be read (File name too long)" in done.err) == (1, True)


def test_every_key_of_the_template_is_one_that_is_read(station: Station, tmp_path: Path) -> None:
    """With the examples and defaults switched on, the file is as good as without."""
    station("init")
    text = (tmp_path / "station.toml").read_text()
    lines = []
    for given in text.splitlines():
        bare = given.removeprefix("# ")
        is_setting = bare.startswith("[") or (" = " in bare and bare.split(" = ")[0].isidentifier())
        lines.append(bare if given.startswith("# ") and is_setting else given)
    (tmp_path / "station.toml").write_text("\n".join(lines))
    config = read_config(tmp_path / "station.toml")
    assert config.modbus is not None
    assert config.desk is not None
    assert (config.trace.max_gb, config.jobs[0].threshold) == (100.0, 1.5)


def test_cameras_are_the_nodes_that_give_pictures(tmp_path: Path) -> None:
    for name, index in (("video0", "0"), ("video1", "1"), ("video10", "0"), ("video2", "0"), ("v4l-touch0", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index").write_text(f"{index}\n")
    (tmp_path / "video7").mkdir()
    assert setup_file.find_cameras(tmp_path) == ["camera:0", "camera:2", "camera:10"]


def test_run_runs_the_station_of_the_file(station: Station, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Config] = []
    monkeypatch.setattr(process, "run_line", lambda config, path, say: ran.append(config))
    assert station("run", ready).status == 0
    assert ran == [read_config(ready)]
    assert station("run", "none.toml").err.startswith("error: none.toml cannot be read (No such file or directory)")


def test_simulate_runs_drawn_parts_from_trigger_to_record(
    station: Station, small_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regad.runtime.station.simulate._SHOTS", 2)
    done = station("simulate", "--model", small_artifact, "--parts", 3, "--rate", 100, "--threads", 1)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["part", "1"], ["part", "2"], ["part", "3"]]
    assert "parts without a verdict: 0; records: 3, lost: 0" in lines
    with TraceReader(tmp_path / "simulated-station" / "trace") as reader:
        assert [row["seq"] for row in reader.rows()] == [1, 2, 3]


def test_simulate_writes_into_no_other_folder(station: Station, small_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    done = station("simulate", "--model", small_artifact, "--folder", "mine")
    assert (done.status, "holds thesis.txt" in done.err) == (1, True)


def test_passwd_asks_for_the_password(station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.prompt", lambda *args, **options: "correct horse")
    done = station("passwd", "anna", "--role", "engineer")
    assert (done.status, done.out) == (0, "anna is engineer in users.json\n")
    assert stat.S_IMODE((tmp_path / "users.json").stat().st_mode) == 0o600
    assert station("passwd", "anna", "--remove").out == "anna is removed from users.json\n"
    assert station("passwd", "anna", "--remove").err == "error: there is no user 'anna'; there are: none\n"


def test_a_station_without_msgspec_names_the_extra(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    done = station("check", "station.toml")
    assert (done.status, done.err) == (
        1,
        "error: a station needs msgspec, which is not installed; pip install 'regad[cpu,station]'\n",
    )


@pytest.fixture(scope="module")
def judged(taught: Path, small_artifact: Path) -> Inspection:
    """Part 2, with what the detector says of its input."""
    with Detector.load(small_artifact, device="cpu", threads=1) as detector:
        detector.load_category(taught / "plate.safetensors")
        image = picture(5)
        (result,) = detector.predict_inputs(image[None])
    score = None if np.isinf(result.score) else result.score
    return part(2, verdict=2, output=2, score=score, input=image, map=heat(1))


@pytest.fixture
def recorded(ready: Path, judged: Inspection) -> Path:
    """A station with a trace of three parts."""
    filled(ready.parent / "trace", part(1, score=1.0), judged, part(3, score=1.9, serial="S3"))
    return ready


def test_export_writes_the_rows(station: Station, recorded: Path, tmp_path: Path) -> None:
    assert station("export", recorded, "--out", "rows.csv").out == "3 parts written to rows.csv\n"
    with (tmp_path / "rows.csv").open() as file:
        assert [row["seq"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert station("export", recorded, "--out", "rows.json", "--from", 2, "--to", 2).status == 0
    assert [row["seq"] for row in json.loads((tmp_path / "rows.json").read_text())["rows"]] == [2]
    assert (
        station("export", recorded, "--out", "x.txt", "--format", "csv", "--serial", "S3").out
        == "1 part written to x.txt\n"
    )


def test_export_replaces_its_own_files_and_no_others(station: Station, recorded: Path, tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.json", "part.zip"):
        options = ["--part", 2] if name == "part.zip" else []
        assert station("export", recorded, "--out", name, *options).status == 0
        assert station("export", recorded, "--out", name, *options).status == 0
        (tmp_path / name).write_text("mine")
        done = station("export", recorded, "--out", name, *options)
        assert (done.status, "it is left as it is" in done.err) == (1, True)
        assert (tmp_path / name).read_text() == "mine"


def test_export_of_rows_and_of_a_part_are_not_mixed(station: Station, recorded: Path) -> None:
    done = station("export", recorded, "--out", "x.zip", "--part", 2, "--format", "csv")
    assert (done.status, "--format has no effect with --part, which names one part" in done.err) == (2, True)


def test_a_part_is_packed_and_unpacked(station: Station, recorded: Path, tmp_path: Path) -> None:
    assert station("export", recorded, "--part", 2, "--out", "part.zip").out == "part 2 written to part.zip\n"
    done = station("import", "part.zip", "--out", "unpacked")
    assert done.status == 0
    assert done.out.splitlines()[0].startswith("part 2 (serial none): REJECT, score ")
    assert {path.name for path in (tmp_path / "unpacked").iterdir()} >= {"record.json", "input.png", "map.png"}


def test_import_takes_no_other_folders_place(station: Station, recorded: Path, tmp_path: Path) -> None:
    station("export", recorded, "--part", 2, "--out", "part.zip")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    done = station("import", "part.zip", "--out", "mine")
    assert (done.status, "holds thesis.txt" in done.err) == (1, True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_rejudge_lists_the_parts_whose_verdict_changes(station: Station, recorded: Path) -> None:
    done = station("rejudge", recorded, "--threshold", 1.5)
    assert done.status == 0
    assert done.out == "part 3: PASS -> REJECT, score 1.9000 -> 1.9000\n"
    assert done.err.startswith("3 parts judged again: 1 with another verdict, 3 with the same score in every bit")


def test_rejudge_with_a_category_judges_the_stored_inputs(station: Station, recorded: Path, taught: Path) -> None:
    done = station("rejudge", recorded, "--category", taught / "plate.safetensors", "--from", 2, "--to", 2)
    assert done.status == 0
    assert done.err.startswith(
        "1 part judged again: 0 with another verdict, 1 with the same score in every bit; 0 left"
    )
    with TraceReader(recorded.parent / "trace") as reader:
        assert len(list(reader.rows())) == 3


def test_rejudge_lists_what_a_category_of_another_template_cannot_judge(
    station: Station, recorded: Path, small_artifact: Path, tmp_path: Path
) -> None:
    part = replace(registered(), artifact=Artifact.open(small_artifact).hash)
    save_category(part, tmp_path / "askew.safetensors")
    done = station("rejudge", recorded, "--category", "askew.safetensors")
    why = "cannot be judged again: registered to another template, or cut out otherwise"
    assert done.out.splitlines() == [f"part {number} {why}" for number in (1, 2, 3)]
    assert (done.status, f"0 left out; 3 {why}" in done.err) == (0, True)


def test_teach_writes_a_category_from_parts_of_the_trace(
    station: Station, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taught(model: object, folder: Path, parts: list[int], **given: Any) -> Category:
        assert (folder, parts, given["job"], given["validation"]) == (recorded.parent / "trace", [1, 2], 1, [3])
        return replace(category(), threshold=Threshold(2.0, "validation", 0.05, (0.5,), "from 1", held_out=(1.0, 1.5)))

    monkeypatch.setattr("regad.calib.stored.teach_parts", taught)
    done = station("teach", recorded, "--parts", "1-2", "--job", 1, "--validation", 3, "--out", "new.safetensors")
    assert done.status == 0, done.err
    assert "held-out scores 1.000, 1.500" in done.err and "validation scores 0.500" in done.err
    assert "threshold 2.000: from 1" in done.out
    assert f'sha256    "{sha256_of(tmp_path / "new.safetensors")}"' in done.out


def test_rejudge_needs_something_to_judge_by(station: Station, recorded: Path) -> None:
    assert station("rejudge", recorded).status == 2
