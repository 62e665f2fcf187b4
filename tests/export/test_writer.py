"""The written graphs: contents, audit, and the same numbers as the model."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from regad.export.parity import run_graph
from regad.export.reference import images_as_torch, torch_features
from regad.export.samples import synthetic_images
from regad.export.stns import border_heavy, write_stns
from regad.export.writer import audit, check_opset, encoder_model
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.features import Features
from regad.train.model.registration import RegistrationEncoder

from .conftest import Exported, affine_encoder, normalized, random_encoder

IMAGES = synthetic_images(3, seed=4)


def assert_close(got: Features, expected: Features) -> None:
    for name, a, b in zip(Features._fields, got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_graph_gives_the_models_features_at_any_batch(exported: Exported, batch: int) -> None:
    images = IMAGES[:batch]
    got = Features(*run_graph(exported.model(), {"image": images}))
    assert [f.shape for f in got] == [(batch, 3136, 64), (batch, 784, 128), (batch, 196, 256), (batch, 3, 2, 3)]
    assert_close(got, torch_features(exported.encoder, images))


def test_two_images_give_two_transforms(exported: Exported) -> None:
    theta = run_graph(exported.model(), {"image": IMAGES})[3]
    assert np.abs(theta[0] - theta[1]).max(axis=(1, 2)).min() > 1e-3


def test_what_the_graph_holds(exported: Exported) -> None:
    model = exported.model()
    operators = {node.op_type for node in model.graph.node}
    assert {"Conv", "Gather"} <= operators
    assert not operators & {"GridSample", "AffineGrid", "BatchNormalization", "GatherND", "GatherElements"}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 9
    (image,) = model.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [value.name for value in model.graph.output] == ["f1", "f2", "f3", "theta"]
    assert "layer2.0.downsample.0.weight" in {item.name for item in model.graph.initializer}


def test_the_graph_tells_nothing_of_the_machine_it_was_made_on(exported: Exported) -> None:
    model = exported.model()
    for item in model.graph.initializer:
        item.ClearField("raw_data")
    text = str(model)
    assert not any(trace in text for trace in ("site-packages", "stack_trace", ".py", "/home", "/work", "/tmp"))


def test_a_collapsed_transform_gives_finite_features(exported: Exported) -> None:
    flat = random_encoder()
    with torch.no_grad():
        for stn in (flat.stn1, flat.stn2, flat.stn3):
            stn.fc[-1].weight.zero_()
            stn.fc[-1].bias.zero_()
    model = exported.model()
    write_stns(model, flat)
    assert all(np.isfinite(output).all() for output in run_graph(model, {"image": IMAGES[:1]}))


def test_gridsample_at_opset_16_in_another_mode(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = normalized(affine_encoder())
    with caplog.at_level(logging.WARNING):
        model = encoder_model(encoder, "gridsample", 16)
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")
    assert model.opset_import[0].version == 16
    modes = {
        helper.get_attribute_value(attribute)
        for node in model.graph.node
        if node.op_type == "GridSample"
        for attribute in node.attribute
        if attribute.name == "mode"
    }
    assert modes == {b"bilinear"}
    heavy = border_heavy(encoder, images_as_torch(IMAGES))
    for encoder_ in (encoder, heavy):
        write_stns(model, encoder_)
        assert_close(Features(*run_graph(model, {"image": IMAGES})), torch_features(encoder_, IMAGES))


@pytest.mark.parametrize(("sampler", "opset"), [("gather", 15), ("gather", 21), ("gridsample", 20), ("nearest", 18)])
def test_impossible_requests_are_refused_before_any_work(sampler: str, opset: int) -> None:
    with pytest.raises(InputError, match="expected one of" if sampler == "nearest" else "is written at 16 to"):
        check_opset(sampler, opset)


def small_model(
    op_type: str, opset: int = 18, domain: str = "", ir_version: int = 9, batch: object = "b"
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [batch, 2])
    result = helper.make_tensor_value_info("f1", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(op_type, ["image"], ["f1"], domain=domain)], "small", [value], [result])
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (small_model("AffineGrid", 20), "AffineGrid"),
        (small_model("GridSample", 20), "samples NEAREST"),
        (small_model("Warp", domain="com.example"), "com.example"),
        (small_model("Relu", ir_version=10), "IR version 10"),
        (small_model("Relu", batch=1), "fixed batch"),
    ],
    ids=["affine-grid", "grid-sample-20", "domain", "ir", "batch"],
)
def test_the_audit_refuses(model: onnx.ModelProto, fault: str) -> None:
    with pytest.raises(RegadError, match=fault):
        audit(model)


def test_the_audit_refuses_local_functions() -> None:
    model = small_model("Relu")
    model.functions.append(helper.make_function("local", "F", ["x"], ["y"], [], [helper.make_opsetid("", 18)]))
    with pytest.raises(RegadError, match="local functions"):
        audit(model)


@pytest.mark.parametrize(("operator", "opset"), [("Relu", 18), ("GridSample", 19)])
def test_the_audit_passes(operator: str, opset: int) -> None:
    audit(small_model(operator, opset))


@torch.no_grad()
def test_border_heavy_moves_far_and_stays_invertible() -> None:
    images = images_as_torch(IMAGES)
    for mode in ("affine", "rotation_scale"):
        fresh = RegistrationEncoder(mode).eval()
        theta = torch.stack(list(border_heavy(fresh, images)(images).thetas), 1)
        identity = torch.stack(list(fresh(images).thetas), 1)
        assert float((theta - identity).abs().amax((2, 3)).min()) > 0.1, mode
        assert float(torch.linalg.det(theta[..., :2]).abs().min()) > 0.05, mode
        assert float((theta[0] - theta[1]).abs().amax((1, 2)).min()) > 1e-4, mode
