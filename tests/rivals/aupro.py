"""AUPRO of a fixed case by anomalib: the number that tests/train/evaluation/test_metrics.py compares ours with.

Run in anomalib's environment: ``.venvs/anomalib/bin/python tests/rivals/aupro.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["aupro_case"]


def aupro_case() -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Four images of 64 x 64 (the first good), five regions, and maps that find them in part."""
    rng = np.random.default_rng(0)
    masks = np.zeros((4, 64, 64), np.bool_)
    for number, top, left, height, width in ((1, 5, 5, 20, 9), (1, 40, 30, 4, 4), (2, 8, 40, 12, 12), (3, 0, 0, 6, 30)):
        masks[number, top : top + height, left : left + width] = True
    masks[3, 50:60, 50:60] = True
    maps = (rng.random(masks.shape) + 0.6 * masks * rng.random(masks.shape)).astype(np.float32)
    return masks, maps


def main() -> None:
    """Print anomalib's number."""
    import torch
    from torchvision_names import import_torchvision

    import_torchvision()
    from anomalib.metrics.aupro import _AUPRO

    masks, maps = aupro_case()
    metric = _AUPRO(fpr_limit=0.3)
    metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
    print(f"{float(metric.compute()):.6f}")


if __name__ == "__main__":
    main()
