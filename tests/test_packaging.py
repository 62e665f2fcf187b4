"""A wheel that is to be published is checked: its tag, its kernels, its licence, and nothing else in it.

Where $REGAD_WHEEL_TESTS is ``required``, as in CI, one is built, installed in a clean environment and tried: that takes
a minute or two, a C++ compiler and the package index.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from regad.runtime.detector import Detector

ROOT = Path(__file__).resolve().parents[1]
NAME = "regad-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl"
KERNELS = "regad/runtime/_kernels.abi3.so"
SOUND = {
    KERNELS: bytes(18) + b"\x3e\x00",
    "regad/runtime/__init__.py": b"",
    "regad-0.1.0.dist-info/licenses/LICENSE": b"",
}


def loaded(name: str) -> ModuleType:
    """A script of packaging/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "packaging" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    return loaded("check_wheel")


def wheel(folder: Path, files: dict[str, bytes], name: str = NAME) -> Path:
    with zipfile.ZipFile(folder / name, "w") as file:
        for place, data in files.items():
            file.writestr(place, data)
    return folder / name


def test_a_sound_wheel_has_no_faults(checker: ModuleType, tmp_path: Path) -> None:
    assert checker.faults(wheel(tmp_path, SOUND), "x86_64") == []


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({}, "regad-0.1.0-cp311-cp311-linux_x86_64.whl", "its tag is cp311-cp311-linux_x86_64; expected cp310-abi3"),
        ({}, "regad-0.1.0-py3-none-any.whl", "its tag is py3-none-any"),
        ({KERNELS: None}, NAME, r"its libraries are \[\]"),
        ({"regad.libs/libstdc++.so.6": b""}, NAME, "its libraries are"),
        ({KERNELS: bytes(18) + b"\xb7\x00"}, NAME, "its kernels are for ELF machine 183; expected 62"),
        ({"regad-0.1.0.dist-info/licenses/LICENSE": None}, NAME, "it has no licence"),
        ({"tests/test_x.py": b""}, NAME, "it holds tests/test_x.py"),
        ({"regad/runtime/native/core.cpp": b""}, NAME, "it holds regad/runtime/native/core.cpp"),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said(
    changes: dict[str, bytes | None], name: str, said: str, checker: ModuleType, tmp_path: Path
) -> None:
    files = {place: data for place, data in {**SOUND, **changes}.items() if data is not None}
    (fault, *others) = checker.faults(wheel(tmp_path, files, name), "x86_64")
    assert others == []
    assert said.replace("\\", "") in fault


def test_the_version_and_the_abi_are_those_of_the_build() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert '"bdist_wheel": {"py_limited_api": "cp310"}' in text
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


_BUILDS = ("calib", "export", "packaging", "runtime", "train", "LICENSE", "README.md", "pyproject.toml", "setup.py")


@pytest.mark.skipif(
    os.environ.get("REGAD_WHEEL_TESTS") != "required",
    reason="a wheel is built and tried, with pip from the package index, where REGAD_WHEEL_TESTS=required",
)
def test_the_built_wheel_judges_in_a_clean_environment_as_the_checkout_does(
    checker: ModuleType, small_artifact: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in _BUILDS:  # what was built in the checkout stays as it is
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tree / name)
    # Nothing of this process, and each of a dozen others keeps the bytecode that it compiles.
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    environment = {**bare, "PYTHON": sys.executable, "REGAD_MODEL": str(small_artifact.resolve())}
    done = subprocess.run([tree / "packaging" / "wheels.sh"], env=environment, capture_output=True, text=True)
    last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
    assert done.returncode == 0, f"packaging/wheels.sh, which needs g++ and the package index, ended with:\n{last}"
    (wheel,) = (tree / "dist").glob("*.whl")
    assert checker.faults(wheel, platform.machine()) == []
    installed = json.loads((tree / "dist" / f"{wheel.name}.cdx.json").read_text(encoding="utf-8"))
    assert {one["name"] for one in installed["components"]} >= {"regad", "numpy", "onnxruntime", "pillow"}
    score = re.search(r"score (\d+\.\d+), (\w+)", done.stdout)
    assert score is not None, last
    image = loaded("smoke").image
    with Detector.load(small_artifact, threads=1) as detector:
        detector.fit([image(seed) for seed in range(2)])
        here = detector.predict(image(9))
    assert (float(score[1]), score[2]) == (pytest.approx(here.score, rel=1e-5), here.reason)
