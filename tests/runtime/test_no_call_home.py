"""Nothing calls home: judging and teaching open no connection and write nothing into a fresh HOME."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_JUDGE = """
import sys
calls = []
sys.addaudithook(lambda event, args: calls.append((event, args)) if event.split(".")[0] in WATCHED else None)
WATCHED = ("socket", "urllib", "http", "ftplib", "smtplib")
import numpy as np
from regad.runtime import Detector
from regad.runtime.imaging.opencv import is_installed, load_cv2
if is_installed():
    load_cv2()
images = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
with Detector.load(sys.argv[1], sys.argv[2], threads=1) as detector:
    detector.fit(images[:2])
    detector.predict(images[2])
assert calls == [], calls
"""
_TORCH = """
import sys
calls = []
sys.addaudithook(lambda event, args: calls.append((event, args)) if event in WATCHED else None)
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
import regad.train.evaluation.command, regad.train.run.command, regad.export.cli
from regad.runtime.backends.ort import load_quantization
load_quantization()
assert calls == [], calls
"""


def run(code: str, home: Path, *args: object, **environment: str) -> list[str]:
    """Run code with a fresh HOME; returns the files that it left there."""
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "HOME"))}
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, env={**kept, "HOME": str(home), **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("device", ["auto", "openvino"])
def test_teaching_and_judging_leave_nothing_in_a_fresh_home(device: str, small_artifact: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.regad"  # OpenVINO keeps what it compiles beside it
    shutil.copytree(small_artifact, model)
    assert run(_JUDGE, tmp_path / "home", model, device) == []


def test_training_and_export_leave_nothing_there_either(tmp_path: Path) -> None:
    assert run(_TORCH, tmp_path / "home") == []


@pytest.mark.parametrize(("given", "wanted"), [(None, "1"), ("0", "0")])
def test_a_users_own_setting_of_onnxruntimes_telemetry_stays(tmp_path: Path, given: str | None, wanted: str) -> None:
    code = (
        "import os; from regad.runtime.backends import ort; ort.load_onnxruntime(); "
        f"assert os.environ['ORT_DISABLE_TELEMETRY'] == '{wanted}'"
    )
    run(code, tmp_path / "home", **({} if given is None else {"ORT_DISABLE_TELEMETRY": given}))
