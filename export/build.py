"""Checkpoint in, verified artifact folder out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import onnx
import torch

from regad.runtime.artifact import Artifact, is_artifact, write_artifact
from regad.runtime.errors import ArtifactError
from regad.runtime.options import spec_from_options
from regad.runtime.selftest import Check
from regad.runtime.spec import EPSILON, LEVELS, InputSpec
from regad.runtime.stats import Encoding
from regad.train.checkpoint import Checkpoint, build_encoder, load_checkpoint

from .golden import golden_bytes
from .parity import import_onnxruntime, require_parity, verify
from .samples import verification_images
from .writer import IR_VERSION, check_opset, encoder_model, scorer_model

__all__ = ["SCORERS", "ExportConfig", "export_artifact"]

SCORERS: dict[Encoding, str] = {
    "gram": "scorer.onnx",
    "hybrid": "scorer_hybrid.onnx",
    "cholesky": "scorer_cholesky.onnx",
}


@dataclass(frozen=True)
class ExportConfig:
    """One export. ``fit``, ``resample`` and ``roi`` override the checkpoint's preprocessing where given.

    ``stn_mode`` is for released checkpoints, which do not name theirs. Raises InputError at construction for an opset
    that the sampler cannot have.
    """

    ckpt: Path
    out: Path = Path("model.regad")
    sampler: str = "gather"
    opset: int = 18
    verify_images: Path | None = None
    verify_seed: int = 0
    stn_mode: str | None = None
    fit: str | None = None
    resample: str | None = None
    roi: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        check_opset(self.sampler, self.opset)


def export_artifact(
    config: ExportConfig,
    progress: Callable[[str], None] = lambda stage: None,
    report: Callable[[Sequence[Check]], None] = lambda checks: None,
) -> Artifact:
    """Export a checkpoint, verify the graphs against PyTorch, and write the artifact atomically.

    ``progress`` is told each stage, ``report`` the comparison before it is judged. Raises InputError for the
    checkpoint or the images, ArtifactError if ``config.out`` is something else, RegadError beyond tolerance,
    OutputError if it cannot be written. After any error ``config.out`` is as it was.
    """
    import_onnxruntime()
    if config.out.exists() and not is_artifact(config.out):
        raise ArtifactError(f"{config.out} exists and is not an artifact; it is not replaced: choose another --out")
    checkpoint = load_checkpoint(config.ckpt, config.stn_mode)
    encoder = build_encoder(checkpoint, str(config.ckpt))
    spec = spec_from_options(checkpoint.spec, config.fit, config.resample, config.roi)
    images = verification_images(config.verify_images, spec, config.verify_seed)

    progress("writing the graphs")
    model = encoder_model(encoder, config.sampler, config.opset)
    scorers = {encoding: scorer_model(encoding, config.opset) for encoding in get_args(Encoding)}
    progress("comparing them with PyTorch")
    checks = verify(encoder, model, scorers, images)
    report(checks)
    require_parity(checks)

    files = {
        "encoder.onnx": model.SerializeToString(),
        **{SCORERS[encoding]: scorer.SerializeToString() for encoding, scorer in scorers.items()},
        "golden.safetensors": golden_bytes(encoder),
    }
    return write_artifact(config.out, _manifest(config, checkpoint, spec, checks), files)


def _manifest(config: ExportConfig, checkpoint: Checkpoint, spec: InputSpec, checks: Sequence[Check]) -> dict[str, Any]:
    """Every field but those that `write_artifact` fills in."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "producer": {
            "regad": version("regad"),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "python": platform.python_version(),
        },
        "model": {
            "backbone": "resnet18",
            "stn_mode": checkpoint.stn_mode,
            "checkpoint_sha256": checkpoint.sha256,
            "provenance": dict(checkpoint.provenance),
        },
        "input": spec.to_json(),
        "features": [{"name": level.name, "grid": level.grid, "channels": level.channels} for level in LEVELS],
        "epsilon": EPSILON,
        "dtype": "fp32",
        "sampler": config.sampler,
        "alignment": "chained",
        "opset": config.opset,
        "ir_version": IR_VERSION,
        "scorers": dict(SCORERS),
        "parity": [check._asdict() for check in checks],
    }
