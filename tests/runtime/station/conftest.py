"""The commands of regad-station, and a station that lacks nothing to call them on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from regad.runtime.commands.console import run_cli
from regad.runtime.detector import Detector
from regad.runtime.formats.category import save_category
from regad.runtime.station.cli import command

from ..plain import taught_plainly
from .cli_doubles import Outcome, Station


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


@pytest.fixture(scope="session")
def taught(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a category file and the photos that it was taught from."""
    folder = tmp_path_factory.mktemp("taught")
    with Detector.load(small_artifact, threads=1) as detector:
        category = taught_plainly(detector.model, shots(folder / "shots", 3))
    save_category(category, folder / "plate.safetensors")
    return folder


@pytest.fixture
def ready(station: Station, taught: Path, small_artifact: Path, tmp_path: Path) -> Path:
    """The configuration of a station that lacks nothing."""
    station("init", "s", "--model", small_artifact, "--category", taught / "plate.safetensors")
    path = tmp_path / "s" / "station.toml"
    text = path.read_text().replace('source = "camera:0"', f'source = "{taught / "shots"}"')
    text = text.replace('mode = "shadow"', 'mode = "simulate"').replace("# port = 8080", "port = 0")
    path.write_text(text.replace('# device = "auto"', 'device = "cpu"').replace("# threads = 2", "threads = 1"))
    return path
