"""Times OpenVINO and anomalib's OpenVINO inferencer in their own environment; `bench.py` tells it when.

Reads JSON lines on stdin and answers each with one on stdout: ``{"load": NAME, "kind": KIND, "path": FILE, ...}``,
then ``{"run": NAME, "times": N}`` for N times in ms. Kinds: ``encoder`` (an ONNX graph on OpenVINO, ``precision``
``f32`` or null for its default) and ``anomalib`` (an exported model on its inferencer; ``scale`` true scales the frame
with OpenCV to the model's size first, false leaves that to the graph). With ``--cold XML`` it judges one frame as a
fresh process would and says ``verdict``, then its resident megabytes after ten more.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KMP_WARNINGS", "0")
WIDTH, HEIGHT = 1920, 1080


def frame() -> Any:
    """A 1080p frame in memory, uint8 RGB [1080, 1920, 3]."""
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoder(request: dict[str, Any]) -> Callable[[], object]:
    """An encoder graph at batch 1 on OpenVINO, for low latency."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(request["path"])
    model.reshape({model.input(0): [1, 224, 224, 3]})
    hints = {"PERFORMANCE_HINT": "LATENCY"}
    if request["precision"]:
        hints["INFERENCE_PRECISION_HINT"] = request["precision"]
    run = core.compile_model(model, "CPU", hints).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    return lambda: run.infer({0: image})


def import_inferencer() -> Any:
    """Anomalib's inferencer, with torchvision's names mended where its wheel does not fit torch's."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rivals"))
    from torchvision_names import import_torchvision

    import_torchvision()
    from anomalib.deploy import OpenVINOInferencer

    return OpenVINOInferencer


def anomalib(request: dict[str, Any]) -> Callable[[], object]:
    """A 1080p frame through anomalib's inferencer."""
    import cv2

    config = {"PERFORMANCE_HINT": "LATENCY"}
    if request["precision"]:
        config["INFERENCE_PRECISION_HINT"] = request["precision"]
    inferencer = import_inferencer()(path=request["path"], device="CPU", config=config)
    image = frame()
    if not request["scale"]:
        return lambda: inferencer.predict(image)
    return lambda: inferencer.predict(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))


KINDS = {"encoder": encoder, "anomalib": anomalib}


def serve() -> None:
    """Answer requests until stdin ends."""
    loaded: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if "load" in request:
                loaded[request["load"]] = KINDS[request["kind"]](request)
                loaded[request["load"]]()
            else:
                times = []
                for _ in range(request["times"]):
                    start = time.perf_counter()
                    loaded[request["run"]]()
                    times.append((time.perf_counter() - start) * 1e3)
                answer["ms"] = times
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


def cold(path: str) -> None:
    """One start to the first verdict, and the memory while running."""
    run = anomalib({"path": path, "precision": None, "scale": True})
    run()
    print("verdict", flush=True)
    for _ in range(10):
        run()
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    print(next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmRSS")), flush=True)


if __name__ == "__main__":
    model = Path(sys.argv[2]).resolve() if len(sys.argv) == 3 else None
    with tempfile.TemporaryDirectory() as scratch:  # the inferencer leaves a cache where it runs
        os.chdir(os.environ.get("REGAD_BENCH_CACHE", scratch))
        if model is not None:
            cold(str(model))
        else:
            serve()
