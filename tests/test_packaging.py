"""A wheel that is to be published is checked: its tag, its kernels, its licence, and nothing else in it."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = "regad-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl"
KERNELS = "regad/runtime/_kernels.abi3.so"
SOUND = {
    KERNELS: bytes(18) + b"\x3e\x00",
    "regad/runtime/__init__.py": b"",
    "regad-0.1.0.dist-info/licenses/LICENSE": b"",
}


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "packaging" / "check_wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
