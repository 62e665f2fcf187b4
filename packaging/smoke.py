"""Tries an installed wheel: ``smoke.py [ARTIFACT]``. With an artifact, it runs the self-test and judges.

The verdict's score is printed with all its digits, so that machines can be compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import regad.runtime
from regad.runtime import Detector, kernels
from regad.runtime.selftest import self_test, worst_of


def image(seed: int) -> np.ndarray:
    """A drawn part with some noise, uint8 [224, 224, 3]; integers alone decide it, so it is the same everywhere."""
    y, x = np.mgrid[:224, :224]
    pattern = np.stack([(x * 3 + y) % 97, (x + y * 2) % 61, (x ^ y) % 127], 2) + 60
    return (pattern + np.random.default_rng(seed).integers(0, 12, pattern.shape)).astype(np.uint8)


def main() -> None:
    """Raise if anything is not as it must be."""
    home = Path(regad.runtime.__file__)
    assert "site-packages" in home.parts, f"{home} is not the installed one"
    assert kernels.available(), "the wheel has no compiled kernels"
    print(f"{home.parent}: {kernels.kernels()} kernels")
    if len(sys.argv) == 2:
        with Detector.load(sys.argv[1], threads=1) as detector:
            worst = worst_of(self_test(detector.artifact, detector.backend))
            detector.fit([image(seed) for seed in range(2)])
            result = detector.predict(image(9))
            print(f"{detector.device}: self-test {worst}; score {result.score:.7f}, {result.reason}")


if __name__ == "__main__":
    main()
