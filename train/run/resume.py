"""The state of a run after each epoch, ``state.pt``: enough to go on as if it had never stopped.

What an epoch draws depends on the seed and the epoch's number alone, so weights, momentum and torch's random state are
all there is to keep.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regad.runtime.errors import InputError
from regad.runtime.formats.atomic import atomic_write

from ..model.weights import Weights
from .config import TrainConfig
from .selection import Split

__all__ = ["FORMAT", "RunState", "fingerprint", "load_run", "restore", "save_run"]

FORMAT, _VERSION = "regad-run", 1
_FREE = ("data", "out", "device", "workers", "cache", "cache_mb", "tensorboard")
"""Settings that may change when a run goes on: they say where and how, not what is computed."""


@dataclass
class RunState:
    """Where a run is: epochs finished, the lines of its log, and, with a selection, the best epoch and its loss."""

    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, float] | None = None


def fingerprint(config: TrainConfig, split: Split, weights: Weights) -> dict[str, Any]:
    """Say what a run computes: its settings, its images (names and sizes of the files) and its first weights."""
    settings = {name: value for name, value in asdict(config).items() if name not in _FREE}
    parts = split._asdict().items()
    files = [[part, name, p.name, p.stat().st_size] for part, paths in parts for name in paths for p in paths[name]]
    images = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return {**json.loads(json.dumps(settings)), "weights": weights.sha256 or weights.source, "images": images}


def save_run(
    path: Path, state: RunState, model: nn.Module, optimizer: torch.optim.Optimizer, run: Mapping[str, Any]
) -> None:
    """Write the state to ``path`` atomically. Raises OutputError."""
    content = {
        "format": FORMAT,
        "version": _VERSION,
        "run": dict(run),
        "state": asdict(state),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    atomic_write(path, lambda file: torch.save(content, file))


def load_run(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `save_run` wrote, or None where there is nothing; no code in the file is run.

    Raises InputError when it cannot be read, or is of a run with other settings, images or weights.
    """
    if not path.is_file():
        return None
    remedy = f"choose another --out, or delete {path} to start again"
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds for a file they cannot read
        raise InputError(f"{path} is damaged; {remedy}") from error
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, _VERSION):
        raise InputError(f"{path} is not the state of a run of this version; {remedy}")
    theirs: Mapping[str, Any] = content["run"]
    for name, value in run.items():
        if theirs.get(name) != value:
            what = "other images" if name == "images" else f"{name} {theirs.get(name)}, not {value}"
            raise InputError(f"{path.parent} holds a run with {what}: {remedy}")
    return content


def restore(content: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> RunState:
    """Put weights, momentum and random state back as they were, and return where the run is."""
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    random: Tensor = content["random"]
    torch.set_rng_state(random)
    return RunState(**content["state"])
