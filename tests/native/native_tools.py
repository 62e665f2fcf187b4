"""What the tests of the native library share: how it is configured and built, and how a program is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.needs import CLANG, NATIVE, absent

__all__ = ["CLANG", "REMEDIES", "ROOT", "SOURCE", "build", "missing", "run"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "runtime" / "native"
# What CMake complains of where something is missing, and what helps.
REMEDIES = {
    "onnxruntime_c_api.h": "runtime/native/get-headers.sh",
    "nlohmann_json": "apt-get install nlohmann-json3-dev",
    "CMake 3.22": "apt-get install cmake",
}


def run(*command: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program; its output, or a failure that shows it."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=600,
    )
    output = done.stdout + done.stderr
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{output[-6000:]}", pytrace=False)
    return output


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a tool; under ``REGAD_NATIVE_TESTS=required``, as in CI, fail it."""
    absent(reason, NATIVE)


def build(name: str, *options: str, compiler: str = "", targets: tuple[str, ...] = ()) -> Path:
    """Configure and build runtime/native in build/NAME with CMake options; the build folder.

    Skips with the reason if a tool, nlohmann's JSON library or ONNX Runtime's headers are missing.
    """
    for tool in ("cmake", "cc", "c++", *([compiler] if compiler else [])):
        if shutil.which(tool) is None:
            missing(f"needs {tool}: apt-get install cmake g++ clang")
    folder = ROOT / "build" / name
    chosen = [f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_C_COMPILER={compiler.replace('++', '')}"]
    generator = ["-G", "Ninja"] if shutil.which("ninja") and not (folder / "Makefile").exists() else []
    command = ["cmake", "-S", SOURCE, "-B", folder, *generator, "-DREGAD_WERROR=ON", *options]
    command += chosen if compiler else []
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        for needed, remedy in REMEDIES.items():
            if needed in done.stderr:
                missing(f"needs {needed}: {remedy}")
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    target = ["--target", *targets] if targets else []
    run("cmake", "--build", folder, "--parallel", "2", *target)
    return folder
