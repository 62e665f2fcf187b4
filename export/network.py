"""An ONNX file as TensorRT understood it: the parsed network and, where one can be opened, the engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regad.runtime.backends.tensorrt.library import Library
from regad.runtime.errors import RegadError

from .counts import Counts

__all__ = ["Parsed", "count_engine", "count_network", "inspect", "parse"]

_DTYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
_ENGINE_KINDS = {"conv": "convolutions", "gemm": "products", "matrix": "products"}
_ENGINE_DTYPES = {"Int8": "int8", "Half": "fp16", "FP16": "fp16", "Float": "fp32", "FP32": "fp32", "BF16": "bf16"}


class Parsed(NamedTuple):
    """A builder, the network it holds, and the parser, which owns the network's weights."""

    builder: Any
    network: Any
    parser: Any


def parse(library: Library, log: Any, path: Path) -> Parsed:
    """Read an ONNX file into a network whose dtypes are the file's. Raises RegadError with TensorRT's reason."""
    trt = library.module
    builder = trt.Builder(log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if library.flavor.typed_flag else 0
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        why = " ".join(parser.get_error(0).desc().split()) if parser.num_errors else "no reason given"
        raise RegadError(f"{library} cannot read {path} ({why}); export it again with regad-export for TensorRT")
    return Parsed(builder, network, parser)


def count_network(library: Library, network: Any) -> Counts:
    """Count a network's convolutions and products by dtype, as `regad.export.proof.count_onnx` does.

    Raises RegadError for a GridSample that does not sample bilinearly: TensorRT reads some as NEAREST, silently.
    """
    trt = library.module
    kinds = {trt.LayerType.CONVOLUTION: "convolutions", trt.LayerType.MATRIX_MULTIPLY: "products"}
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    dequantized = {layer.get_output(0).name for layer in layers if layer.type == trt.LayerType.DEQUANTIZE}
    counts: dict[str, Counter[str]] = {}
    for layer in layers:
        if layer.type == trt.LayerType.GRID_SAMPLE:
            _require_bilinear(trt, layer)
        if layer.type not in kinds:
            continue
        operands = [tensor for tensor in (layer.get_input(0), layer.get_input(1)) if tensor is not None]
        found = {_DTYPES.get(tensor.dtype.name, tensor.dtype.name) for tensor in operands}
        both = len(operands) == 2 and dequantized.issuperset(tensor.name for tensor in operands)
        counts.setdefault(kinds[layer.type], Counter())["int8" if both else "+".join(sorted(found))] += 1
    return {kind: dict(by_dtype) for kind, by_dtype in counts.items()}


def _require_bilinear(trt: Any, layer: Any) -> None:
    name = layer.name
    layer.__class__ = trt.IGridSampleLayer
    if layer.interpolation_mode != trt.InterpolationMode.LINEAR:
        raise RegadError(f"TensorRT samples {name} by {layer.interpolation_mode.name}; export with --sampler gather")


def inspect(library: Library, log: Any, plan: bytes, portable: bool = False) -> Counts | None:
    """Count the layers of an engine by dtype; None where it cannot be opened (no GPU, or one of another kind)."""
    trt = library.module
    runtime = trt.Runtime(log)
    # A plan for later versions carries its own small runtime as code.
    runtime.engine_host_code_allowed = portable
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return None
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return count_engine(json.loads(text))


def count_engine(information: Mapping[str, Any]) -> Counts:
    """Count convolutions and products in what TensorRT's inspector tells (JSON), by the dtype of their first input."""
    counts: dict[str, Counter[str]] = {}
    for layer in information["Layers"]:
        kind = next((kind for mark, kind in _ENGINE_KINDS.items() if mark in str(layer["LayerType"]).lower()), None)
        if kind is None or not layer.get("Inputs"):
            continue
        text = str(layer["Inputs"][0].get("Format/Datatype", layer["Inputs"][0].get("Datatype", "")))
        dtype = next((dtype for mark, dtype in _ENGINE_DTYPES.items() if mark in text), "unknown")
        counts.setdefault(kind, Counter())[dtype] += 1
    return {kind: dict(by_dtype) for kind, by_dtype in counts.items()}
