"""Checkpoint in, verified artifact folder out."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch

from regad.calib.int8 import Activations, Ranges, calibration_images, quantize_encoder
from regad.runtime.backends.ort import load_onnxruntime
from regad.runtime.backends.table import open_backend
from regad.runtime.commands.options import spec_from_options
from regad.runtime.errors import ArtifactError, InputError, RegadError
from regad.runtime.formats.artifact import Artifact, is_artifact, write_artifact
from regad.runtime.formats.encodings import Form, StatisticsDtype, forms_of
from regad.runtime.formats.normalization import PLAIN
from regad.runtime.formats.prior import Priors
from regad.runtime.formats.scoring import SCORINGS, Scoring, scoring_for
from regad.runtime.formats.spec import EPSILON, Dtype, InputSpec
from regad.runtime.selftest import Deviation, compare_golden, worst_of
from regad.runtime.text import Say, unsaid
from regad.train.evaluation.prior_file import read_priors
from regad.train.model.checkpoint import Checkpoint, build_encoder, load_checkpoint
from regad.train.model.registration import RegistrationEncoder

from .agreement import LIMITS, Limits, agreement_table, as_json, compare_decisions, require_agreement
from .counts import describe, encoder_counts, require_counts, scorer_counts
from .golden import golden_bytes
from .known_priors import known_priors
from .parity import REMEDIES, parity_table, require_parity, verify
from .proof import count_onnx
from .samples import good_groups, verification_images
from .stns import predicts_transforms
from .writer import IR_VERSION, check_opset, encoder_model, finish, scorer_model

__all__ = ["ExportConfig", "export_artifact", "scorer_file"]

_Manifest = dict[str, Any]


@dataclass(frozen=True)
class ExportConfig:
    """One export. ``fit``, ``resample`` and ``roi`` override the checkpoint's preprocessing where given.

    ``stn_mode`` is for released checkpoints, which do not name theirs. ``calib_images`` are for int8, ``verify_data``
    (labelled, MVTec layout) for fp16 and int8; its limits are those of `LIMITS` where none are given. ``scoring`` is
    how parts taught on it are scored, by default as the features want (`scoring_for`); it gets graphs for statistics of
    these groups besides RegAD's. ``prior`` is what ``regad-eval --learn-prior`` wrote of such scores, by default what
    is known of ImageNet's weights (`known_priors`); thresholds are set with it. Raises InputError at construction for
    an opset that the sampler cannot have and for options that do not belong together.
    """

    ckpt: Path
    out: Path = Path("model.regad")
    dtype: Dtype = "fp32"
    sampler: str = "gather"
    opset: int = 18
    calib_images: Path | None = None
    ranges: Ranges = "entropy"
    activations: Activations = "int8"
    stats_dtype: StatisticsDtype = "fp32"
    verify_images: Path | None = None
    verify_seed: int = 0
    verify_data: Path | None = None
    verify_shot: int = 4
    min_agreement: float | None = None
    max_auroc_loss: float | None = None
    stn_mode: str | None = None
    fit: str | None = None
    resample: str | None = None
    roi: tuple[int, int, int, int] | None = None
    scoring: Scoring | None = None
    prior: Path | None = None

    def __post_init__(self) -> None:
        check_opset(self.sampler, self.opset)
        if self.dtype == "fp16" and self.sampler != "gather":
            raise InputError(f"--fp16 is written with --sampler gather, not {self.sampler}: coordinates stay float32")
        if (self.dtype == "int8") != (self.calib_images is not None):
            raise InputError(
                "--int8 sets its ranges from photos of good parts: give --int8 --calib-images DIR"
                if self.dtype == "int8"
                else f"--calib-images is for --int8; this export is {self.dtype}: leave it out"
            )
        if self.dtype == "fp32" and self.verify_data is not None:
            raise InputError("--verify-data compares --fp16 or --int8 with fp32; this export is fp32: leave it out")
        _ = self.limits

    @property
    def limits(self) -> Limits | None:
        """What --verify-data must show; None for fp32, which is compared with PyTorch alone."""
        usual = LIMITS.get(self.dtype)
        if usual is None:
            return None
        return Limits(
            usual.agreement if self.min_agreement is None else self.min_agreement,
            usual.auroc_loss if self.max_auroc_loss is None else self.max_auroc_loss,
        )


def export_artifact(config: ExportConfig, progress: Say = unsaid, report: Say = unsaid, say: Say = unsaid) -> Artifact:
    """Export a checkpoint, verify the graphs against PyTorch, and write the artifact atomically.

    ``progress`` receives each stage, ``report`` each table before it is judged, ``say`` what is odd about the images.
    Raises InputError for the checkpoint or the images, ArtifactError if ``config.out`` is something else, RegadError
    beyond tolerance, for decisions that change too much or a graph of another dtype, OutputError if it cannot be
    written. After any error ``config.out`` is as it was.
    """
    load_onnxruntime()
    if config.out.exists() and not is_artifact(config.out):
        raise ArtifactError(f"{config.out} exists and is not an artifact; it is not replaced: choose another --out")
    checkpoint = load_checkpoint(config.ckpt, config.stn_mode)
    scoring = config.scoring or scoring_for(checkpoint.normalization)
    encoder = build_encoder(checkpoint, str(config.ckpt))
    whole = predicts_transforms(encoder)
    priors = _priors(config, checkpoint, scoring, not whole, say)
    spec = spec_from_options(checkpoint.spec, config.fit, config.resample, config.roi)
    images = verification_images(config.verify_images, spec, config.verify_seed, say=say)
    ranges_from = None
    if config.calib_images is not None:
        ranges_from = calibration_images(good_groups(config.calib_images, say), spec, say=say)

    progress("writing the graphs")
    model = encoder_model(encoder, config.sampler, config.opset, config.dtype == "fp16")
    plain = model
    if ranges_from is not None:
        progress(f"setting int8 ranges from {len(ranges_from)} images")
        model = finish(quantize_encoder(plain, ranges_from, config.ranges, config.activations), config.opset)
    counts = count_onnx(model)
    require_counts(counts, encoder_counts(config.dtype, config.sampler, whole), "the encoder graph")
    forms = forms_of(scoring.groups)
    scorers = {form: scorer_model(form, config.opset, config.stats_dtype) for form in forms}
    for form, scorer in scorers.items():
        require_counts(count_onnx(scorer), scorer_counts(form), f"the {form.name} scorer graph")
    progress("comparing them with PyTorch")
    checks = verify(encoder, model, scorers, images, config.dtype, config.stats_dtype, scoring)
    report(parity_table(checks))
    require_parity(checks, config.dtype)
    report(f"proof     {describe(counts)}" + ("" if whole else "; the transforms are the identity and are left out"))

    manifest = _manifest(config, checkpoint, spec, scoring, checks)
    manifest["operations"] = counts
    manifest["transforms"] = "predicted" if whole else "identity"
    if priors is not None:
        manifest["prior"] = priors.to_json()
    files = _files(encoder, model, scorers)
    if config.dtype != "fp32":
        _require_golden(config, manifest, files)
    if config.verify_data is not None:
        if config.dtype == "fp16":
            plain = encoder_model(encoder, config.sampler, config.opset)
        fp32 = _files(encoder, plain, {form: scorer_model(form, config.opset) for form in scorers})
        manifest["decisions"] = _decisions(config, manifest, fp32, files, progress, report, say)
    return write_artifact(config.out, manifest, files)


def _priors(config: ExportConfig, checkpoint: Checkpoint, scoring: Scoring, identity: bool, say: Say) -> Priors | None:
    """The priors that are given, else what is known of this model; ``say`` receives what does not fit together."""
    edge = scoring == SCORINGS["edge"]
    if edge and checkpoint.normalization == PLAIN:
        say("the scoring edge is meant for features of normalised length: make the checkpoint with --recipe edge")
    if config.prior is not None:
        return read_priors(config.prior, scoring)
    priors = known_priors(checkpoint, scoring, config.dtype, identity)
    if edge and priors is None:
        say(
            "what good scores look like is not known of this model, so thresholds rest on the support images alone: "
            "learn it with regad-eval --learn-prior FILE, then export with --prior FILE"
        )
    return priors


def scorer_file(form: Form) -> str:
    """Return the name of a form's scorer graph in the artifact's folder."""
    return "scorer.onnx" if form == Form("gram") else f"scorer_{form.name}.onnx"


def _files(
    encoder: RegistrationEncoder, model: onnx.ModelProto, scorers: Mapping[Form, onnx.ModelProto]
) -> dict[str, bytes]:
    return {
        "encoder.onnx": model.SerializeToString(),
        **{scorer_file(form): scorer.SerializeToString() for form, scorer in scorers.items()},
        "golden.safetensors": golden_bytes(encoder),
    }


def _require_golden(config: ExportConfig, manifest: _Manifest, files: Mapping[str, bytes]) -> None:
    """Raise RegadError if the artifact would fail, on a CPU already, the self-test that devices run."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = write_artifact(Path(folder) / "candidate.regad", manifest, files)
        backend = open_backend(artifact, "cpu")
        try:
            worst = worst_of(compare_golden(artifact, backend))
        finally:
            backend.close()
        if not worst.ok:
            raise RegadError(
                f"{config.dtype} would fail the golden self-test on a device: {worst}; nothing was written",
                remedy=REMEDIES[config.dtype],
            )


