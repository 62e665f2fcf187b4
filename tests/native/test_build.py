"""The library as a package: its own tests, size, symbols, and a project that uses the installed copy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from native_tools import ROOT, SOURCE, run

from regad.runtime.formats.artifact import Artifact
from regad.runtime.selftest import TOLERANCES


def test_unit_tests(native_build: Path) -> None:
    """Every C and C++ test: readers, kernels, scorer, ABI over a stand-in runtime, swaps, allocations."""
    run("ctest", "--test-dir", native_build, "--output-on-failure", "--no-tests=error")


def test_exports_only_its_surface(library: Path) -> None:
    """Versioned symbols of the header, and nothing of C++."""
    output = run("nm", "-D", "--defined-only", library)
    names = {line.split()[-1] for line in output.splitlines()}
    header = (SOURCE / "include" / "regad" / "regad.h").read_text(encoding="utf-8")
    assert {name for name in names if not name.startswith("REGAD_")} == {
        f"{word.split('(')[0].lstrip('*')}@@REGAD_0.1"
        for line in header.splitlines()
        if line.startswith("REGAD_API")
        for word in line.split()
        if "(" in word and "regad_" in word
    }


def test_needs_no_onnxruntime_and_names_itself(library: Path) -> None:
    """ONNX Runtime is opened at run time; the soname carries the binary promise."""
    dynamic = run("readelf", "-d", library)
    assert "libregad.so.0.1]" in dynamic
    assert "onnxruntime" not in dynamic


def test_small(library: Path, tmp_path: Path) -> None:
    """Under 1 MB once stripped."""
    stripped = tmp_path / "libregad.so"
    run("strip", "-o", stripped, library)
    assert stripped.stat().st_size < 1_000_000


def test_consumer_of_the_installed_package(
    native_build: Path, standin: Artifact, onnxruntime_library: Path, tmp_path: Path
) -> None:
    """Install, find_package(regad), build, run; pkg-config finds it too."""
    prefix = tmp_path / "prefix"
    run("cmake", "--install", native_build, "--prefix", prefix)
    project = shutil.copytree(SOURCE / "examples" / "consumer", tmp_path / "consumer")
    run("cmake", "-S", project, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")
    output = run(tmp_path / "build" / "consumer", standin.path, env={"REGAD_ONNXRUNTIME": str(onnxruntime_library)})
    assert "golden results reproduced" in output
    if shutil.which("pkg-config"):
        folder = next(prefix.rglob("regad.pc")).parent
        assert "-lregad" in run("pkg-config", "--libs", "regad", env={"PKG_CONFIG_PATH": str(folder)})


def test_headers_script_is_idempotent(tmp_path: Path) -> None:
    """get-headers.sh says so and ends well when the headers are there."""
    header = tmp_path / "usr" / "include" / "onnxruntime" / "onnxruntime_c_api.h"
    header.parent.mkdir(parents=True)
    header.touch()
    assert "is there" in run("sh", SOURCE / "get-headers.sh", tmp_path)


def test_version_is_the_projects(library: Path) -> None:
    """The header, the soname and pyproject.toml agree."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = next(line.split('"')[1] for line in text.splitlines() if line.startswith("version"))
    assert library.resolve().name == f"libregad.so.{version}"


def test_tolerances_are_pythons() -> None:
    """The self-test's table in artifact.cpp is that of `regad.runtime.selftest`."""
    text = (SOURCE / "src" / "formats" / "artifact.cpp").read_text(encoding="utf-8")
    rows = re.findall(r'\{"(fp32|fp16|int8)", \{([^}]*)\}\}', text)
    assert {dtype: [float(value) for value in values.split(",")] for dtype, values in rows} == {
        dtype: [table["f1"], table["theta"], table["anomaly_map"]] for dtype, table in TOLERANCES.items()
    }
    for table in TOLERANCES.values():
        assert table["f1"] == table["f2"] == table["f3"]
        assert table["anomaly_map"] == table["anomaly_score"]


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")
def test_configure_names_the_remedy(native_build: Path, tmp_path: Path) -> None:
    """Without ONNX Runtime's headers, CMake says how to get them."""
    copy = shutil.copytree(SOURCE, tmp_path / "runtime" / "native")
    done = subprocess.run(
        ["cmake", "-S", str(copy), "-B", str(tmp_path / "b"), "-Dregad_onnxruntime_include=NOTFOUND",
         "-DCMAKE_FIND_ROOT_PATH=/nowhere", "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "get-headers.sh" in done.stderr
