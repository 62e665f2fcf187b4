"""The native library against the Python runtime: one image judged by each in turn, with the same files."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from regad.runtime.cabi import NativeDetector
from regad.runtime.detector import Detector

ROOT = Path(__file__).resolve().parents[2]
TARGET = 1.05  # of the Python runtime's time, or less
TOOLS = ("cmake", "c++")
SHOTS = (2, 8)

Row = dict[str, Any]


def library() -> Path | None:
    """The library of ``$REGAD_LIBRARY``, or a release build of this checkout; None, with a line, if it cannot be."""
    given = os.environ.get("REGAD_LIBRARY")
    if given:
        return Path(given)
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        print(f"native library: not measured, {' and '.join(absent)} missing (docs/embedding.md)", file=sys.stderr)
        return None
    folder = ROOT / "build" / "native"
    for command in (["cmake", "-S", ROOT / "runtime" / "native", "-B", folder], ["cmake", "--build", folder, "-j2"]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[0]
            print(f"native library: not measured, it cannot be built ({reason})", file=sys.stderr)
            return None
    return folder / "libregad.so"


def interleaved(ours: Callable[[], object], rival: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median milliseconds of both, run alternately after two warm-ups of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(runs + 2):
        for call, into in zip((ours, rival), times, strict=True):
            start = time.perf_counter()
            call()
            if round_ >= 2:
                into.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def photo(seed: int) -> np.ndarray:
    """A smooth picture with noise, uint8 RGB [960, 1280, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:960, 0:1280] / 150.0
    base = np.stack([np.sin(x + 0.1 * seed) + np.cos(y * (c + 1)) for c in range(3)], axis=2)
    return np.clip(128 + 60 * base + 10 * rng.standard_normal(base.shape), 0, 255).astype(np.uint8)


def native_rows(model: Path, runs: int) -> list[Row]:
    """One row for each number of support images; empty if the library cannot be built here."""
    path = library()
    if path is None:
        return []
    rows: list[Row] = []
    image = photo(100)
    with (
        tempfile.TemporaryDirectory() as folder,
        Detector.load(model) as python,
        NativeDetector(model, library=path) as native,
    ):
        for shot in SHOTS:
            category = python.fit([photo(seed) for seed in range(shot)])
            python.save_category(Path(folder) / "part.safetensors")
            native.load_category(Path(folder) / "part.safetensors")
            ours, rival = interleaved(lambda: native.predict(image), lambda: python.predict(image), runs)
            rows.append(
                {
                    "what": f"predict, k = {shot} ({category.encoding}): native, against Python",
                    "ours": round(ours, 3),
                    "rival": round(rival, 3),
                    "unit": "ms",
                    "ratio": round(ours / rival, 3),
                    "target": TARGET,
                    "met": ours <= TARGET * rival,
                }
            )
    return rows
