"""A station that records parts as fast as it is told, to be killed: ``python crash_writer.py FOLDER SECONDS_PER_PART``.

It prints a line for every part, ``SEQ NANOSECONDS``, once the part has been given to the trace.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from regad.runtime.station.trace.inspection import Inspection, TracePolicy
from regad.runtime.station.trace.writer import Trace


def main(folder: Path, pause: float) -> None:
    """Record parts for ever."""
    rng = np.random.default_rng(0)
    inputs = [np.kron(rng.integers(0, 256, (28, 28, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(8)]
    heat = rng.random((224, 224), np.float32)
    trace = Trace(folder, TracePolicy(min_free_gb=0.0))
    boot = trace.open().id
    for seq in range(1, 1_000_000):
        trace.add(
            Inspection(
                **{"boot": boot, "seq": seq, "mono_ns": time.monotonic_ns(), "wall": time.time(), "clock_ok": True},
                **{
                    "trigger": "free",
                    "verdict": 1,
                    "output": 1,
                    "score": seq / 7,
                    "input": inputs[seq % 8],
                    "map": heat,
                },
            )
        )
        print(seq, time.monotonic_ns(), flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
