"""``make bench``: this toolkit against OpenVINO and anomalib on the same machine, and against its own floors.

The rows of ``regad-bench`` come first. Rivals run in an environment and a process of their own (`rival_worker.py`) and
are timed in turn with ours, a few calls each at a time, so that both see the same machine. Losses are printed too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench_models import export_rivals, make_int8, make_model
from native import native_rows

from regad.runtime.backends.table import open_backend
from regad.runtime.commands.bench_rows import (
    FULL_HD,
    ROWS,
    BenchSetup,
    camera_curve,
    cold_start,
    drawn_image,
    shot_curve,
)
from regad.runtime.commands.timing import Row, hardware, table, write_rows
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.category import save_category
from regad.runtime.formats.encodings import cast_statistics

HERE = Path(__file__).parent
BLOCK = 4
"""Calls of one side before the other's turn."""


class Rival:
    """`rival_worker.py` in the rivals' environment."""

    def __init__(self, python: Path) -> None:
        self.process = subprocess.Popen(
            [str(python), str(HERE / "rival_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer; an error ends the benchmark with it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the rival's process ended"}
        if "error" in answer:
            sys.exit(f"error: {request}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def in_turn(
    ours: Sequence[Callable[[], object]], rival: Rival, names: Sequence[str], rounds: int
) -> tuple[list[float], list[float]]:
    """Median milliseconds of each of ours and of each rival: blocks in turn, the first call of each not counted."""
    mine: list[list[float]] = [[] for _ in ours]
    theirs: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for call, into in zip(ours, mine, strict=True):
            for number in range(BLOCK):
                start = time.perf_counter()
                call()
                if number:
                    into.append((time.perf_counter() - start) * 1e3)
        for name in names:
            theirs[name] += rival.ask(run=name, times=BLOCK)["ms"][1:]
    return [median(times) for times in mine], [median(theirs[name]) for name in names]


def encoder_rows(
    what: str, model: Path, graphs: Mapping[str, Path], bench: BenchSetup, rival: Rival, rounds: int
) -> list[Row]:
    """An encoder at batch 1 against OpenVINO: in fp32 on the best form of its graph, and at its default precision.

    Ours in fp32 on both libraries, as `Detector.predict` encodes, against their best in f32; then on ONNX Runtime
    against each of the others.
    """
    names = []
    for label, path in graphs.items():
        for precision in ("f32", None):
            names.append(f"{label}, {precision or 'default precision'}")
            rival.ask(load=f"{what} {names[-1]}", kind="encoder", path=str(path.resolve()), precision=precision)
    image, artifact = bench.view(1)[None], Artifact.open(model)
    with closing(open_backend(artifact)) as ort, closing(open_backend(artifact, "openvino")) as openvino:
        calls = [lambda: ort.encode(image).release(), lambda: openvino.encode(image).release()]
        (ours, other), theirs = in_turn(calls, rival, [f"{what} {name}" for name in names], rounds)
    by_name = dict(zip(names, theirs, strict=True))
    exact = min((name for name in names if name.endswith("f32")), key=lambda name: by_name[name])
    rows = [
        Row(f"{what}, batch 1, fp32: OpenVINO ({exact})", ours, by_name[exact], target=1.0),
        Row(f"{what}, batch 1, fp32 on OpenVINO: OpenVINO ({exact})", other, by_name[exact], target=1.0),
    ]
    return rows + [Row(f"{what}, batch 1: OpenVINO ({name})", ours, by_name[name]) for name in names if name != exact]


def both_encoders(bench: BenchSetup, folder: Path, rival: Rival, rounds: int) -> list[Row]:
    """The encoder of the default recipe, whose graph has no transforms, and one with STNs and warps."""
    rows = []
    if not bench.detector.artifact.registers:
        graph = {"same graph": bench.model / "encoder.onnx"}
        rows += encoder_rows("encoder", bench.model, graph, bench, rival, rounds)
    whole, twin = (make_model(folder, sampler, registers=True) for sampler in ("gather", "gridsample"))
    graphs = {"gather": whole / "encoder.onnx", "GridSample twin": twin / "encoder.onnx"}
    return rows + encoder_rows("encoder with STNs", whole, graphs, bench, rival, rounds)


def exact_forms(bench: BenchSetup) -> dict[str, Detector]:
    """Ours in fp32, with the same numbers on both libraries, taught from 4 images."""
    forms = {"fp32": bench.detector, "fp32 on OpenVINO": Detector.load(bench.model, "openvino")}
    for detector in forms.values():
        detector.use(bench.category(4))
    return forms


def reduced_forms(bench: BenchSetup, int8: Path) -> dict[str, Detector]:
    """What a user gets by asking for less: fp16 statistics, and with them bf16 or an int8 encoder; k = 4."""
    small = BenchSetup(int8)
    opened: dict[str, tuple[BenchSetup, Detector]] = {"fp32 encoder": (bench, Detector(bench.detector.model))}
    try:
        opened["bf16 on OpenVINO"] = (bench, Detector.load(bench.model, "openvino", precision="bf16"))
    except DeviceError as error:
        print(f"left out: bf16 on OpenVINO ({error.message})")
    opened["int8 encoder (uint8 activations)"] = (small, Detector.load(int8))
    opened["int8 encoder on OpenVINO"] = (small, Detector.load(int8, "openvino"))
    for taught, detector in opened.values():
        category = taught.category(4)
        statistics = tuple(cast_statistics(group, "fp16") for group in category.statistics)
        detector.use(replace(category, statistics=statistics))
    return {f"{form}, fp16 statistics": detector for form, (_, detector) in opened.items()}


def verdict_rows(bench: BenchSetup, int8: Path, exports: Path, rival: Rival, rounds: int) -> list[Row]:
    """A 1080p frame in memory to its verdict, k = 4, against anomalib's models on OpenVINO, preprocessing included.

    Ours in fp32 against each of theirs; our fastest fp32 form against their fastest in f32; then each of ours against
    their fastest of all, which computes in less than float32 where the processor can.
    """
    exact, reduced = exact_forms(bench), reduced_forms(bench, int8)
    image = drawn_image(*FULL_HD, 7)
    names = []
    for model in sorted(exports.glob("**/*.xml")):
        kind, size = model.relative_to(exports).parts[:2]
        how = "scaled by OpenCV" if size == "scaled" else "scaled in the graph"
        for precision in (None, "f32"):
            names.append(f"anomalib {kind}, {how}, {precision or 'default precision'}")
            path = str(model.resolve())
            rival.ask(load=names[-1], kind="anomalib", path=path, scale=size == "scaled", precision=precision)
    forms = {**exact, **reduced}
    times, theirs = in_turn([lambda d=d: d.predict(image) for d in forms.values()], rival, names, rounds)
    ours = dict(zip(forms, times, strict=True))
    order = sorted(zip(theirs, names, strict=True))
    what = "1080p frame to verdict, k = 4"
    rows = [Row(f"{what}, fp32: {name}", ours["fp32"], spent) for spent, name in order]
    spent, name = next((spent, name) for spent, name in order if name.endswith("f32"))
    best = min(exact, key=lambda form: ours[form])
    rows.append(Row(f"{what}, our fastest in fp32 ({best}): {name}", ours[best], spent, target=0.8))
    spent, name = order[0]
    best = min(ours, key=lambda form: ours[form])
    return rows + [
        Row(f"{what}, {form}: {name}", mine, spent, target=0.6 if form == best else None)
        for form, mine in ours.items()
        if form != "fp32" or form == best  # its row is the first of all
    ]


def cold_rows(bench: BenchSetup, exports: Path, python: Path) -> list[Row]:
    """Process start to first verdict, and resident memory while running, against anomalib's inferencer."""
    (model,) = exports.glob("patchcore/scaled/**/*.xml")
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.safetensors"
        save_category(bench.category(4), part)
        mine, theirs = [], []
        for _ in range(4):  # the first of each warms the disk cache and the rival's compiled model
            mine.append(cold_start(bench.model, part))
            theirs.append(rival_start(python, model, Path(folder)))
    ours, other = ([median(values) for values in zip(*starts[1:], strict=True)] for starts in (mine, theirs))
    return [
        Row("cold start to first verdict, k = 4: anomalib OpenVINO inferencer, PatchCore", ours[0], other[0], "s", 0.5),
        Row("resident memory while running, k = 4: the same", ours[1], other[1], "MB", 0.5),
    ]


def rival_start(python: Path, model: Path, cache: Path) -> tuple[float, float]:
    """What `cold_start` does, for the rival: seconds to its first verdict, resident megabytes after some more."""
    command = [str(python), str(HERE / "rival_worker.py"), "--cold", str(model)]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"REGAD_BENCH_CACHE": str(cache)}
    ) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line.strip() != "verdict":
            pass
        spent = time.perf_counter() - start
        return spent, float(process.stdout.readline())


