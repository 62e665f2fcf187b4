"""The library calls nobody and leaves nothing behind: the C example over the real ONNX Runtime, in a fresh home."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from native_tools import missing
from PIL import Image
from standin import photo

from regad.runtime.formats.artifact import Artifact

# ONNX Runtime keeps quiet by itself where it sees one of these.
HUSHED = (
    "CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL", "CODEBUILD_BUILD_ID",
    "BUILDKITE", "TEAMCITY_VERSION", "APPVEYOR", "BITBUCKET_BUILD_NUMBER", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
    "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY",
)  # fmt: skip


def traces(build: Path, artifact: Artifact, runtime: Path, folder: Path, choice: str | None) -> list[str]:
    """Judge an image with the C example; the files it left and the names it looked up. The network is kept from it."""
    guard = build / "tests" / "libno_network.so"
    if not guard.exists():
        missing("needs the test build: -DREGAD_TESTS=ON")
    for name in ("home", "here", "tmp"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(photo(0)).save(folder / "image.ppm")
    environment = {key: value for key, value in os.environ.items() if key not in HUSHED and not key.startswith("XDG_")}
    environment |= {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LD_PRELOAD": str(guard),
        "NO_NETWORK_LOG": str(folder / "here" / "network"),
        "REGAD_ONNXRUNTIME": str(runtime),
    }
    if choice is not None:
        environment["ORT_DISABLE_TELEMETRY"] = choice
    arguments = [artifact.path, artifact.path.parent / "gram.safetensors", folder / "image.ppm"]
    program = [str(build / "examples" / "regad_judge"), *map(str, arguments)]
    done = subprocess.run(program, cwd=folder / "here", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 4), done.stderr
    places = (folder / "home", folder / "here", folder / "tmp")
    return [str(path.relative_to(folder)) for place in places for path in place.rglob("*")]


def test_no_device_id_and_no_call_home(
    native_build: Path, standin: Artifact, onnxruntime_library: Path, tmp_path: Path
) -> None:
    """Nothing below HOME, beside the program or in TMPDIR, and no name looked up, where the user set nothing."""
    assert traces(native_build, standin, onnxruntime_library, tmp_path, None) == []


def test_the_user_may_decide_otherwise(
    native_build: Path, standin: Artifact, onnxruntime_library: Path, tmp_path: Path
) -> None:
    """ORT_DISABLE_TELEMETRY=0 is left as it is. ONNX Runtime then leaves its device id: what is prevented above."""
    if b"OneCollector" not in onnxruntime_library.read_bytes():
        pytest.skip("this ONNX Runtime has no telemetry: older than 1.29, or built without")
    found = traces(native_build, standin, onnxruntime_library, tmp_path, "0")
    assert any(path.endswith(".onnxruntime/deviceid") for path in found)
