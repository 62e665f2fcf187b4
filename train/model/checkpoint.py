"""The checkpoint, one file: three state dicts under the released code's keys, and how they came about.

``model.pt`` is ``torch.save`` of {"STN", "ENC", "PRED": state dicts, "regad": metadata of plain values}. A file
without "regad" is a released checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regad.runtime.errors import InputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.formats.spec import InputSpec
from regad.runtime.text import system_reason

from .heads import Predictor, SiameseEncoder
from .modes import STN_MODES, stn_mode
from .registration import RegistrationEncoder
from .state import load_state

__all__ = ["FORMAT", "VERSION", "Checkpoint", "build_encoder", "build_heads", "load_checkpoint", "save_checkpoint"]

FORMAT = "regad-checkpoint"
VERSION = 2
_READ = (1, VERSION)
"""Version 1 has no feature normalisation: its features are scored as they come."""

RELEASED_INPUT = InputSpec(fit="stretch", resample="lanczos")
"""How the released code resized its square images: Pillow's ANTIALIAS, no mean/std."""

_EXPECTED = "expected the model.pt of regad-train, or a released RegAD checkpoint (keys STN, ENC, PRED)"
_MODE_OF_RELEASED = {
    1: "rotation",
    3: "rotation_scale",
    4: "translation_scale",
    5: "rotation_translation_scale",
    6: "affine",
}
"""By the number of parameters: 3 also fits rotation_translation but is the released default; 2 cannot be told."""


@dataclass(frozen=True)
class Checkpoint:
    """A model: state dicts of the encoder (STN) and the heads, its configuration, and its provenance.

    ``provenance`` holds plain values (numbers, strings, lists, dicts); ``sha256`` is the file's, empty before saving.
    """

    stn: Mapping[str, Tensor]
    enc: Mapping[str, Tensor]
    pred: Mapping[str, Tensor]
    stn_mode: str
    spec: InputSpec
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    normalization: FeatureNormalization = PLAIN


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path`` atomically. Raises OutputError."""
    content = {
        "STN": _detached(checkpoint.stn),
        "ENC": _detached(checkpoint.enc),
        "PRED": _detached(checkpoint.pred),
        "regad": {
            "format": FORMAT,
            "version": VERSION,
            "stn_mode": checkpoint.stn_mode,
            "input": checkpoint.spec.to_json(),
            "normalization": checkpoint.normalization.to_json(),
            "provenance": dict(checkpoint.provenance),
        },
    }
    atomic_write(path, lambda file: torch.save(content, file))


def _detached(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in state.items()}


def load_checkpoint(path: Path, stn_mode: str | None = None) -> Checkpoint:
    """Read a checkpoint of this package or a released one; no code in the file is run.

    ``stn_mode`` is needed only for a released file whose number of STN parameters fits several modes. Raises
    InputError when the file is not a checkpoint, damaged, of another version, or of another STN mode.
    """
    content, digest = _read(path)
    missing = [key for key in ("STN", "ENC", "PRED") if not isinstance(content.get(key), dict)]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; {_EXPECTED}")
    mode, spec, normalization, provenance = _metadata(path, content, stn_mode)
    states = (content["STN"], content["ENC"], content["PRED"])
    checkpoint = Checkpoint(*states, mode, spec, provenance, digest, normalization)
    # Building once checks every tensor, so that whoever holds a Checkpoint holds a good one.
    build_encoder(checkpoint, str(path))
    build_heads(checkpoint, str(path))
    return checkpoint


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read checkpoint {path}: {system_reason(error)}; {_EXPECTED}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds for a file they cannot read
        raise InputError(f"{path} is truncated or not a checkpoint; {_EXPECTED}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; {_EXPECTED}")
    return content, hashlib.sha256(data).hexdigest()


def _metadata(
    path: Path, content: dict[str, Any], asked: str | None
) -> tuple[str, InputSpec, FeatureNormalization, dict[str, Any]]:
    """Return STN mode, input, feature normalisation and provenance, from the file or, for a released one, inferred."""
    if "regad" not in content:
        return _released_mode(path, content["STN"], asked), RELEASED_INPUT, PLAIN, {"released": True}
    meta = content["regad"]
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f"{path}: its metadata is not {FORMAT}; {_EXPECTED}")
    if meta.get("version") not in _READ:
        raise InputError(
            f"{path} has checkpoint version {meta.get('version')}; this regad reads up to {VERSION}: "
            "train it again with regad-train, or install the regad that wrote it"
        )
    mode: Any = meta.get("stn_mode")
    spec: Any = meta.get("input")
    provenance: Any = meta.get("provenance")
    cells: Any = PLAIN.to_json() if meta["version"] == 1 else meta.get("normalization")
    sound = isinstance(spec, dict) and isinstance(cells, dict) and isinstance(provenance, dict)
    if mode not in STN_MODES or not sound:
        raise InputError(f"{path}: its metadata is damaged (stn_mode, input, normalization or provenance); {_EXPECTED}")
    if asked is not None and asked != mode:
        raise InputError(f"{path} was trained with stn mode {mode}, not {asked}; leave out --stn-mode")
    return mode, InputSpec.from_json(spec), FeatureNormalization.from_json(cells), provenance


def _released_mode(path: Path, state: Mapping[str, Tensor], asked: str | None) -> str:
    bias = state.get("stn1.fc.2.bias")
    if not isinstance(bias, Tensor) or bias.dim() != 1:
        raise InputError(f"{path} lacks stn1.fc.2.bias; {_EXPECTED}")
    rows = len(bias)
    fitting = [name for name, mode in STN_MODES.items() if mode.parameters == rows]
    if asked is not None:
        if stn_mode(asked).parameters != rows:
            raise InputError(f"{path} predicts {rows} STN parameters; --stn-mode {asked} has another number")
        return asked
    if rows not in _MODE_OF_RELEASED:
        choices = f"one of {', '.join(fitting)}" if fitting else "a file of one of RegAD's nine modes"
        raise InputError(f"{path} predicts {rows} STN parameters: give --stn-mode, {choices}")
    return _MODE_OF_RELEASED[rows]


def build_encoder(checkpoint: Checkpoint, source: str = "checkpoint") -> RegistrationEncoder:
    """Return the encoder with the checkpoint's weights, in eval mode. Raises InputError when they do not fit."""
    spec = checkpoint.spec
    encoder = RegistrationEncoder(checkpoint.stn_mode, spec.mean, spec.std, checkpoint.normalization)
    load_state(encoder, checkpoint.stn, f"{source} (STN)")
    return encoder.eval()


def build_heads(checkpoint: Checkpoint, source: str = "checkpoint") -> tuple[SiameseEncoder, Predictor]:
    """Return the siamese heads with the checkpoint's weights, in eval mode. Raises InputError as above."""
    encoder, predictor = SiameseEncoder(), Predictor()
    load_state(encoder, checkpoint.enc, f"{source} (ENC)")
    load_state(predictor, checkpoint.pred, f"{source} (PRED)")
    return encoder.eval(), predictor.eval()
