"""regad-station init, check, passwd, export, import and rejudge, as a user calls them."""

from __future__ import annotations

import csv
import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec.structs
import numpy as np
import pytest

from regad.runtime.commands.console import run_cli
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, Threshold, save_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.station import checks, process, setup_file
from regad.runtime.station.cli import command
from regad.runtime.station.config import CameraConfig, Config
from regad.runtime.station.config_file import read_config
from regad.runtime.station.configured import specs_of
from regad.runtime.station.installed import Installed, Wish
from regad.runtime.station.trace.inspection import Inspection
from regad.runtime.station.trace.reader import TraceReader

from ..formats.test_registration import registered
from ..plain import taught_plainly
from ..run_doubles import category
from .station_doubles import TestCamera
from .trace.parts import filled, heat, part, picture


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Station = Callable[..., Outcome]


@pytest.fixture
def station(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Station:
    monkeypatch.delenv("REGAD_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            run_cli(command, [str(one) for one in args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return call


def shots(folder: Path, count: int) -> list[np.ndarray]:
    """Photos of a plate with a hole, written into ``folder``."""
    folder.mkdir(parents=True)
    images = []
    for seed in range(count):
        image = np.full((120, 160, 3), 60, np.uint8)
        cv2.rectangle(image, (20, 20), (140, 100), (150, 150, 140), -1)
        cv2.circle(image, (80, 60), 18, (40, 40, 45), -1)
        noise = np.random.default_rng(seed).normal(0, 4, image.shape)
        images.append(np.clip(image + noise, 0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / f"{seed}.png"), images[-1][:, :, ::-1])
    return images


@pytest.fixture(scope="module")
def taught(artifact_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a category file and the photos that it was taught from."""
    folder = tmp_path_factory.mktemp("taught")
    with Detector.load(artifact_dir, threads=1) as detector:
        category = taught_plainly(detector.model, shots(folder / "shots", 3))
    save_category(category, folder / "plate.safetensors")
    return folder


@pytest.fixture
def ready(station: Station, taught: Path, artifact_dir: Path, tmp_path: Path) -> Path:
    """The configuration of a station that lacks nothing."""
    station("init", "s", "--model", artifact_dir, "--category", taught / "plate.safetensors")
    path = tmp_path / "s" / "station.toml"
    text = path.read_text().replace('source = "camera:0"', f'source = "{taught / "shots"}"')
    text = text.replace('mode = "shadow"', 'mode = "simulate"').replace("# port = 8080", "port = 0")
    path.write_text(text.replace('# device = "auto"', 'device = "cpu"').replace("# threads = 2", "threads = 1"))
    return path


def test_init_writes_what_it_finds(station: Station, taught: Path, artifact_dir: Path, tmp_path: Path) -> None:
    done = station("init", "s", "--model", artifact_dir, "--category", taught / "plate.safetensors")
    assert done.status == 0
    assert done.out == "s/station.toml is written; next: regad-station check s/station.toml\n"
    config = read_config(tmp_path / "s" / "station.toml")
    assert config.model.path == artifact_dir
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
    station: Station, artifact_dir: Path, call: list[str]
) -> None:
    done = station(*call, *(["--model", artifact_dir] if call[0] == "simulate" else []))
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


def test_check_of_a_station_that_lacks_nothing(station: Station, ready: Path) -> None:
    done = station("check", ready)
    assert "PROBLEM" not in done.out
    assert done.status == 0
    topics = [line.split()[1] for line in done.out.splitlines() if line.startswith(("ok", "note"))]
    assert topics == ["config", "artifact", "device", "job", "camera", "commands", "desk", "trace", "clock"]
    assert "160 x 120" in done.out
    assert "cpu, f32" in done.out


def problems(done: Outcome) -> list[str]:
    assert done.status == 1
    lines = done.out.splitlines()
    return [
        f"{line.split(maxsplit=1)[1]} | {lines[number + 1].strip()}"
        for number, line in enumerate(lines)
        if line.startswith("PROBLEM")
    ]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_check_names_every_fault_of_the_file(station: Station, ready: Path) -> None:
    change(ready, "deadline_ms = 1000\n# A result", "deadline = 1000\nhold_ms = -1\n# A result")
    found = problems(station("check", ready))
    assert len(found) == 2
    assert "trigger.deadline = 1000 is not known; did you mean deadline_ms?" in found[0]
    assert found[0].endswith(f"fix: correct trigger.deadline in {ready}")


def test_check_names_a_missing_artifact(station: Station, ready: Path, artifact_dir: Path) -> None:
    change(ready, str(artifact_dir), "/none/model.regad")
    (found,) = problems(station("check", ready))
    assert found.startswith("artifact     /none/model.regad is not an artifact folder")
    assert "| fix: " in found
    assert "regad-export" in found


def test_check_names_a_missing_category(station: Station, ready: Path, taught: Path) -> None:
    change(ready, str(taught / "plate.safetensors"), "/none/plate.safetensors")
    (found,) = problems(station("check", ready))
    assert "job 1        category /none/plate.safetensors cannot be read: No such file or directory" in found
    assert "fix: regad-calib --support PHOTOS --out /none/plate.safetensors" in found


def test_check_names_a_category_that_was_changed(station: Station, ready: Path, taught: Path) -> None:
    digest = sha256_of(taught / "plate.safetensors")
    change(ready, digest, "ab" * 32)
    (found,) = problems(station("check", ready))
    assert f"is not the pinned file: its sha256 is {digest}, not {'ab' * 32}" in found
    assert f'fix: copy the right file, or accept this one: sha256 = "{digest}"' in found


def test_check_names_a_category_that_is_damaged(station: Station, ready: Path, taught: Path, tmp_path: Path) -> None:
    whole = (taught / "plate.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    change(ready, str(taught / "plate.safetensors"), str(tmp_path / "cut.safetensors"))
    change(ready, sha256_of(taught / "plate.safetensors"), sha256_of(tmp_path / "cut.safetensors"))
    (found,) = problems(station("check", ready))
    assert "cut.safetensors is damaged or not a category file" in found


def test_check_notes_a_stream_without_a_settling_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "open_source", lambda uri: TestCamera())
    stream = CameraConfig(source="rtsp://192.0.2.1/live")
    for camera, level in (
        (stream, "note"),
        (msgspec.structs.replace(stream, settle_ms=200), "ok"),
        (CameraConfig(source="camera:0"), "ok"),
    ):
        found = checks._camera(camera, recordings=False)
        assert found.level == level
        assert level == "ok" or found.remedy == "set camera.settle_ms to one frame time plus the stream's latency"


def test_check_names_a_camera_that_is_not_there(station: Station, ready: Path, taught: Path) -> None:
    change(ready, str(taught / "shots"), "camera:63")
    (found,) = problems(station("check", ready))
    assert "camera       no camera at index 63" in found
    assert "fix: plug it in" in found


def test_check_names_a_camera_that_gives_no_picture(
    station: Station, ready: Path, taught: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    change(ready, str(taught / "shots"), str(tmp_path / "bad.png"))
    (found,) = problems(station("check", ready))
    assert found.startswith("camera ")
    assert "fix: check cable, power and light; try regad-run --source" in found


def test_check_names_a_recording_where_a_line_needs_a_camera(station: Station, ready: Path) -> None:
    change(ready, 'mode = "simulate"', 'mode = "live"')
    (found,) = problems(station("check", ready))
    assert 'is a recording: a line needs a camera | fix: name a camera, or set station.mode = "simulate"' in found


def test_check_names_a_secret_that_is_missing(station: Station, ready: Path, taught: Path) -> None:
    secret = 'source = "rtsp://a:{secret}@192.0.2.1/live"\nsecret = { env = "NO_SUCH_VARIABLE" }'
    change(ready, f'source = "{taught / "shots"}"', secret)
    (found,) = problems(station("check", ready))
    assert "the variable NO_SUCH_VARIABLE holds no secret | fix: write one into it" in found


def test_check_names_a_port_in_use(station: Station, ready: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ready.write_text(f"{ready.read_text()}\n[modbus]\nport = {port}\n")
        (found,) = problems(station("check", ready))
    assert f"modbus.port {port} at 127.0.0.1 cannot be used: address already in use" in found
    assert f"fix: find what uses it (ss -ltnp sport = :{port}), or choose another" in found
    assert station("check", ready).status == 0


def test_check_names_a_socket_folder_that_is_not_there(station: Station, ready: Path) -> None:
    change(ready, 'socket = "station.sock"', 'socket = "/none/station.sock"')
    (found,) = problems(station("check", ready))
    assert "commands.socket /none/station.sock cannot be made (No such file or directory)" in found
    assert "fix: create /none" in found


def test_check_names_a_folder_that_cannot_be_written(
    station: Station, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writing = os.access, os.W_OK | os.X_OK
    monkeypatch.setattr(checks.os, "access", lambda path, mode, **options: mode != writing and real(path, mode))
    (found,) = problems(station("check", ready))
    assert "cannot be written by this user | fix: sudo chown $USER" in found


def test_check_names_a_trace_that_would_be_a_file(station: Station, ready: Path) -> None:
    (ready.parent / "trace").write_text("")
    (found,) = problems(station("check", ready))
    assert "trace is a file | fix: move it away" in found


def test_check_names_a_disk_without_room(station: Station, ready: Path) -> None:
    change(ready, "# min_free_gb = 2.0", "min_free_gb = 999999")
    (found,) = problems(station("check", ready))
    assert "GB are free; trace.min_free_gb is 999999 | fix: free some space" in found


def test_check_names_a_clock_that_was_never_set(ready: Path) -> None:
    clock = checks.examine(ready, clock=lambda: 3600.0)[-1]
    assert (clock.level, clock.text) == ("problem", "the clock shows 1970-01-01 01:00:00 UTC: it was never set")
    assert clock.remedy == "sudo timedatectl set-ntp on"


def test_check_names_a_device_that_is_not_there(station: Station, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regad.runtime.backends.table import Device

    monkeypatch.setattr(Device, "is_present", lambda self: self.name == "cpu")
    change(ready, 'device = "cpu"', 'device = "cuda"')
    (found,) = problems(station("check", ready))
    assert found.startswith(
        "device       model.device cuda is not on this machine | fix: it needs NVIDIA's driver, CUDA"
    )


def test_check_opens_the_device_in_the_precision_that_is_asked_for(
    station: Station, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regad.runtime.backends.table import Device

    def refuse(self: Device, artifact: object, threads: int | None, precision: str) -> None:
        raise DeviceError(f"{self.name} only emulates {precision}", remedy="use --precision f32")

    monkeypatch.setattr(Device, "is_present", lambda self: True)
    monkeypatch.setattr(Device, "open", refuse)
    change(ready, 'device = "cpu"', 'device = "openvino"\nprecision = "bf16"')
    (found,) = problems(station("check", ready))
    assert found == "device       openvino only emulates bf16 | fix: use --precision f32"


def test_check_names_a_desk_that_is_not_installed(station: Station, ready: Path) -> None:
    change(ready, '# command = ["/opt/my-page/serve", "station.toml"]', 'command = ["no-such-desk"]')
    (found,) = problems(station("check", ready))
    assert "desk.command: the program no-such-desk is not found | fix: give its whole path" in found


def test_check_leaves_nothing_behind(station: Station, ready: Path) -> None:
    station("check", ready)
    assert [path.name for path in ready.parent.iterdir()] == ["station.toml"]


def test_check_of_a_file_that_is_not_there(station: Station) -> None:
    (found,) = problems(station("check", "none.toml"))
    assert found.endswith(
        "none.toml cannot be read (No such file or directory) | fix: write one with: regad-station init"
    )


def test_run_runs_the_station_of_the_file(station: Station, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Config] = []
    monkeypatch.setattr(process, "run_line", lambda config, path, say: ran.append(config))
    assert station("run", ready).status == 0
    assert ran == [read_config(ready)]
    assert station("run", "none.toml").err.startswith("error: none.toml cannot be read (No such file or directory)")


def test_simulate_runs_drawn_parts_from_trigger_to_record(
    station: Station, artifact_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regad.runtime.station.simulate._SHOTS", 2)
    done = station("simulate", "--model", artifact_dir, "--parts", 3, "--rate", 100, "--threads", 1)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["part", "1"], ["part", "2"], ["part", "3"]]
    assert "parts without a verdict: 0; records: 3, lost: 0" in lines
    with TraceReader(tmp_path / "simulated-station" / "trace") as reader:
        assert [row["seq"] for row in reader.rows()] == [1, 2, 3]


def test_simulate_writes_into_no_other_folder(station: Station, artifact_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    done = station("simulate", "--model", artifact_dir, "--folder", "mine")
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
def judged(taught: Path, artifact_dir: Path) -> Inspection:
    """Part 2, with what the detector says of its input."""
    with Detector.load(artifact_dir, device="cpu", threads=1) as detector:
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
    station: Station, recorded: Path, artifact_dir: Path, tmp_path: Path
) -> None:
    part = replace(registered(), artifact=Artifact.open(artifact_dir).hash)
    save_category(part, tmp_path / "askew.safetensors")
    done = station("rejudge", recorded, "--category", "askew.safetensors")
    why = "cannot be judged again: registered to another template, or cut out otherwise"
    assert done.out.splitlines() == [f"part {number} {why}" for number in (1, 2, 3)]
    assert (done.status, f"0 left out; 3 {why}" in done.err) == (0, True)


def test_check_looks_at_the_versions_that_were_installed(station: Station, ready: Path, taught: Path) -> None:
    (job,) = specs_of(read_config(ready))
    installed = Installed(read_config(ready).trace.folder)
    installed.put(job, Wish(job.number, job.sha256, 7.5, None, "anna", "", 1.8e9))
    done = station("check", ready)
    assert "that anna installed is in force, in place of what station.toml says" in done.out
    assert "plate.safetensors, threshold 7.500" in done.out
    installed.put(job, Wish(job.number, "ab" * 32, None, None, "anna", "", 1.8e9))
    assert any("abab.safetensors cannot be read" in found for found in problems(station("check", ready)))
    installed.path.write_text("[]")
    assert any("move it away to judge by those of station.toml" in found for found in problems(station("check", ready)))


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
