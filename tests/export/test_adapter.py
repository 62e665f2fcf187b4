"""The traceable encoder against the model, in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from regad.export.adapter import EncoderGraph
from regad.export.reference import torch_features
from regad.export.sampler import SAMPLERS
from regad.export.samples import synthetic_images
from regad.runtime.formats.features import Features
from regad.train.model.stn import STN_MODES

from .conftest import random_encoder

IMAGES = synthetic_images(2, seed=3)


@torch.no_grad()
def through_graph(graph: EncoderGraph) -> Features:
    return Features(*(output.numpy() for output in graph(torch.from_numpy(IMAGES))))


def assert_same(got: Features, expected: Features) -> None:
    for name, a, b in zip(Features._fields, got, expected, strict=True):
        assert a.dtype == np.float32, name
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("mode", STN_MODES)
def test_the_graph_is_the_model_in_every_mode(mode: str) -> None:
    encoder = random_encoder(mode, seed=len(mode))
    assert_same(through_graph(EncoderGraph(encoder)), torch_features(encoder, IMAGES))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_mean_and_std_are_part_of_the_graph(sampler: str) -> None:
    encoder = random_encoder(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    graph = EncoderGraph(encoder, sampler)
    assert graph.centres
    assert_same(through_graph(graph), torch_features(encoder, IMAGES))


def test_a_std_without_a_mean() -> None:
    encoder = random_encoder(mean=(0.0, 0.0, 0.0), std=(0.229, 0.5, 2.0))
    graph = EncoderGraph(encoder)
    assert not graph.centres
    assert_same(through_graph(graph), torch_features(encoder, IMAGES))


def test_batch_norms_are_folded_and_the_model_is_left_alone() -> None:
    encoder = random_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    graph = EncoderGraph(encoder)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in graph.modules())
    assert not graph.centres
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_two_images_give_two_transforms() -> None:
    theta = through_graph(EncoderGraph(random_encoder())).theta
    assert np.abs(theta[0] - theta[1]).max(axis=(1, 2)).min() > 1e-3
