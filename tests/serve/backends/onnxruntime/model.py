"""A stand-in for Triton's C++ backend ``onnxruntime``, as a Python-based backend: the same models, on the CPU.

Where a configuration does not switch TF32 off, products are taken of factors of 11 bits, as CUDA takes them then.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import triton_python_backend_utils as pb_utils


def in_tf32(model):
    """Round the factors of every product: c - (c - x) with c = (2^13 + 1) x has the upper 11 bits of x."""
    nodes, rounded = [], {}
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(2**13 + 1), "split"))
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            for place, name in enumerate(node.input[:2]):
                if name not in rounded:
                    wide, low, rounded[name] = f"{name}_wide", f"{name}_low", f"{name}_tf32"
                    nodes.append(onnx.helper.make_node("Mul", [name, "split"], [wide]))
                    nodes.append(onnx.helper.make_node("Sub", [wide, name], [low]))
                    nodes.append(onnx.helper.make_node("Sub", [wide, low], [rounded[name]]))
                node.input[place] = rounded[name]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def switches_tf32_off(config):
    """Whether a model's configuration, as JSON, tells CUDA to compute in full float32."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {}).get("gpu_execution_accelerator", [])
    return any(one["name"] == "cuda" and one["parameters"].get("use_tf32") == "0" for one in accelerators)


class TritonPythonModel:
    def initialize(self, args):
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        config = json.loads(args["model_config"])
        graph = str(path) if switches_tf32_off(config) else in_tf32(onnx.load(path)).SerializeToString()
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.inputs = [port["name"] for port in config["input"]]
        self.outputs = [port["name"] for port in config["output"]]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        done = self.session.run(self.outputs, given)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, done, strict=True)])
