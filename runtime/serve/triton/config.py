"""Triton's ``config.pbtxt``: for a detector, an encoder, a scorer and their ensemble."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, cast

from ...backends.base import Precision
from ...formats.spec import LEVELS, SIZE

__all__ = [
    "ARTIFACT",
    "CATEGORIES",
    "MARK",
    "OUTPUTS",
    "Port",
    "Settings",
    "Step",
    "detector_config",
    "ensemble_config",
    "onnx_config",
]

MARK = "# Written by regad-triton."
"""The first line of every configuration: what has it may be replaced."""

ARTIFACT, CATEGORIES = "model.regad", "categories"
"""The folders of a detector's version."""


class Port(NamedTuple):
    """An input or output tensor, without its batch dimension; a ``scalar`` has none beside that."""

    name: str
    kind: str
    dims: Sequence[int]
    scalar: bool = False

    def __str__(self) -> str:
        """As it stands in a configuration."""
        shape = " reshape { shape: [ ] }" if self.scalar else ""
        dims = ", ".join(map(str, self.dims))
        return f'{{ name: "{self.name}" data_type: TYPE_{self.kind} dims: [ {dims} ]{shape} }}'


_IMAGE = Port("image", "UINT8", (SIZE, SIZE, 3))
FEATURES: Mapping[str, Port] = {
    **{level.name: Port(level.name, "FP32", (level.positions, level.channels)) for level in LEVELS},
    "theta": Port("theta", "FP32", (len(LEVELS), 2, 3)),
}
_MAP = Port("anomaly_map", "FP32", (SIZE, SIZE))
_SCORE = Port("anomaly_score", "FP32", (1,))
OUTPUTS = (
    Port("score", "FP64", (1,)),
    Port("threshold", "FP64", (1,)),
    Port("anomalous", "BOOL", (1,)),
    Port("warn", "BOOL", (1,)),
    Port("reason", "STRING", (1,)),
    Port("detail", "STRING", (1,)),
    Port("pose", "FP64", (5,)),
    Port("category", "STRING", (1,)),
    _MAP,
)
"""What a detector answers."""


@dataclass(frozen=True)
class Settings:
    """How a detector runs in the server; they are the ``parameters`` of its configuration, as text.

    ``threads`` None: all cores. ``category`` is judged where a request names none; "": such a request is an error.
    ``precision`` is what the device computes in, or it is refused.
    """

    device: str = "auto"
    threads: int | None = None
    memory_mb: int = 4096
    watch_seconds: float = 1.0
    category: str = ""
    precision: Precision = "f32"

    def parameters(self) -> dict[str, str]:
        """As text; what is not set is left out."""
        return {name: str(value) for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_parameters(cls, given: Mapping[str, str]) -> Settings:
        """Read them back. Raises KeyError for one that is missing, ValueError for what is no number.

        What the device cannot compute in is refused when it is opened.
        """
        return cls(
            given["device"],
            int(given["threads"]) if "threads" in given else None,
            int(given["memory_mb"]),
            float(given["watch_seconds"]),
            given.get("category", ""),
            cast(Precision, given.get("precision", "f32")),
        )


class Step(NamedTuple):
    """A model of an ensemble, and its tensors, which have the ensemble's names."""

    model: str
    inputs: Sequence[str]
    outputs: Sequence[str]


def detector_config(name: str, settings: Settings, max_batch: int) -> str:
    """Return the configuration of a detector: bytes of image files in, verdicts out. One process, one encoder."""
    image = Port("image", "STRING", (1,))
    return _config(
        name,
        'backend: "python"',
        max_batch,
        [image],
        OUTPUTS,
        "dynamic_batching { }\ninstance_group [ { count: 1 kind: KIND_MODEL } ]\n" + _parameters(settings.parameters()),
    )


def onnx_config(
    name: str, inputs: Sequence[Port], outputs: Sequence[Port], max_batch: int, device: str, threads: int | None
) -> str:
    """Return the configuration of a graph on ONNX Runtime, computed in full float32 on a GPU."""
    # Without this CUDA computes float32 in TF32, and distances are off by a percent.
    full = (
        'optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "cuda" '
        'parameters { key: "use_tf32" value: "0" } } ] } }\n'
    )
    kind = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "cuda": "KIND_GPU"}[device]
    bound = {} if threads is None else {"intra_op_thread_count": str(threads)}
    rest = f"dynamic_batching {{ }}\ninstance_group [ {{ count: 1 kind: {kind} }} ]\n{full}{_parameters(bound)}"
    return _config(name, 'backend: "onnxruntime"', max_batch, inputs, outputs, rest)


def encoder_config(name: str, max_batch: int, device: str, threads: int | None) -> str:
    """Return the configuration of ``encoder.onnx``."""
    return onnx_config(name, [_IMAGE], list(FEATURES.values()), max_batch, device, threads)


def scorer_config(name: str, levels: Sequence[str], max_batch: int, device: str, threads: int | None) -> str:
    """Return the configuration of a scorer with its statistics inside, which reads ``levels``."""
    scored = [_MAP, _SCORE._replace(scalar=True)]
    return onnx_config(name, [FEATURES[level] for level in levels], scored, max_batch, device, threads)


def ensemble_config(name: str, steps: Sequence[Step], max_batch: int, parameters: Mapping[str, str]) -> str:
    """Return the configuration of the steps one after the other: an encoder's input in, map and score out."""
    text = ",\n".join(map(_step, steps))
    rest = f"ensemble_scheduling {{ step [\n{text}\n] }}\n{_parameters(parameters)}"
    return _config(name, 'platform: "ensemble"', max_batch, [_IMAGE], [_MAP, _SCORE], rest)


def _step(step: Step) -> str:
    inputs = "".join(f' input_map {{ key: "{name}" value: "{name}" }}' for name in step.inputs)
    outputs = "".join(f' output_map {{ key: "{name}" value: "{name}" }}' for name in step.outputs)
    return f'  {{ model_name: "{step.model}" model_version: -1{inputs}{outputs} }}'


def _config(name: str, kind: str, max_batch: int, inputs: Sequence[Port], outputs: Sequence[Port], rest: str) -> str:
    ports = "".join(
        f"{word} [\n  " + ",\n  ".join(map(str, ports)) + "\n]\n"
        for word, ports in (("input", inputs), ("output", outputs))
    )
    return f'{MARK}\nname: "{name}"\n{kind}\nmax_batch_size: {max_batch}\n{ports}{rest}'


def _parameters(values: Mapping[str, str]) -> str:
    return "".join(
        f"parameters {{ key: {json.dumps(name)} value {{ string_value: {json.dumps(value)} }} }}\n"
        for name, value in values.items()
    )
