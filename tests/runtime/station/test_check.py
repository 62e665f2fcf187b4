"""regad-station check, as a user calls it: every fault is named, with what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec.structs
import pytest

from regad.runtime.errors import DeviceError
from regad.runtime.formats.digest import sha256_of
from regad.runtime.station import checks
from regad.runtime.station.config import CameraConfig
from regad.runtime.station.config_file import read_config
from regad.runtime.station.configured import specs_of
from regad.runtime.station.installed import Installed, Wish

from .cli_doubles import Station, change, problems
from .station_doubles import TestCamera


def test_check_of_a_station_that_lacks_nothing(station: Station, ready: Path) -> None:
    done = station("check", ready)
    assert "PROBLEM" not in done.out
    assert done.status == 0
    topics = [line.split()[1] for line in done.out.splitlines() if line.startswith(("ok", "note"))]
    assert topics == ["config", "artifact", "device", "job", "camera", "commands", "desk", "trace", "clock"]
    assert "160 x 120" in done.out
    assert "cpu, f32" in done.out


def test_check_names_every_fault_of_the_file(station: Station, ready: Path) -> None:
    change(ready, "deadline_ms = 1000\n# A result", "deadline = 1000\nhold_ms = -1\n# A result")
    found = problems(station("check", ready))
    assert len(found) == 2
    assert "trigger.deadline = 1000 is not known; did you mean deadline_ms?" in found[0]
    assert found[0].endswith(f"fix: correct trigger.deadline in {ready}")


def test_check_names_a_missing_artifact(station: Station, ready: Path, small_artifact: Path) -> None:
    change(ready, str(small_artifact), "/none/model.regad")
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
