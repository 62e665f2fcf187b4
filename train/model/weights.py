"""Initial weights of the backbone: torchvision's ImageNet file, a file of one's own, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

import numpy as np
import torch
from torch import Tensor

from regad.runtime.errors import InputError
from regad.runtime.text import reason_of

from .registration import RegistrationEncoder
from .state import load_state

__all__ = ["IMAGENET_URL", "Weights", "load_weights", "read_weights"]

IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
"""torchvision's ``ResNet18_Weights.IMAGENET1K_V1``; the name ends with the beginning of its SHA-256."""

_REMEDY = (
    "give a file with --weights FILE (ResNet-18, torchvision's key names, .npz, .safetensors or .pt) "
    "or start from random weights with --recipe released --weights none"
)


class Weights(NamedTuple):
    """Where the backbone's weights came from: ``none``, ``imagenet`` or a file name, and the file's SHA-256."""

    source: str
    sha256: str | None


def _imagenet_file() -> Path:
    """Return torch hub's copy of torchvision's file, downloaded on first use.

    torchvision itself is not imported: its compiled half often does not fit the torch beside it.
    """
    name = Path(urlparse(IMAGENET_URL).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = path.stem.rsplit("-", 1)[-1]
        torch.hub.download_url_to_file(IMAGENET_URL, str(path), hash_prefix=prefix, progress=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot download ImageNet weights from {IMAGENET_URL} ({reason_of(error)}); {_REMEDY}"
        ) from error
    return path


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def _read_torch(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it is not a state dict, a flat dict of tensors")
    return dict(state)


_READERS = {".npz": _read_npz, ".safetensors": _read_safetensors, ".pt": _read_torch, ".pth": _read_torch}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.npz``, ``.safetensors``, ``.pt`` or ``.pth``; no code in the file is run.

    Raises InputError when the file is missing, of another kind, or damaged.
    """
    if path.suffix.lower() not in _READERS:
        raise InputError(f"weights {path} end in {path.suffix!r}; expected one of {', '.join(_READERS)}; {_REMEDY}")
    if not path.is_file():
        raise InputError(f"weights file {path} is missing; {_REMEDY}")
    try:
        return _READERS[path.suffix.lower()](path)
    except Exception as error:  # each reader has its own family of errors for a damaged file
        raise InputError(f"weights file {path} cannot be read ({reason_of(error)}); {_REMEDY}") from error


def _is_backbone(name: str) -> bool:
    return not name.startswith("stn")


def load_weights(encoder: RegistrationEncoder, source: str) -> Weights:
    """Set the backbone's weights (conv1 to layer3, never the STNs) and return where they came from.

    ``source`` is ``imagenet``, ``none`` or a file's path. layer4 and fc in a file are ignored. Raises InputError
    when the weights cannot be fetched, read, or do not fit ResNet-18.
    """
    if source == "none":
        return Weights("none", None)
    path = _imagenet_file() if source == "imagenet" else Path(source)
    state = read_weights(path)
    load_state(encoder, state, f"weights file {path}", wanted=_is_backbone, ignored=("layer4.", "fc."))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(source if source == "imagenet" else path.name, digest)
