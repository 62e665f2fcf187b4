"""Builds the native library once and makes the files its tests need; skips, with the reason, without the tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regad.runtime.artifact import Artifact
from regad.runtime.native import NativeDetector, find_onnxruntime

sys.path.insert(0, str(Path(__file__).parent))
from standin import ENCODINGS, write_category, write_standin

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "runtime" / "native"
Configure = Callable[..., Path]


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


@pytest.fixture(scope="session")
def configure() -> Configure:
    """Configure and build runtime/native in build/NAME with CMake options; the build folder.

    Skips with the reason if a tool, nlohmann's JSON library or ONNX Runtime's headers are missing.
    """

    def build(name: str, *options: str, compiler: str = "", targets: tuple[str, ...] = ()) -> Path:
        for tool in ("cmake", "cc", "c++", *([compiler] if compiler else [])):
            if shutil.which(tool) is None:
                pytest.skip(f"needs {tool}: apt-get install cmake g++ clang-14")
        folder = ROOT / "build" / name
        chosen = [f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_C_COMPILER={compiler.replace('++', '')}"]
        generator = ["-G", "Ninja"] if shutil.which("ninja") and not (folder / "Makefile").exists() else []
        command = ["cmake", "-S", SOURCE, "-B", folder, *generator, "-DREGAD_WERROR=ON", *options]
        command += chosen if compiler else []
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            for needed in ("onnxruntime_c_api.h", "nlohmann_json"):
                if needed in done.stderr:
                    pytest.skip(f"needs {needed}: runtime/native/get-headers.sh, apt-get install nlohmann-json3-dev")
            pytest.fail(done.stdout + done.stderr, pytrace=False)
        target = ["--target", *targets] if targets else []
        run("cmake", "--build", folder, "--parallel", "2", *target)
        return folder

    return build


@pytest.fixture(scope="session")
def native_build(configure: Configure) -> Path:
    """The release build with tests and examples (or the one $REGAD_NATIVE_BUILD names)."""
    given = os.environ.get("REGAD_NATIVE_BUILD")
    if given:
        return Path(given)
    return configure("native", "-DREGAD_TESTS=ON", "-DREGAD_EXAMPLES=ON")


@pytest.fixture(scope="session")
def library(native_build: Path) -> Path:
    """The shared library under test."""
    return native_build / "libregad.so"


@pytest.fixture(scope="session")
def onnxruntime_library() -> Path:
    """ONNX Runtime's shared library."""
    found = find_onnxruntime()
    if found is None:
        pytest.skip("needs the onnxruntime wheel: pip install 'regad[cpu]'")
    return found


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact with a small random encoder, and beside it a category of each encoding, ENCODING.safetensors."""
    folder = tmp_path_factory.mktemp("standin")
    artifact = write_standin(folder / "model.regad")
    for encoding in ENCODINGS:
        write_category(artifact, folder / f"{encoding}.safetensors", encoding)
    write_category(artifact, folder / "other.safetensors", "gram", first_photo=20)
    return artifact


@pytest.fixture(scope="session")
def open_native(library: Path, onnxruntime_library: Path) -> Callable[..., NativeDetector]:
    """Open a native detector on the library under test."""

    def opener(artifact: Path, **options: object) -> NativeDetector:
        return NativeDetector(artifact, library=library, onnxruntime=onnxruntime_library, **options)  # type: ignore[arg-type]

    return opener
