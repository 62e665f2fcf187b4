"""Throughput of a real tritonserver against the same judging in-process, in one run, with what it loses.

    python tests/bench/serving.py --model model.regad --category cookies.safetensors ... --images parts/*/test/*/*

Client and server share this machine's cores, so the difference is what the way there costs, not what a server can do.
Every variant decodes the same files; repetitions take turns; median (least .. most) of images a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient import grpc

from regad.runtime.detector import Detector
from regad.runtime.imaging.reading import read_picture
from regad.runtime.serve.triton.cli import command

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serve"))

from triton_server import Running, install, serve

Job = tuple[str, bytes]
"""The name of a category and the bytes of an image file."""
Variant = Callable[[Sequence[Job]], None]


def in_process(detectors: dict[str, Detector]) -> Variant:
    def run(jobs: Sequence[Job]) -> None:
        for name, data in jobs:
            detectors[name].predict(read_picture(name, data=data).image)

    return run


def in_batches(detectors: dict[str, Detector], size: int) -> Variant:
    def run(jobs: Sequence[Job]) -> None:
        for name, detector in detectors.items():
            own = [data for other, data in jobs if other == name]
            for start in range(0, len(own), size):
                detector.predict_batch([read_picture(name, data=data).image for data in own[start : start + size]])

    return run


def served(address: str, model: str, clients: int) -> Variant:
    opened = [grpc.InferenceServerClient(address) for _ in range(clients)]

    def ask(client: Any, jobs: Sequence[Job]) -> None:
        for name, data in jobs:
            tensor = grpc.InferInput("image", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[data]], np.object_))
            wanted = [grpc.InferRequestedOutput("score")]
            client.infer(model, [tensor], outputs=wanted, parameters={"category": name})

    def run(jobs: Sequence[Job]) -> None:
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(ask, opened, [jobs[number::clients] for number in range(clients)]))

    return run


def counted(address: str, model: str) -> str:
    (stats,) = grpc.InferenceServerClient(address).get_inference_statistics(model).model_stats
    return f"{stats.inference_count} images in {stats.execution_count} batches"


def write(running: Running, given: argparse.Namespace, out: Path, name: str, max_batch: int) -> None:
    words = ["--model", given.model, "--out", out, "--name", name, "--device", "cpu", "--threads", given.threads]
    words += ["--max-batch", max_batch, "--check", running.address]
    for file in given.category:
        words += ["--category", file]
    command.main([str(word) for word in words], standalone_mode=False)


def measure(variants: dict[str, Variant], jobs: Sequence[Job], repeats: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant(jobs[:8])
    for _ in range(repeats):
        for name, variant in variants.items():
            start = time.perf_counter()
            variant(jobs)
            rates[name].append(len(jobs) / (time.perf_counter() - start))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--category", type=Path, action="append", required=True)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="judged as the category in their path")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=48)
    given = parser.parse_args()
    names = [file.stem for file in given.category]
    by_name = {name: [path for path in given.images if name in path.parts] for name in names}
    picked = [
        by_name[names[n % len(names)]][n // len(names) % len(by_name[names[n % len(names)]])]
        for n in range(given.count)
    ]
    jobs = [(names[n % len(names)], path.read_bytes()) for n, path in enumerate(picked)]
    with tempfile.TemporaryDirectory() as root, Detector.load(given.model, "cpu", given.threads) as first:
        detectors = {name: Detector(first.model) for name in names}
        for name, file in zip(names, given.category, strict=True):
            detectors[name].load_category(file)
        folder, repository = install(Path(root) / "server"), Path(root) / "repository"
        repository.mkdir()
        with serve(folder, repository, Path(root) / "log") as running:
            write(running, given, repository, "batched", 8)
            write(running, given, repository, "single", 1)
            rates = measure(
                {
                    "in-process, predict": in_process(detectors),
                    "in-process, predict_batch of 8": in_batches(detectors, 8),
                    "Triton, 1 client": served(running.address, "batched", 1),
                    "Triton, 8 clients, batches of up to 8": served(running.address, "batched", 8),
                    "Triton, 8 clients, --max-batch 1": served(running.address, "single", 8),
                },
                jobs,
                given.repeats,
            )
            print(f"batched: {counted(running.address, 'batched')}; single: {counted(running.address, 'single')}")
    base = statistics.median(rates["in-process, predict"])
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{os.cpu_count()} cores, load {load}; {len(names)} categories, {given.count} images, {given.repeats} repeats"
    )
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"{name:40} {middle:6.1f} ({min(values):.1f} .. {max(values):.1f}) images/s  {middle / base - 1:+.0%}")


if __name__ == "__main__":
    main()
