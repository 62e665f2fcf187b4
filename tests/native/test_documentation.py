"""The code in docs/embedding.md and in the headers' first comments compiles, links and runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from native_tools import ROOT, SOURCE, run
from numpy.typing import NDArray
from standin import photo

from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact

HEADERS = SOURCE / "include"
PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
C_FRAME = """
#include <regad/regad.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint8_t pixels[1920 * 1080 * 3];
static void reject(void) {{ puts("rejected"); }}
static void die(const char *text) {{ fprintf(stderr, "%s\\n", text); exit(1); }}
int main(void) {{
    if (fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels) die("no pixels");
{code}
    return 0;
}}
"""
CXX_FRAME = """
#include <regad/regad.hpp>
#include <cstdio>
struct Mat {{ std::uint8_t *data; int cols, rows; std::size_t step; }};
struct Camera {{
    std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(1920 * 1080 * 3);
    bool read(Mat &frame) {{
        frame = Mat{{pixels.data(), 1920, 1080, 1920 * 3}};
        return std::fread(pixels.data(), 1, pixels.size(), stdin) == pixels.size();
    }}
}};
static void reject() {{ std::puts("rejected"); }}
int main() {{
    Camera camera;
    Mat frame;
{code}
}}
"""


SKETCH = """
    camera.read(frame);
    const std::uint8_t *const pixels = frame.data;
"""


def sketch(header: str, indent: str) -> str:
    """The first block of a header's lines that begin with ``indent``, without it and without its includes."""
    lines: list[str] = []
    for line in header.splitlines():
        if line.startswith(indent):
            lines.append(line.removeprefix(indent))
        elif lines and not line.strip(" */"):
            lines.append("")
        elif lines:
            break
    assert lines, "the header has no such block"
    return without_includes(lines)


def printed(language: str) -> str:
    """The page's block of a language, without its includes."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return without_includes(text.splitlines())


def without_includes(lines: list[str]) -> str:
    return "\n".join(line for line in lines if not line.startswith("#include"))


def program(name: str) -> tuple[str, str]:
    """File name and text of the program around a printed example."""
    if name == "page-c":
        return "main.c", C_FRAME.format(code=printed("c"))
    if name == "page-cxx":
        return "main.cpp", CXX_FRAME.format(code=printed("cpp"))
    header = (HEADERS / "regad" / ("regad.h" if name == "header-c" else "regad.hpp")).read_text(encoding="utf-8")
    if name == "header-c":
        return "main.c", C_FRAME.format(code=sketch(header, " *   "))
    return "main.cpp", CXX_FRAME.format(code=SKETCH + sketch(header, "//     "))


class Taught(NamedTuple):
    """Two frames, Python's scores of them, and a category file whose threshold lies between the two."""

    frames: list[NDArray[np.uint8]]
    scores: list[float]
    threshold: float
    category: Path


@pytest.fixture(scope="module")
def taught(standin: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    frames = [photo(seed, 1080, 1920) for seed in (0, 40)]
    python = Detector.load(standin.path)
    python.load_category(standin.path.parent / "gram.safetensors")
    scores = [python.predict(np.ascontiguousarray(frame[:, :, ::-1])).score for frame in frames]
    threshold = float(np.mean(scores))
    python.set_threshold(threshold)
    category = tmp_path_factory.mktemp("taught") / "part.safetensors"
    python.save_category(category)
    return Taught(frames, scores, threshold, category)


@pytest.mark.parametrize("name", ["page-c", "page-cxx", "header-c", "header-cxx"])
def test_printed_example(
    library: Path, standin: Artifact, taught: Taught, onnxruntime_library: Path, tmp_path: Path, name: str
) -> None:
    """Strict compilation as C11 or C++17; the program rejects what Python rejects."""
    file, text = program(name)
    (tmp_path / file).write_text(text, encoding="utf-8")
    compiler = ("cc", "-std=c11") if file.endswith(".c") else ("c++", "-std=c++17")
    linked = ("-I", HEADERS, tmp_path / file, library, f"-Wl,-rpath,{library.parent}")
    run(*compiler, *STRICT, "-o", tmp_path / "main", *linked)

    (tmp_path / "part.safetensors").symlink_to(taught.category)
    (tmp_path / "model.regad").symlink_to(standin.path)
    for frame, score in zip(taught.frames, taught.scores, strict=True):
        done = subprocess.run(
            [tmp_path / "main"],
            input=frame.tobytes(),
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "REGAD_ONNXRUNTIME": str(onnxruntime_library)},
            check=True,
        )
        assert done.stdout.decode() == ("rejected\n" if score > taught.threshold else "")
