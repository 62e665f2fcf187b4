"""A stand-in for Triton's C++ backend ``onnxruntime``, as a Python-based backend: the same models, on the CPU.

Where a configuration does not switch TF32 off, it rounds as CUDA does then: to ten bits of the mantissa.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


def in_tf32(values):
    """Round float32 values as a tensor core reads them."""
    if values.dtype != np.float32:
        return values
    bits = (np.ascontiguousarray(values).view(np.uint32) + 0x1000) & 0xFFFFE000
    return bits.astype(np.uint32).view(np.float32)


def switches_tf32_off(config):
    """Whether a model's configuration, as JSON, tells CUDA to compute in full float32."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {}).get("gpu_execution_accelerator", [])
    return any(one["name"] == "cuda" and one["parameters"].get("use_tf32") == "0" for one in accelerators)


class TritonPythonModel:
    def initialize(self, args):
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        config = json.loads(args["model_config"])
        self.inputs = [port["name"] for port in config["input"]]
        self.outputs = [port["name"] for port in config["output"]]
        self.round = (lambda values: values) if switches_tf32_off(config) else in_tf32

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        done = self.session.run(self.outputs, {name: self.round(values) for name, values in given.items()})
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, done, strict=True)])
