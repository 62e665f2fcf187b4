"""``make bench``: where the milliseconds and megabytes go, as ratios measured in one run.

Every row is compared with a plain form of the same thing, timed in turn with it (A B A B ...); medians, losses too.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from native import native_rows

from regad.calib.gaussian import fit
from regad.runtime.artifact import Artifact
from regad.runtime.backends import open_backend
from regad.runtime.features import Features
from regad.runtime.preprocess import preprocess
from regad.runtime.scoring import Scorer, smoothing_matrix
from regad.runtime.spec import LEVELS, InputSpec

Row = dict[str, Any]


def medians(ours: Callable[[], object], rival: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median milliseconds of both, run alternately after one warm-up each."""
    ours()
    rival()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for call, into in zip((ours, rival), times, strict=True):
            start = time.perf_counter()
            call()
            into.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def row(what: str, ours: float, rival: float, unit: str = "ms") -> Row:
    return {
        "what": what,
        "ours": round(ours, 3),
        "rival": round(rival, 3),
        "unit": unit,
        "ratio": round(ours / rival, 3),
    }


def drawn(views: int) -> Features:
    rng = np.random.default_rng(0)
    levels = (rng.random((views, level.positions, level.channels), dtype=np.float32) for level in LEVELS)
    return Features(*levels, np.zeros((views, 3, 2, 3), np.float32))


def reference_loop() -> Callable[[], object]:
    """The released code's scoring: one matrix-vector product a position with cached dense inverses (2.5 GB)."""
    rng = np.random.default_rng(0)
    inverses = np.empty((3136, 448, 448), np.float32)
    inverses[:] = np.eye(448, dtype=np.float32) + 1e-3 * rng.random((448, 448), dtype=np.float32)
    deviations = rng.random((3136, 448), dtype=np.float32)

    def run() -> list[float]:
        return [float(np.sqrt(d @ (m @ d))) for d, m in zip(deviations, inverses, strict=True)]

    return run


def scoring_rows(runs: int) -> list[Row]:
    rows = []
    query = drawn(1)
    loop = reference_loop()
    for shot in (2, 4, 8):
        stats = fit(drawn(22 * shot))
        scorer = Scorer(stats)
        ours, reference = medians(lambda scorer=scorer: scorer.score(query), loop, max(3, runs // 5))
        rows.append(row(f"score, k = {shot} ({stats.encoding}), against the reference loop", ours, reference))
        flat = [tensor.reshape(-1) for tensor in stats.tensors.values()]
        ours, floor = medians(
            lambda scorer=scorer: scorer.score(query), lambda flat=flat: [tensor.max() for tensor in flat], runs
        )
        rows.append(row(f"score, k = {shot} ({stats.encoding}), against one pass over its memory", ours, floor))
    return rows


def encoder_rows(model: Path, runs: int) -> list[Row]:
    backend = open_backend(Artifact.open(model))
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    batch = np.repeat(image, 8, axis=0)
    one, eight = medians(lambda: [backend.encode(image) for _ in range(8)], lambda: backend.encode(batch), runs)
    frame = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    spec, lanczos = InputSpec(), InputSpec(resample="lanczos")
    box, slow = medians(lambda: preprocess(frame, spec), lambda: preprocess(frame, lanczos), runs)
    smooth, grid = smoothing_matrix(), np.random.default_rng(2).random((56, 56), dtype=np.float32)
    mapped, encode = medians(lambda: smooth @ grid @ smooth.T, lambda: backend.encode(image), runs)
    return [
        row("encode one image, against one of a batch of 8", one / 8, eight / 8),
        row("preprocess 1080p with box, against lanczos", box, slow),
        row("upsample and smooth the map, against encoding", mapped, encode),
    ]


def make_model(folder: Path) -> Path:
    """An artifact of fresh weights: times do not depend on their values."""
    import torch

    from regad.export.cli import command as export
    from regad.train.checkpoint import Checkpoint, save_checkpoint
    from regad.train.heads import Encoder, Predictor
    from regad.train.model import RegistrationEncoder

    torch.manual_seed(0)
    states = (RegistrationEncoder().state_dict(), Encoder().state_dict(), Predictor().state_dict())
    save_checkpoint(folder / "model.pt", Checkpoint(*states, "rotation_scale", InputSpec()))
    export.main(["--ckpt", str(folder / "model.pt"), "--out", str(folder / "model.regad")], standalone_mode=False)
    return folder / "model.regad"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="artifact (default: one of fresh weights is made)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or make_model(Path(folder))
        rows = encoder_rows(model, given.runs) + scoring_rows(given.runs) + native_rows(model, given.runs)
    cpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    name = next((line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("Model name")), "unknown")
    hardware = f"{name}, {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
    print(f"\n{hardware}\n{'':64}{'ours':>10}{'other':>10}      ratio")
    for r in rows:
        print(f"{r['what']:64}{r['ours']:10.2f}{r['rival']:10.2f} {r['unit']:4}{r['ratio']:7.3f}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"hardware": hardware, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
