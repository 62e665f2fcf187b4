"""The encoder's graph against the model in PyTorch, in every mode of its STNs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from regad.export.encoder import write_encoder
from regad.export.parity import run_graph
from regad.export.reference import torch_features
from regad.export.sampler import SAMPLERS, GatherSampler
from regad.export.samples import synthetic_images
from regad.export.writer import MIN_OPSET, encoder_model
from regad.runtime.formats.features import Features
from regad.train.model.modes import STN_MODES

from .conftest import random_encoder

IMAGES = synthetic_images(2, seed=3)


def through(model: onnx.ModelProto) -> Features:
    return Features(*run_graph(model, {"image": IMAGES}))


def assert_same(got: Features, expected: Features) -> None:
    for name, a, b in zip(Features._fields, got, expected, strict=True):
        assert a.dtype == np.float32, name
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max(), err_msg=name)


def shifts(model: onnx.ModelProto) -> bool:
    """Whether anything is added to the pixels before the first convolution."""
    operators = [node.op_type for node in model.graph.node]
    return "Add" in operators[: operators.index("Conv")]


@pytest.mark.parametrize("mode", STN_MODES)
def test_the_graph_is_the_model_in_every_mode(mode: str) -> None:
    encoder = random_encoder(mode, seed=len(mode))
    assert_same(through(write_encoder(encoder)), torch_features(encoder, IMAGES))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_mean_and_std_are_part_of_the_graph(sampler: str) -> None:
    encoder = random_encoder(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    model = write_encoder(encoder, sampler)
    assert shifts(model)
    assert_same(through(model), torch_features(encoder, IMAGES))


def test_a_std_without_a_mean() -> None:
    encoder = random_encoder(mean=(0.0, 0.0, 0.0), std=(0.229, 0.5, 2.0))
    model = write_encoder(encoder)
    assert not shifts(model)
    assert_same(through(model), torch_features(encoder, IMAGES))


def test_batch_norms_are_folded_and_the_model_is_left_alone() -> None:
    encoder = random_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = write_encoder(encoder)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert not shifts(model)
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_is_written_that_nothing_reads() -> None:
    for model in (write_encoder(random_encoder()), write_encoder(random_encoder("affine"), "gridsample", half=True)):
        graph = model.graph
        read = [name for node in graph.node for name in node.input] + [value.name for value in graph.output]
        made = [name for node in graph.node for name in node.output] + [item.name for item in graph.initializer]
        assert set(made) | {"image"} == set(read)
        assert len(made) == len(set(made))


def test_layers_of_equal_values_stay_layers_of_their_own() -> None:
    encoder = random_encoder()
    encoder.stn3.fc[-1].load_state_dict(encoder.stn1.fc[-1].state_dict())
    values = {item.name: numpy_helper.to_array(item) for item in write_encoder(encoder).graph.initializer}
    assert np.array_equal(values["stn1.fc.2.weight"], values["stn3.fc.2.weight"])


@pytest.mark.parametrize("opset", [MIN_OPSET, GatherSampler.max_opset])
def test_a_graph_means_the_same_at_every_opset(opset: int) -> None:
    encoder = random_encoder()
    for a, b in zip(through(encoder_model(encoder, opset=opset)), through(write_encoder(encoder)), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_graph_may_be_fixed_to_one_image(sampler: str) -> None:
    """All shapes are known then, and each operator's inputs are checked: those of a Range must be scalars."""
    model = write_encoder(random_encoder(), sampler)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    fixed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    got = run_graph(fixed, {"image": IMAGES[:1]})
    for a, b in zip(got, run_graph(write_encoder(random_encoder(), sampler), {"image": IMAGES[:1]}), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_numbers_are_scalars() -> None:
    model = write_encoder(random_encoder())
    shapes = {item.name: list(item.dims) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Range", "Clip"):
            assert [shapes[name] for name in node.input if name in shapes] == [[], []]


def test_two_images_give_two_transforms() -> None:
    theta = through(write_encoder(random_encoder())).theta
    assert np.abs(theta[0] - theta[1]).max(axis=(1, 2)).min() > 1e-3
