"""The runtime where OpenCV is not installed: arrays and image files are judged; what needs it says so in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.runtime.detector import Detector
from regad.runtime.formats.category import save_category

from .plain import taught_plainly

HIDE = "import sys; sys.modules['cv2'] = None; "


def without_opencv(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that cannot import cv2, and has no display but what ``environment`` says."""
    command = [sys.executable, "-c", HIDE + code, *map(str, arguments)]
    given = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "OPENBLAS_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=given)


RUN = "from regad.runtime.commands.run import main; main()"
CALIBRATE = "from regad.calib.cli import main; main()"
DOCTOR = "from regad.runtime.commands.doctor import main; main()"
JUDGE = """
import numpy as np
from regad.runtime import Detector
detector = Detector.load(sys.argv[1], threads=1)
detector.load_category(sys.argv[2])
result = detector.predict(np.load(sys.argv[3]))
np.save(sys.argv[4], result.anomaly_map)
print(result.score.hex(), result.threshold.hex(), result.anomalous)
"""


@pytest.fixture(scope="module")
def station(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``good/``, ``query.png``, ``query.npy`` and ``part.safetensors``, taught with OpenCV."""
    root = tmp_path_factory.mktemp("station")
    (root / "good").mkdir()
    rng = np.random.default_rng(3)
    base = rng.integers(0, 200, (9, 12, 3)).repeat(20, axis=0).repeat(20, axis=1)
    images = [np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    for number, image in enumerate(images[:2]):
        Image.fromarray(image).save(root / "good" / f"{number}.png")
    Image.fromarray(images[2]).save(root / "query.png")
    np.save(root / "query.npy", images[2])
    with Detector.load(small_artifact, threads=1) as detector:
        save_category(taught_plainly(detector.model, images[:2]), root / "part.safetensors")
    return root


def test_an_array_gets_the_same_bits(small_artifact: Path, station: Path, tmp_path: Path) -> None:
    heat = tmp_path / "map.npy"
    done = without_opencv(JUDGE, small_artifact, station / "part.safetensors", station / "query.npy", heat)
    assert done.returncode == 0, done.stderr
    with Detector.load(small_artifact, threads=1) as detector:
        detector.load_category(station / "part.safetensors")
        expected = detector.predict(np.load(station / "query.npy"))
    assert done.stdout.split() == [expected.score.hex(), expected.threshold.hex(), str(expected.anomalous)]
    assert np.load(heat).tobytes() == expected.anomaly_map.tobytes()


def test_files_are_taught_and_judged(small_artifact: Path, station: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.safetensors"
    words = ["--model", small_artifact, "--threads", 1]
    done = without_opencv(CALIBRATE, *words, "--support", station / "good", "--out", part)
    assert done.returncode == 0, done.stderr
    source = [*words, "--category", part, "--source", station / "query.png"]
    # A display does not help: no window was asked for, and none is opened.
    done = without_opencv(RUN, *source, "--json", "-", DISPLAY=":77")
    assert done.returncode == 0, done.stderr
    assert "score" in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("options", "display"),
    [
        (["--source", "query.png", "--overlay", "pictures"], {}),
        (["--source", "query.png", "--display"], {"DISPLAY": ":77"}),
        (["--source", "film.mp4"], {}),
        (["--source", "rtsp://127.0.0.1/stream"], {}),
        (["--source", "videotestsrc ! appsink"], {}),
        (["--camera", "0"], {}),
    ],
)
def test_what_needs_it_says_what_to_install(
    small_artifact: Path, station: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], display: dict[str, str]
) -> None:
    monkeypatch.chdir(station)
    (station / "film.mp4").write_bytes(b"film")
    done = without_opencv(RUN, "--model", small_artifact, "--category", "part.safetensors", *options, **display)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "OpenCV is not installed" in line
    assert line.endswith("pip install opencv-python")
    assert not (station / "pictures").exists()


def test_the_doctor_says_so_and_is_content(small_artifact: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.regad"  # OpenVINO keeps what it compiles beside it
    shutil.copytree(small_artifact, model)
    done = without_opencv(DOCTOR, "--model", model)
    assert done.returncode == 0, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "opencv " in line)
    assert line.startswith("note")
    assert "not installed" in line
    assert "fix: pip install opencv-python" in done.stdout