def _decisions(
    config: ExportConfig,
    manifest: _Manifest,
    fp32: Mapping[str, bytes],
    files: Mapping[str, bytes],
    progress: Say,
    report: Say,
    say: Say,
) -> _Manifest:
    """Compare the verdicts with those of an artifact that is fp32 throughout; returns the manifest's entry."""
    assert config.verify_data is not None and config.limits is not None
    with tempfile.TemporaryDirectory() as folder:
        reference = write_artifact(
            Path(folder) / "fp32.regad", {**manifest, "dtype": "fp32", "statistics_dtype": "fp32"}, fp32
        )
        candidate = write_artifact(Path(folder) / "candidate.regad", manifest, files)
        results = compare_decisions(
            reference,
            candidate,
            config.verify_data,
            config.verify_shot,
            config.verify_seed,
            progress,
            say,
        )
    report(agreement_table(results, config.dtype))
    require_agreement(results, config.limits, config.dtype)
    return as_json(results, config.limits)


def _manifest(
    config: ExportConfig, checkpoint: Checkpoint, spec: InputSpec, scoring: Scoring, checks: Sequence[Deviation]
) -> _Manifest:
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
        "features": checkpoint.normalization.table(),
        "epsilon": EPSILON,
        "dtype": config.dtype,
        "int8": {"ranges": config.ranges, "activations": config.activations} if config.dtype == "int8" else None,
        "statistics_dtype": config.stats_dtype,
        "sampler": config.sampler,
        "alignment": "chained",
        "opset": config.opset,
        "ir_version": IR_VERSION,
        "scoring": scoring.to_json(),
        "scorers": {form.name: scorer_file(form) for form in forms_of(scoring.groups)},
        "parity": [check._asdict() for check in checks],
    }
