"""Import torchvision although its compiled half belongs to another torch.

A package index that serves torch without CUDA next to torchvision with it leaves a pair whose operators cannot load;
torchvision then fails on import although PatchCore and PaDiM use none of them. Declaring their names is enough.
"""

from __future__ import annotations

import torch

__all__ = ["import_torchvision"]

_NAMES = ("nms", "qnms")
_LIBRARY: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import torchvision, with its operators' names declared if it cannot load them itself."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in _NAMES:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARY.append(library)  # it undefines the names when it is collected
        import torchvision  # noqa: F401
