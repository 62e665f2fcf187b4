"""One start of the runtime as a line application makes it, in a process of its own: for `regad-bench`.

``python -m regad.runtime.commands.cold ARTIFACT CATEGORY WIDTH HEIGHT``: load both, judge one image, and print
``verdict``; then judge a few more and print the megabytes that are resident.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..detector import Detector

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Print ``verdict`` when the first image is judged, then the resident megabytes after ten more."""
    model, category, width, height = arguments
    image = waves(int(width), int(height))
    detector = Detector.load(model)
    detector.load_category(category)
    detector.predict(image)
    print("verdict", flush=True)
    for _ in range(10):
        detector.predict(image)
    print(resident_mb(), flush=True)


def waves(width: int, height: int) -> NDArray[np.uint8]:
    """A pattern like those that `regad-bench` teaches, uint8 RGB [height, width, 3]: a plain frame is not scored."""
    column, row = (np.uint8(60 * np.sin(np.arange(size) * (12 / size)) + 64) for size in (height, width))
    return np.repeat(np.add.outer(column, row)[:, :, None], 3, axis=2)


def resident_mb(key: str = "VmRSS") -> float:
    """A line of /proc/self/status in megabytes: ``VmRSS`` what is resident now, ``VmHWM`` the most that ever was."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith(key))


if __name__ == "__main__":
    main(sys.argv[1:])
