"""The simulation: drawn parts, a PLC in a few lines, and the real line between them; and a line that runs on files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import save_category
from regad.runtime.station.codes import Status, VerdictCode
from regad.runtime.station.config import CameraConfig, ModbusConfig, StationConfig
from regad.runtime.station.plc_client import ModbusClient, SimulatedPlc, Verdict
from regad.runtime.station.scene import DEFECTS, Defect, DrawnCamera, Scene
from regad.runtime.station.simulate import simulate
from regad.runtime.station.trace.reader import TraceReader

from ..run_doubles import ARTIFACT, category
from .station_doubles import Backend, Station, running


@pytest.fixture(autouse=True)
def artifact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_drawn_parts_come_from_the_seed_and_no_picture_is_like_another() -> None:
    first, second = Scene(3), Scene(3)
    pictures = [first.picture() for _ in range(5)]
    assert all(np.array_equal(one, second.picture()) for one in pictures)
    assert not any(np.array_equal(one, other) for one, other in pairwise(pictures))
    assert pictures[0].shape == (256, 256, 3) and pictures[0].dtype == np.uint8


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_seen_beyond_the_noise(defect: Defect) -> None:
    scene = Scene(1)
    good = np.mean([scene.picture() for _ in range(20)], axis=0)
    scene.present(defect)
    bad = scene.picture().astype(np.float32)
    scene.present(None)
    usual = scene.picture().astype(np.float32)
    changed = [int((np.abs(one - good).max(axis=2) > 60).sum()) for one in (usual, bad)]
    assert changed[1] > changed[0] + 100


def test_a_drawn_camera_ends_when_it_is_stopped() -> None:
    camera = DrawnCamera(Scene())
    assert [next(camera).index, next(camera).index] == [0, 1]
    camera.stop()
    assert list(camera) == []


def test_every_simulated_part_gets_a_verdict_and_a_row(tmp_path: Path) -> None:
    path = tmp_path / "plate.safetensors"
    save_category(category(), path)
    told: list[tuple[int, Defect | None, Verdict]] = []
    report = simulate(
        *(tmp_path, tmp_path),
        parts=12,
        rate=1000,
        category=path,
        open_model=Backend().model,
        each=lambda *part: told.append(part),
    )
    assert (report.parts, report.silent, report.recorded, report.lost) == (12, 0, 12, 0)
    assert report.verdicts == {"PASS": 12}  # this backend sees brightness alone
    assert report.escapes == report.defective == sum(defect is not None for _, defect, _ in told)
    with TraceReader(tmp_path / "trace") as reader:
        rows = list(reader.rows())
        assert reader.gaps() == []
    assert [(row["seq"], row["part_id"], row["output"], row["simulated"]) for row in rows] == [
        (number, number, VerdictCode.PASS, 1) for number in range(1, 13)
    ]


def test_a_plc_that_is_refused_says_so_in_a_line(tmp_path: Path) -> None:
    tables = {"modbus": ModbusConfig(port=0), "station": StationConfig(mode="live", autostart=True)}
    with running(tmp_path, **tables) as station:
        assert station.line.modbus is not None
        with ModbusClient("127.0.0.1", station.line.modbus.port) as client:
            with pytest.raises(InputError, match="the station refused function 3 with code 2"):
                client.read(50, 1)
            with pytest.raises(InputError, match="the station is not ready after 0 s: IDLE, error 0"):
                SimulatedPlc(client).wait_ready(0)


def test_a_recording_gives_its_files_in_order_and_begins_anew(tmp_path: Path) -> None:
    for number, grey in enumerate((50, 60, 150)):
        Image.new("L", (40, 40), grey).save(tmp_path / f"{number}.png")
    station = Station(
        tmp_path,
        source=False,
        camera=CameraConfig(source=str(tmp_path / "*.png")),
        station=StationConfig(mode="simulate", autostart=True, job=1),
    )
    with station.line:
        station.line.start()
        station.until(lambda image: Status.READY in image.status)
        verdicts = [station.trigger()["verdict"] for _ in range(5)]
        station.line.close()
        with TraceReader(tmp_path / "trace") as reader:
            scores = [row["score"] for row in reader.rows()]
    assert verdicts == ["PASS", "PASS", "REJECT", "PASS", "PASS"]
    assert scores == pytest.approx([5.0, 6.0, 15.0, 5.0, 6.0])
