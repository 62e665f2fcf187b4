"""The feature normalisation in the graph: the formula, nothing where it changes nothing, and every dtype's export."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from regad.calib.int8 import quantize_encoder
from regad.export.cli import command
from regad.export.counts import encoder_counts
from regad.export.parity import run_graph
from regad.export.proof import count_onnx
from regad.export.reference import torch_features
from regad.export.samples import synthetic_images
from regad.export.writer import encoder_model, finish
from regad.runtime.backends.table import open_backend
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import forms_of
from regad.runtime.formats.features import Features
from regad.runtime.formats.normalization import FeatureNormalization
from regad.runtime.formats.prior import Prior, Priors
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import EDGE_GROUPS, InputSpec
from regad.runtime.selftest import TOLERANCES, self_test
from regad.train.evaluation.backend_torch import TorchBackend
from regad.train.evaluation.prior_file import write_priors
from regad.train.model.cells import normalize_cells
from regad.train.model.checkpoint import Checkpoint, build_encoder, load_checkpoint, save_checkpoint
from regad.train.model.heads import Predictor, SiameseEncoder

from .conftest import MIXED, affine_encoder, identity_encoder, normalized, random_encoder

IMAGES = synthetic_images(3, seed=7)


def by_formula(plain: Features, normalization: FeatureNormalization) -> list[NDArray[np.float64]]:
    found = []
    for f, (exponent, gain) in zip(plain[:3], normalization.levels, strict=True):
        length = np.linalg.norm(f.astype(np.float64), axis=2, keepdims=True)
        found.append(gain * f / (length + 1e-6) ** exponent)
    return found


def assert_close(got: Features, wanted: list[NDArray[np.float64]], tolerance: float) -> None:
    for name, a, b in zip(Features._fields, got, wanted, strict=False):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("opset", [16, 18])
def test_the_graph_is_the_formula(opset: int) -> None:
    encoder = identity_encoder()
    wanted = by_formula(torch_features(encoder, IMAGES), MIXED)
    model = encoder_model(normalized(encoder), opset=opset)
    assert_close(Features(*run_graph(model, {"image": IMAGES})), wanted, 1e-5)
    assert_close(torch_features(encoder, IMAGES), wanted, 1e-6)
    assert count_onnx(model) == encoder_counts("fp32", "gather", registers=False)


@pytest.mark.parametrize("sampler", ["gather", "gridsample"])
def test_what_is_normalized_is_the_aligned_map(sampler: str) -> None:
    encoder = random_encoder() if sampler == "gather" else affine_encoder()
    plain = torch_features(encoder, IMAGES)
    got = Features(*run_graph(encoder_model(normalized(encoder), sampler), {"image": IMAGES}))
    assert_close(got, by_formula(plain, MIXED), 1e-4)
    np.testing.assert_allclose(got.theta, plain.theta, rtol=0, atol=1e-5)


def test_the_checkpoints_backend_is_the_formula_too() -> None:
    encoder = random_encoder()
    wanted = by_formula(torch_features(encoder, IMAGES), MIXED)
    assert_close(TorchBackend(normalized(encoder), torch.device("cpu")).features(IMAGES), wanted, 1e-4)


def test_a_cell_without_features_stays_without() -> None:
    for f in normalize_cells([torch.zeros(1, 4, 8)] * 3, MIXED, channels=2):
        assert torch.equal(f, torch.zeros(1, 4, 8))


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_nothing_is_written_for_a_level_that_is_left_as_it_is() -> None:
    plain = encoder_model(identity_encoder())
    scaled = encoder_model(normalized(identity_encoder(), FeatureNormalization(gains=(1.0, 1.0, 8.0))))
    root = encoder_model(normalized(identity_encoder(), FeatureNormalization((0.0, 0.0, 0.5))))
    assert operators(scaled) - operators(plain) == Counter({"Mul": 1})
    assert not operators(plain) & Counter({"Pow": 1, "Sqrt": 1, "ReduceSum": 1})
    assert (operators(root) - operators(plain))["Pow"] == 1
    again = encoder_model(normalized(identity_encoder(), FeatureNormalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))))
    assert again.SerializeToString() == plain.SerializeToString()


def test_in_fp16_it_is_float32() -> None:
    encoder = normalized(random_encoder())
    model = encoder_model(encoder, half=True)
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    lengths = [node for node in model.graph.node if node.op_type in ("ReduceSum", "Pow")]
    assert len(lengths) >= 4
    assert {types[node.output[0]] for node in lengths} == {onnx.TensorProto.FLOAT}
    assert count_onnx(model) == encoder_counts("fp16", "gather")
    got, wanted = Features(*run_graph(model, {"image": IMAGES})), torch_features(encoder, IMAGES)
    for a, b in zip(got[:3], wanted[:3], strict=True):
        assert 0 < np.abs(a - b).max() / np.abs(b).max() < TOLERANCES["fp16"]["f3"]


def test_in_int8_it_comes_after_the_last_convolution_in_float() -> None:
    encoder = normalized(identity_encoder())
    model = finish(quantize_encoder(encoder_model(encoder), synthetic_images(6, seed=1), "minmax"), 18)
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("ReduceSum", "Sqrt", "Pow"):
            assert not {producers[name].op_type for name in node.input if name in producers} & {"DequantizeLinear"}
    wanted = torch_features(encoder, IMAGES)
    for a, b in zip(run_graph(model, {"image": IMAGES})[:3], wanted[:3], strict=True):
        assert np.abs(a - b).max() / np.abs(b).max() < TOLERANCES["int8"]["f3"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("normalized") / "model.pt"
    states = (random_encoder().state_dict(), SiameseEncoder().state_dict(), Predictor().state_dict())
    save_checkpoint(path, Checkpoint(*states, "rotation_scale", InputSpec(), normalization=MIXED))
    return path


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_an_export_passes_its_gate_and_its_golden_test(dtype: str, checkpoint: Path, tmp_path: Path) -> None:
    words = ["--ckpt", str(checkpoint), "--out", str(tmp_path / "model.regad")]
    if dtype == "int8":
        (tmp_path / "good").mkdir()
        for number, image in enumerate(synthetic_images(4, seed=2)):
            Image.fromarray(image).save(tmp_path / "good" / f"{number}.png")
        words += ["--calib-images", str(tmp_path / "good")]
    priors = Priors({4: Prior(-0.07, 0.09, 0.13)}, "3 kinds of parts")
    write_priors(tmp_path / "prior.json", priors, SCORINGS["edge"])
    words += ["--scoring", "edge", "--prior", str(tmp_path / "prior.json")]
    command.main(words + ([] if dtype == "fp32" else [f"--{dtype}"]), standalone_mode=False)
    artifact = Artifact.open(tmp_path / "model.regad")
    assert (artifact.dtype, artifact.normalization) == (dtype, MIXED)
    assert (artifact.scoring, artifact.prior) == (SCORINGS["edge"], priors)
    assert set(artifact.manifest["scorers"]) == {form.name for form in forms_of(EDGE_GROUPS)}
    assert json.loads((artifact.path / "manifest.json").read_text())["features"][2]["exponent"] == 1.0
    backend = open_backend(artifact, "cpu")
    try:
        assert all(row.ok for row in self_test(artifact, backend))
        got = backend.features(IMAGES)
    finally:
        backend.close()
    wanted = torch_features(build_encoder(load_checkpoint(checkpoint)), IMAGES)
    for name, a, b in zip(("f1", "f2", "f3"), got, wanted, strict=False):
        assert np.abs(a - b).max() / np.abs(b).max() < TOLERANCES[dtype][name], name  # type: ignore[index]
