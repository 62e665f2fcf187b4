"""The examples, built and run; the C one under valgrind too."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from native_tools import missing
from PIL import Image
from standin import photo

from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from tests.needs import require


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images and something that is none, and the first image as PPM."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(2):
        Image.fromarray(photo(index)).save(folder / f"{index}.png")
    (folder / "2.png").write_bytes(b"no image")
    Image.fromarray(photo(0)).save(folder.parent / "first.ppm")
    return folder


def program(build: Path, name: str, *arguments: object, prefix: tuple[str, ...] = (), runtime: Path) -> tuple[int, str]:
    """Exit status and output of an example."""
    path = build / "examples" / name
    if not path.exists():
        missing(f"{name} was not built: apt-get install libopencv-dev")
    done = subprocess.run(
        [*prefix, str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "REGAD_ONNXRUNTIME": str(runtime)},
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_c_example(native_build: Path, standin: Artifact, pictures: Path, onnxruntime_library: Path) -> None:
    """The verdict is Python's; errors end with 1, wrong usage with 2."""
    category = standin.path.parent / "gram.safetensors"
    python = Detector.load(standin.path)
    python.load_category(category)
    expected = python.predict(photo(0))
    arguments = (standin.path, category, pictures.parent / "first.ppm")
    status, output = program(native_build, "regad_judge", *arguments, runtime=onnxruntime_library)
    assert status == (4 if expected.anomalous else 0), output
    assert f"score {expected.score:.3f}" in output
    status, output = program(native_build, "regad_judge", *arguments[:2], "absent.ppm", runtime=onnxruntime_library)
    assert (status, "error:" in output) == (1, True)
    assert program(native_build, "regad_judge", runtime=onnxruntime_library)[0] == 2


def test_c_example_under_valgrind(
    native_build: Path, standin: Artifact, pictures: Path, onnxruntime_library: Path
) -> None:
    """No leak, no invalid access of ours; ONNX Runtime's own are suppressed by its file name only."""
    require("valgrind")
    suppressions = Path(__file__).parent / "valgrind.supp"
    prefix = (
        "valgrind",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--vex-guest-chase=no",  # what is executed once is translated once
        f"--suppressions={suppressions}",
    )
    category = standin.path.parent / "gram_f2_gram_f3-fp16.safetensors"  # the smallest: its bytes are hashed slowly
    arguments = (standin.path, category, pictures.parent / "first.ppm")
    status, output = program(native_build, "regad_judge", *arguments, prefix=prefix, runtime=onnxruntime_library)
    assert status in (0, 4), output
    assert "ERROR SUMMARY: 0 errors" in output


def test_stream_example(native_build: Path, standin: Artifact, pictures: Path, onnxruntime_library: Path) -> None:
    """A folder as JSON lines with regad-run's keys; what is no image is reported and makes the status 3."""
    category = standin.path.parent / "hybrid.safetensors"
    status, output = program(
        native_build, "regad_stream", standin.path, category, pictures, runtime=onnxruntime_library
    )
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert status == 3, output
    assert [set(line) for line in lines] == [
        {
            "source",
            "frame",
            "time",
            "score",
            "threshold",
            "anomalous",
            "reject",
            "reason",
            "warn",
            "thetas",
            "ms",
            "artifact",
            "category",
        },
    ] * 2 + [{"source", "frame", "time", "error", "reject"}]
    python = Detector.load(standin.path)
    python.load_category(category)
    for index, line in enumerate(lines[:2]):
        assert line["score"] == pytest.approx(python.predict(photo(index)).score, rel=1e-5)
        assert set(line["ms"]) == {"preprocess", "encode", "score", "total"}
        assert np.shape(line["thetas"]) == (3, 2, 3)
        assert line["artifact"] == standin.hash[:16]
