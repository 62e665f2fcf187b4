"""Encoders whose transforms are the identity: STNs and warps are left out of the graph, and the numbers stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regad.export.counts import encoder_counts
from regad.export.parity import run_graph
from regad.export.proof import count_onnx
from regad.export.reference import torch_features
from regad.export.samples import synthetic_images
from regad.export.stns import predicts_transforms
from regad.export.writer import encoder_model
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.features import Features
from regad.train.model.modes import STN_MODES

from .conftest import Exported, identity_encoder, random_encoder

IMAGES = synthetic_images(3, seed=5)


@pytest.mark.parametrize("mode", STN_MODES)
def test_what_registers(mode: str) -> None:
    assert predicts_transforms(random_encoder(mode))
    encoder = identity_encoder(mode)
    assert not predicts_transforms(encoder)
    last = encoder.stn2.fc[-1]
    with torch.no_grad():
        last.weight[0, 0] = 1e-30  # the least thing that an image could change
        assert predicts_transforms(encoder)
        last.weight[0, 0] = 0
        last.bias[0] += 1e-3
        assert predicts_transforms(encoder)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("opset", [16, 18])
def test_the_graph_has_no_warps_and_the_models_features(half: bool, opset: int) -> None:
    encoder = identity_encoder()
    model = encoder_model(encoder, opset=opset, half=half)
    assert count_onnx(model) == encoder_counts("fp16" if half else "fp32", "gather", registers=False)
    assert not {"Gather", "MatMul", "Gemm", "GridSample"} & {node.op_type for node in model.graph.node}
    assert not any(item.name.startswith("stn") for item in model.graph.initializer)
    expected = torch_features(encoder, IMAGES)
    for batch in (1, 3):
        got = Features(*run_graph(model, {"image": IMAGES[:batch]}))
        assert np.array_equal(got.theta, np.tile(np.eye(2, 3, dtype=np.float32), (batch, 3, 1, 1)))
        for a, b in zip(got[:3], expected[:3], strict=True):
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b[:batch], rtol=0, atol=(2e-2 if half else 1e-5) * np.abs(b).max())


def test_the_manifest_tells(exported: Exported, imagenet_artifact: Path) -> None:
    assert exported.artifact.manifest["transforms"] == "predicted"
    identity = Artifact.open(imagenet_artifact)
    assert identity.manifest["transforms"] == "identity"
    assert identity.manifest["operations"] == {"convolutions": {"fp32": 15}}
    assert not [row for row in identity.manifest["parity"] if row["output"].endswith("border")]
