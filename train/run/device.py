"""Where torch computes, and that float32 there means float32."""

from __future__ import annotations

import torch

from regad.runtime.errors import DeviceError

__all__ = ["torch_device"]


def torch_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu`` or ``cuda``. Raises DeviceError for one that torch cannot use.

    On CUDA the process's convolutions are kept from TF32, which torch allows them by default: it keeps 10 bits of the
    mantissa. Matrix products do not use it unless asked to.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device is {name!r}; a checkpoint runs in torch, on auto, cpu or cuda")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise DeviceError("--device cuda: torch finds no CUDA device; use --device cpu or install torch with CUDA")
    if name == "cpu" or not found:
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")
