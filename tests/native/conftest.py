"""Builds the native library once and makes the files its tests need; skips, with the reason, without the tools."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from native_tools import build, missing
from standin import FORMS, write_category, write_standin

from regad.runtime.cabi import NativeDetector, find_onnxruntime
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Form


@pytest.fixture(scope="session")
def native_build() -> Path:
    """The release build with tests and examples (or the one $REGAD_NATIVE_BUILD names)."""
    given = os.environ.get("REGAD_NATIVE_BUILD")
    if given:
        return Path(given)
    return build("native", "-DREGAD_TESTS=ON", "-DREGAD_EXAMPLES=ON")


@pytest.fixture(scope="session")
def library(native_build: Path) -> Path:
    """The shared library under test."""
    return native_build / "libregad.so"


@pytest.fixture(scope="session")
def onnxruntime_library() -> Path:
    """ONNX Runtime's shared library."""
    found = find_onnxruntime()
    if found is None:
        missing("needs the onnxruntime wheel: pip install 'regad[cpu]'")
    return found


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact with a small random encoder, and beside it a category of each form, FORM.safetensors.

    In ``REGAD_STANDIN`` where it was made before: under a sanitizer that takes a minute.
    """
    if given := os.environ.get("REGAD_STANDIN"):
        return Artifact.open(Path(given) / "model.regad")
    folder = tmp_path_factory.mktemp("standin")
    artifact = write_standin(folder / "model.regad")
    for form in FORMS:
        write_category(artifact, folder / f"{form.name}.safetensors", form)
    write_category(artifact, folder / "other.safetensors", Form("gram"), first_photo=20)
    return artifact


@pytest.fixture(scope="session")
def open_native(library: Path, onnxruntime_library: Path) -> Callable[..., NativeDetector]:
    """Open a native detector on the library under test."""

    def opener(artifact: Path, **options: object) -> NativeDetector:
        return NativeDetector(artifact, library=library, onnxruntime=onnxruntime_library, **options)  # type: ignore[arg-type]

    return opener
