"""Rules of the layout that are easy to break by accident."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from . import needs

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("train", "export", "runtime", "calib")
CORE = ("runtime", "calib")
HEAVY = {"torch", "torchvision", "kornia", "scipy", "sklearn"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def folders() -> dict[str, Path]:
    return {
        "regad." + ".".join(path.parent.relative_to(ROOT).parts): path.parent
        for package in PACKAGES
        for path in modules(package)
        if path.name == "__init__.py"
    }


@pytest.fixture(scope="module")
def layers() -> ModuleType:
    spec = spec_from_file_location("layers", ROOT / "tests" / "layers.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_packages_listed_are_the_folders() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(tool["packages"]) == set(folders())
    assert tool["package-dir"] == {f"regad.{name}": name for name in PACKAGES}
    for name in PACKAGES:
        assert (ROOT / name / "py.typed").is_file()
        assert {path.parent for path in modules(name)} <= set(folders().values()), "a folder without __init__.py"


def test_every_data_file_of_a_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for name, folder in folders().items():
        wanted = {path.name for path in folder.iterdir() if path.suffix in (".json", ".css", ".toml")}
        served = [path for path in (folder / "static").rglob("*") if path.is_file()]
        wanted |= {f"{path.parent.relative_to(folder).as_posix()}/*" for path in served}
        assert set(listed.get(name, ())) == wanted


def test_no_import_runs_up_or_sideways(layers: ModuleType) -> None:
    assert layers.faults() == []


def test_no_modules_import_each_other(layers: ModuleType) -> None:
    assert layers.circles() == []


def test_an_import_that_runs_up_is_found_also_inside_a_function(
    layers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package, text in {
        "runtime/formats/spec.py": "def f():\n    from ..detector import Detector\n",
        "runtime/detector.py": "from .formats.spec import f\nfrom regad.calib.teach import teach\n",
        "calib/teach.py": "",
    }.items():
        (tmp_path / package).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / package).write_text(text)
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    assert layers.faults() == [
        "runtime.detector imports calib.teach at its top; only inside a function",
        "runtime.formats.spec imports runtime.detector: runtime.formats may not import runtime.detector",
    ]
    assert layers.circles() == [["runtime.detector", "runtime.formats.spec"]]


def test_an_import_from_the_package_itself_and_one_without_a_room_are_found(
    layers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package, text in {
        "runtime/errors.py": "from regad import calib\nfrom regad.runtime import stray\n",
        "runtime/stray.py": "",
        "calib/__init__.py": "",
    }.items():
        (tmp_path / package).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / package).write_text(text)
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    assert layers.faults() == [
        "runtime.errors imports calib: runtime.errors may not import calib",
        "runtime.errors imports runtime.stray, which has no room in LAYERS",
        "runtime.stray has no room in LAYERS",
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_name_the_package_and_the_core_stays_lean(package: str) -> None:
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                first = name.split(".")[0]
                assert first not in PACKAGES, f"{path}: bare import of {name}"
                assert package not in CORE or first not in HEAVY, f"{path}: {name}"


def test_onnxruntime_is_imported_in_one_place() -> None:
    """The one that switches its telemetry off first."""
    found = set()
    for package in PACKAGES:
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
                if any(name.split(".")[0] == "onnxruntime" for name in names):
                    found.add(path.relative_to(ROOT).as_posix())
    assert found == {"runtime/backends/ort.py"}


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
    for path in modules(package):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(["regad", *(parts[:-1] if parts[-1] == "__init__" else parts)])
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def test_the_changelog_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"## {project['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_missing_tool_is_named_with_what_it_skips_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "is_there", lambda name: name != "mosquitto")
    assert needs.header()[:2] == [
        "missing, and their tests are skipped: mosquitto (MQTT)",
        "to run those tests too: make tools",
    ]


@pytest.mark.parametrize(("value", "outcome"), [("", pytest.skip.Exception), ("required", pytest.fail.Exception)])
def test_a_test_without_its_tool_is_skipped_but_fails_where_it_is_required(
    value: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "is_there", lambda name: False)
    monkeypatch.setenv(needs.PEERS, value)
    with pytest.raises(outcome, match="needs mosquitto: make tools"):
        needs.require("mosquitto")


def test_make_tools_installs_every_package_that_tests_need() -> None:
    script = (ROOT / "packaging" / "test-tools.sh").read_text()
    files = {"ONNX Runtime's C headers": "get-headers.sh", "OPC UA NodeSet": "get-nodeset.sh"}
    assert [name for name in needs.TOOLS if files.get(name, name) not in script] == []
