"""From graphs to ONNX files that old runtimes open, and the audit of what they must not contain."""

from __future__ import annotations

import onnx

from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.encodings import Form, StatisticsDtype
from regad.train.model.registration import RegistrationEncoder

from .encoder import write_encoder
from .sampler import SAMPLERS
from .scorer import write_scorer

__all__ = ["IR_VERSION", "MIN_OPSET", "audit", "check_opset", "encoder_model", "finish", "scorer_model"]

IR_VERSION = 9
"""Written into every file; ONNX Runtime 1.15 and TensorRT 10.3 read it."""
MIN_OPSET = 16


def check_opset(sampler: str, opset: int) -> None:
    """Raise InputError unless ``opset`` can be written with ``sampler``."""
    if sampler not in SAMPLERS:
        raise InputError(f"sampler is {sampler!r}; expected one of {', '.join(SAMPLERS)}")
    highest = SAMPLERS[sampler].max_opset
    if not MIN_OPSET <= opset <= highest:
        raise InputError(f"opset is {opset}; the {sampler} sampler is written at {MIN_OPSET} to {highest}")


def encoder_model(
    encoder: RegistrationEncoder, sampler: str = "gather", opset: int = 18, half: bool = False
) -> onnx.ModelProto:
    """Return ``encoder.onnx`` of an encoder, with dynamic batch: see `write_encoder`, also for ``half``.

    STNs and warps are left out where all they do is the identity (see `regad.export.stns.predicts_transforms`).

    Raises InputError for an opset that the sampler cannot have, RegadError if the graph fails its audit.
    """
    check_opset(sampler, opset)
    return finish(write_encoder(encoder, sampler, half), opset)


def scorer_model(form: Form, opset: int = 18, dtype: StatisticsDtype = "fp32") -> onnx.ModelProto:
    """Return the scorer graph of one form of the statistics: see `write_scorer` for its inputs and outputs."""
    return finish(write_scorer(form, dtype), opset)


def finish(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Give a model the opset and IR version asked for, and check it; what is written means the same in 16 to 20."""
    model.opset_import[0].version = opset
    model.ir_version = IR_VERSION
    model.producer_name = "regad"
    model.producer_version = ""
    model.graph.ClearField("value_info")
    onnx.checker.check_model(model, full_check=True)
    audit(model)
    return model


def audit(model: onnx.ModelProto) -> None:
    """Raise RegadError for a graph that a runtime would refuse, or read as something else than was meant.

    Refused: operators of other domains than ONNX's own and local functions; AffineGrid; GridSample from opset 20 on,
    which TensorRT's parser samples NEAREST; an IR version above 9; a batch that is not dynamic.
    """
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in model.graph.node}
    foreign = sorted(domain for domain in domains if domain not in ("", "ai.onnx"))
    opset = max(entry.version for entry in model.opset_import)
    operators = {node.op_type for node in model.graph.node}
    faults = []
    if foreign or model.functions:
        faults.append(f"custom domains or functions ({', '.join(foreign) or 'local functions'})")
    if "AffineGrid" in operators:
        faults.append("AffineGrid, which few runtimes know")
    if "GridSample" in operators and opset >= 20:
        faults.append(f"GridSample at opset {opset}, which TensorRT samples NEAREST")
    if model.ir_version > IR_VERSION:
        faults.append(f"IR version {model.ir_version}, above {IR_VERSION}")
    images = [value for value in model.graph.input if value.name in ("image", "f1", "f2", "f3")]
    if any(not value.type.tensor_type.shape.dim[0].dim_param for value in images):
        faults.append("a fixed batch size")
    if faults:
        raise RegadError(f"the graph {model.graph.name} holds {'; '.join(faults)}; export with --sampler gather")
