"""Where an encoder's time goes, by kind of operator: ``encoder_profile.py onnxruntime|openvino encoder.onnx``.

Each in its own environment (``.venv``, ``.venvs/anomalib``), in float32 and two threads. Measuring costs each operator
a microsecond or two: the sums are somewhat above the times of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np

IMAGE = np.zeros((1, 224, 224, 3), np.uint8)
GROUPS = {
    "convolutions": ("Conv", "FusedConv", "Convolution"),
    "fully connected": ("Gemm", "FusedGemm", "FullyConnected"),
    "small products": ("MatMul", "FusedMatMul", "BatchMatMul"),
    "warps": ("Gather", "GatherND", "GridSample"),
    "layout": ("ReorderInput", "ReorderOutput", "Transpose", "Reorder"),
}


def group(operator: str) -> str:
    """What an operator is counted as."""
    return next((name for name, members in GROUPS.items() if operator in members), "everything else")


def onnxruntime_times(path: Path, runs: int) -> list[dict[str, list[float]]]:
    """Milliseconds of each operator, by group, run by run, in two threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(None, {"image": IMAGE})
        events = json.loads(Path(session.end_profiling()).read_text())
    done: list[dict[str, list[float]]] = []
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["name"] == "model_run":
            done.append(defaultdict(list))
        elif event["name"].endswith("_kernel_time"):
            # A run's own event begins before those of its operators.
            done[-1][group(event["args"]["op_name"])].append(event["dur"] / 1e3)
    return done


def openvino_times(path: Path, runs: int) -> list[dict[str, list[float]]]:
    """The same of OpenVINO."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2, "PERF_COUNT": True}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    done = []
    for _ in range(runs):
        request.infer({"image": IMAGE})
        times: dict[str, list[float]] = defaultdict(list)
        for step in request.profiling_info:
            if step.real_time:
                times[group(step.node_type)].append(step.real_time.total_seconds() * 1e3)
        done.append(times)
    return done


def main() -> None:
    """Print one row a group: its operators and milliseconds, medians over the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["onnxruntime", "openvino"])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    measure = onnxruntime_times if given.engine == "onnxruntime" else openvino_times
    runs = measure(given.encoder, given.runs)[10:]
    total = 0.0
    for name in (*GROUPS, "everything else"):
        spent = median(sum(run[name]) for run in runs)
        total += spent
        print(f"| {name} | {max(len(run[name]) for run in runs)} | {spent:.2f} |")
    print(f"| all | | {total:.2f} |")


if __name__ == "__main__":
    main()
