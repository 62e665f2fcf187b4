"""Rules of the layout that are easy to break by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("train", "export", "runtime", "calib")
ALLOWED = {
    "runtime": {"runtime"},
    "calib": {"runtime", "calib"},
    "train": {"runtime", "calib", "train"},
    "export": {"runtime", "calib", "train", "export"},
}
# The runtime teaches a part only when asked to, and imports calib inside that one function.
TEACHING = {("runtime", "calib")}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).glob("*.py"))


def test_the_packages_listed_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tool = project["tool"]["setuptools"]
    assert set(tool["packages"]) == {f"regad.{name}" for name in PACKAGES}
    assert tool["package-dir"] == {f"regad.{name}": name for name in PACKAGES}
    for name in PACKAGES:
        assert (ROOT / name / "__init__.py").is_file()
        assert (ROOT / name / "py.typed").is_file()
        nested = [path for path in (ROOT / name).rglob("__init__.py") if path.parent != ROOT / name]
        assert nested == []


def test_every_data_file_of_a_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for name in PACKAGES:
        wanted = {path.name for path in (ROOT / name).iterdir() if path.suffix in (".json", ".css")}
        assert set(listed.get(f"regad.{name}", ())) == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_point_one_way(package: str) -> None:
    for path in modules(package):
        tree = ast.parse(path.read_text())
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                parts = name.split(".")
                assert parts[0] not in PACKAGES, f"{path}: bare import of {name}"
                if parts[0] == "regad" and parts[1] not in ALLOWED[package]:
                    assert (package, parts[1]) in TEACHING, f"{path}: {package} imports {name}"
                    assert id(node) not in top, f"{path}: {name} at the top of the module"
                if package in ("runtime", "calib"):
                    assert parts[0] not in ("torch", "torchvision", "kornia", "scipy", "sklearn"), f"{path}: {name}"


def test_the_runtime_imports_without_torch_opencv_or_onnxruntime() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'kornia', 'onnx', 'onnxruntime', 'cv2', 'tensorrt', 'click'):\n"
        "    sys.modules[name] = None\n"
        "import regad.runtime, regad.calib\n"
        "print(sorted(regad.runtime.__all__)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Artifact"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_all_exists(package: str) -> None:
    import importlib

    for path in modules(package):
        name = f"regad.{package}" + ("" if path.stem == "__init__" else f".{path.stem}")
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def test_the_changelog_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"## {project['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()
