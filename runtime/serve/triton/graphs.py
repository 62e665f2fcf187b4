"""Writing graphs into a Triton model repository: one encoder, and for each category its scorer and their ensemble.

A graph's model is named after what it computes, so that an ensemble never meets another encoder or other statistics
than it was written for: a new category is a new scorer beside the old one, and a new configuration of the ensemble.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArtifactError, CategoryError
from ...formats.artifact import ENCODER, Artifact
from ...formats.atomic import atomic_folder
from ...formats.category import Category
from ...formats.encodings import form_of, levels_of
from ...scoring.reference import graph_tensors
from ...text import Say, unsaid
from .config import Step, encoder_config, ensemble_config, scorer_config
from .repository import check_own, write_config

__all__ = ["bake", "write_graphs"]

_MODEL, _STATISTICS = "model.onnx", "statistics.bin"
_ALIGNMENT = 4096  # what a file that is mapped into memory begins on
_DIGITS = 12


def write_graphs(
    out: Path,
    name: str,
    artifact: Artifact,
    categories: Mapping[str, Category],
    *,
    max_batch: int,
    device: str,
    threads: int | None,
    say: Say = unsaid,
) -> str:
    """Write the encoder, and a scorer and the ensemble ``NAME_CATEGORY`` for each category; return the encoder's name.

    Everything that is there already stays. Raises CategoryError for a category that registers its part, which graphs
    cannot; ArtifactError without the package onnx; OutputError.
    """
    for category_name, category in categories.items():
        if category.registration is not None:
            raise CategoryError(
                f"category {category_name} registers its part, which graphs cannot",
                remedy="use --kind detector, or teach it with --register off",
            )
    encoder = f"{name}_encoder_{artifact.manifest['files'][ENCODER]['sha256'][:_DIGITS]}"
    check_own(out / encoder)
    if not (out / encoder / "1").exists():
        with atomic_folder(out / encoder / "1") as temporary:
            shutil.copyfile(artifact.encoder_path, temporary / _MODEL)
        say(f"{out / encoder}: written")
    write_config(out / encoder, encoder_config(encoder, max_batch, device, threads))
    for category_name, category in categories.items():
        levels = levels_of(category.statistics)
        used = [level for group in levels for level in group]
        scorer = _write_scorer(out, f"{name}_{category_name}_scorer", artifact, category, say)
        write_config(out / scorer, scorer_config(scorer, used, max_batch, device, threads))
        ensemble = f"{name}_{category_name}"
        check_own(out / ensemble)
        (out / ensemble / "1").mkdir(parents=True, exist_ok=True)
        steps = [
            Step(encoder, ["image"], used),
            Step(scorer, used, ["anomaly_map", "anomaly_score"]),
        ]
        write_config(out / ensemble, ensemble_config(ensemble, steps, max_batch, _parameters(artifact, category)))
        say(f"{out / ensemble}: {encoder} and {scorer}")
    return encoder


def bake(artifact: Artifact, category: Category) -> tuple[bytes, bytes]:
    """Return the category's scorer graph with its statistics inside: ``model.onnx`` and ``statistics.bin``.

    Inputs: the features of the levels that it scores; outputs as of the artifact's scorer. Raises ArtifactError without
    the package onnx, CategoryError for statistics that the artifact's graphs would round.
    """
    onnx = _onnx()
    tensors = graph_tensors(category.statistics, artifact.statistics_dtype, category.scoring, category.calibration)
    model = onnx.load(artifact.scorer_path(form_of(category.statistics)))
    features = [value for value in model.graph.input if value.name not in tensors]
    del model.graph.input[:]
    model.graph.input.extend(features)
    blob = bytearray()
    for name, value in tensors.items():
        model.graph.initializer.append(_stored(onnx, name, value, blob))
    return model.SerializeToString(), bytes(blob)


def _stored(onnx: Any, name: str, value: NDArray[Any], blob: bytearray) -> Any:
    """A tensor whose values lie in ``statistics.bin``, at the end of what is there."""
    blob.extend(b"\0" * (-len(blob) % _ALIGNMENT))
    data = np.ascontiguousarray(value).tobytes()
    tensor = onnx.TensorProto(
        name=name,
        dims=value.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(value.dtype),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, entry in (("location", _STATISTICS), ("offset", len(blob)), ("length", len(data))):
        tensor.external_data.add(key=key, value=str(entry))
    blob.extend(data)
    return tensor


def _write_scorer(out: Path, stem: str, artifact: Artifact, category: Category, say: Say) -> str:
    """Write a scorer under the name of its content, and return that name."""
    model, statistics = bake(artifact, category)
    scorer = f"{stem}_{hashlib.sha256(model + statistics).hexdigest()[:_DIGITS]}"
    check_own(out / scorer)
    if not (out / scorer / "1").exists():
        for old in sorted(out.glob(f"{stem}_{'[0-9a-f]' * _DIGITS}")):
            say(f"{old} is no longer used: unload and remove it once {scorer} serves")
        with atomic_folder(out / scorer / "1") as temporary:
            (temporary / _STATISTICS).write_bytes(statistics)
            (temporary / _MODEL).write_bytes(model)
    return scorer


def _parameters(artifact: Artifact, category: Category) -> dict[str, str]:
    """What a client needs to know: it prepares the image and decides, which graphs cannot."""
    warn = category.threshold.warn
    return {
        "threshold": repr(category.threshold.value),
        **({} if warn is None else {"warn_threshold": repr(warn)}),
        "input": json.dumps(category.spec.to_json()),
        "artifact": artifact.hash,
        "category": category.hash,
    }


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ArtifactError(
            f"--kind graphs needs the package onnx, which cannot be imported ({error})",
            remedy="install it: pip install 'onnx>=1.17'",
        ) from error
    return onnx