def size_rows(environments: Mapping[str, Path], rival: Path) -> list[Row]:
    """Installed megabytes of each of our environments and of anomalib with OpenVINO, pip and setuptools left out."""
    other = installed(rival)
    return [
        Row(f"installed size, {name}: anomalib with OpenVINO", installed(ours), other, "MB", 0.1)
        for name, ours in environments.items()
    ]


def installed(environment: Path) -> float:
    """Megabytes in the site-packages of an environment."""
    (packages,) = environment.glob("lib/python*/site-packages")
    tools = ("pip", "setuptools", "_distutils_hack")
    files = (
        path
        for entry in packages.iterdir()
        if not entry.name.startswith(tools)
        for path in ([entry] if entry.is_file() else entry.rglob("*"))
    )
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 1e6


def rival_rows(bench: BenchSetup, given: argparse.Namespace, folder: Path) -> list[Row]:
    """Every row that has a rival."""
    python = given.rivals / "bin" / "python"
    exports = given.exports or export_rivals(python, folder)
    rival = Rival(python)
    rows = []
    if "rival-encoder" in given.rows:
        rows += both_encoders(bench, folder, rival, given.runs)
    if "rival-verdict" in given.rows:
        int8 = given.int8 or make_int8(folder)
        rows += verdict_rows(bench, int8, exports, rival, max(3, given.runs // 3))
    rival.close()
    if "rival-cold" in given.rows:
        rows += cold_rows(bench, exports, python)
    if "size" in given.rows:
        sizes = {"regad[cpu], with OpenCV": given.runtime, "regad[embed], without": given.embed}
        rows += size_rows({name: path for name, path in sizes.items() if path is not None}, given.rivals)
    return rows


def main() -> None:
    """Measure, print the table and write the JSON file."""
    groups = (*ROWS, "native", "rival-encoder", "rival-verdict", "rival-cold", "size", "curves")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="artifact (default: one of fresh weights is made)")
    parser.add_argument("--rivals", type=Path, help="environment with anomalib and OpenVINO")
    parser.add_argument("--runtime", type=Path, help="environment with nothing but regad[cpu], for its size")
    parser.add_argument("--embed", type=Path, help="environment with nothing but regad[embed], for its size")
    parser.add_argument("--exports", type=Path, help="anomalib's exports, if they were made before")
    parser.add_argument(
        "--int8", type=Path, help="artifact with an int8 encoder (default: one of fresh weights is made)"
    )
    parser.add_argument("--rows", nargs="+", choices=groups, default=groups)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bench = BenchSetup(given.model or make_model(folder), runs=given.runs)
        rows = [row for name, group in ROWS.items() if name in given.rows for row in group(bench)]
        if "native" in given.rows:
            rows += [
                Row(row["what"], row["ours"], row["rival"], row["unit"], row.get("target"))
                for row in native_rows(bench.model, given.runs)
            ]
        if given.rivals is not None:
            rows += rival_rows(bench, given, folder)
        curves = {"shot": shot_curve(bench), "megapixels": camera_curve(bench)} if "curves" in given.rows else None
        on = f"{hardware()}; {bench.detector.device}"
    print(f"\n{on}\n{table(rows)}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        write_rows(rows, given.json, on, curves)
        if curves:
            from curves import picture

            atomic_write(given.json.with_suffix(".svg"), picture(curves, on).encode())


if __name__ == "__main__":
    main()
