"""From modules to ONNX files that old runtimes open, and the audit of what they must not contain."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper, version_converter

from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.encodings import Form, StatisticsDtype
from regad.runtime.formats.spec import SIZE
from regad.train.model.registration import RegistrationEncoder

from .adapter import EncoderGraph
from .sampler import SAMPLERS
from .scorer import write_scorer
from .stns import distinct_stns, predicts_transforms, write_stns

__all__ = ["IR_VERSION", "MIN_OPSET", "audit", "check_opset", "encoder_model", "finish", "scorer_model"]

IR_VERSION = 9
"""Written into every file; ONNX Runtime 1.15 and TensorRT 10.3 read it."""
MIN_OPSET = 16
_TRACED_OPSET = 18
_CHATTY_LOGGERS = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


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
    """Return ``encoder.onnx`` of an encoder, with dynamic batch: see `EncoderGraph`, also for ``half``.

    STNs and warps are left out where all they do is the identity (see `regad.export.stns.predicts_transforms`).

    Raises InputError for an opset that the sampler cannot have, RegadError if the graph fails its audit.
    """
    check_opset(sampler, opset)
    return finish(_trace(encoder, sampler, half), opset)


def _trace(encoder: RegistrationEncoder, sampler: str, half: bool) -> onnx.ModelProto:
    """The graph as the exporter writes it, with the encoder's own STN layers."""
    whole = predicts_transforms(encoder)
    traced = EncoderGraph(distinct_stns(encoder) if whole else encoder, sampler, half).eval()
    example = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    with _silence(), _without_collections(), torch.no_grad():
        program = torch.onnx.export(
            traced,
            (example,),
            dynamo=True,
            opset_version=_TRACED_OPSET,
            input_names=["image"],
            output_names=["f1", "f2", "f3", "theta"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    if whole:
        write_stns(model, encoder)
    return model


def scorer_model(form: Form, opset: int = 18, dtype: StatisticsDtype = "fp32") -> onnx.ModelProto:
    """Return the scorer graph of one form of the statistics: see `write_scorer` for its inputs and outputs."""
    return finish(write_scorer(form, dtype), opset)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings, log lines and prints from the user; errors still raise."""
    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Let no garbage be collected: tracing makes millions of objects that stay, and looking through them takes longer.

    A trace takes a fifth less time so, that of a graph without STNs half.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def finish(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Bring a model to the opset and IR version asked for, drop the exporter's notes, and check it."""
    _forget_origin(model)
    if model.opset_import[0].version != opset:
        _slice_instead_of_split(model)
        model = version_converter.convert_version(model, opset)
    model.ir_version = IR_VERSION
    model.producer_name = "regad"
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    audit(model)
    return model


def _slice_instead_of_split(model: onnx.ModelProto) -> None:
    """Write every Split into equal parts of size 1 as Slices: ONNX's converter knows no older form of Split."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Split":
            nodes.append(node)
            continue
        axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
        for index, output in enumerate(node.output):
            bounds = {"starts": index, "ends": index + 1, "axes": axis}
            names = [f"{output}_{name}" for name in bounds]
            values = (np.array([value]) for value in bounds.values())
            model.graph.initializer.extend(map(numpy_helper.from_array, values, names))
            nodes.append(helper.make_node("Slice", [node.input[0], *names], [output], f"{node.name}_{index}"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about its sources (paths of this machine; fields newer than the IR version)."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    graph.ClearField("value_info")


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
