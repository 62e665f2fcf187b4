"""An int8 artifact from one in fp32, without checkpoint and torch: on the device, from the part's own photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.table import open_backend
from regad.runtime.errors import DeviceError, InputError, RegadError
from regad.runtime.formats.artifact import ENCODER, Artifact, write_artifact
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.selftest import Deviation, compare_golden, worst_of

from .int8 import MAX_IMAGES, Activations, Ranges, quantize_encoder
from .views import support_views

if TYPE_CHECKING:
    import onnx

__all__ = ["quantize_artifact", "support_images"]

_BACKBONE = 15  # convolutions, all of which must be int8


def support_images(artifact: Artifact, photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What a few photos of good parts show to an int8 encoder: `MAX_IMAGES` or fewer, uint8 RGB [N, 224, 224, 3].

    Views of the photos, evenly chosen, and the golden images. Photos of plain parts alone leave ranges so narrow that
    the device's self-test fails; with the golden images scores come nearer to those of fp32 as well.
    """
    golden = artifact.golden().images
    views = np.concatenate([support_views(preprocess(photo, artifact.spec)) for photo in photos])
    count = min(len(views), MAX_IMAGES - len(golden))
    return np.concatenate([views[np.linspace(0, len(views) - 1, count).round().astype(np.intp)], golden])


def quantize_artifact(
    source: Artifact,
    images: NDArray[np.uint8],
    folder: Path,
    ranges: Ranges = "entropy",
    activations: Activations = "uint8",
) -> Artifact:
    """Write ``source`` with its backbone in int8 to ``folder``; ranges come from uint8 RGB images [N, 224, 224, 3].

    Scorers, golden file, scoring and prior stay; the prior's evidence says that it was learnt in fp32. The golden
    self-test is run at int8's tolerance and kept as the parity table; an artifact that fails it is not worth keeping,
    so write to a scratch folder first. Raises InputError for an artifact that is not fp32 or unknown options,
    DeviceError without the quantizer, RegadError where int8 is not accurate enough, ArtifactError and OutputError where
    ``folder`` cannot be written.
    """
    if source.dtype != "fp32":
        raise InputError(f"{source.path} is {source.dtype}; int8 is made from an fp32 artifact: name that one")
    try:
        import onnx
    except ImportError as error:
        raise DeviceError(
            f"int8 needs onnx ({error})", remedy="pip install 'regad[quantize]'", code="missing"
        ) from error
    plain = onnx.load(source.encoder_path)
    model = quantize_encoder(plain, images, ranges, activations)
    model.ir_version = plain.ir_version
    files = {name: (source.path / name).read_bytes() for name in source.manifest["files"]}
    files[ENCODER] = model.SerializeToString()
    manifest: dict[str, Any] = {name: value for name, value in source.manifest.items() if name != "decisions"}
    manifest |= {
        "dtype": "int8",
        "int8": {"ranges": ranges, "activations": activations, "images": len(images)},
        "operations": {**manifest.get("operations", {}), "convolutions": _convolutions(model)},
        "quantized_from": source.hash,
    }
    if source.prior is not None:
        manifest["prior"] = source.prior.of_int8().to_json()
    checks = _golden(write_artifact(folder, manifest, files))
    return write_artifact(folder, {**manifest, "parity": [check._asdict() for check in checks]}, files)


def _golden(artifact: Artifact) -> list[Deviation]:
    backend = open_backend(artifact, "cpu")
    try:
        checks = compare_golden(artifact, backend)
    finally:
        backend.close()
    worst = worst_of(checks)
    if not worst.ok:
        raise RegadError(
            f"int8 would fail the golden self-test on a device: {worst}",
            remedy="its ranges come from photos that are too much alike: give varied ones with --calib-images",
        )
    return checks


def _convolutions(model: onnx.ModelProto) -> dict[str, int]:
    """How many convolutions are int8, and how many are not. Raises RegadError unless the backbone's are."""
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    int8 = sum(dequantized.issuperset(node.input[:2]) for node in nodes)
    if int8 != _BACKBONE:
        raise RegadError(f"the quantizer made {int8} convolutions int8, not {_BACKBONE}; report it with its version")
    others = len(nodes) - int8
    return {"int8": int8, **({"fp32": others} if others else {})}
