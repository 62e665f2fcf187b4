"""Which models regad knows the good scores of, and that a model it does not know is told so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from regad.export.known_priors import known_priors, weights_sha256
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.normalization import PLAIN
from regad.runtime.formats.scoring import SCORINGS, scoring_for
from regad.runtime.formats.spec import InputSpec
from regad.train.model.checkpoint import Checkpoint
from regad.train.model.registration import RegistrationEncoder
from regad.train.model.weights import load_weights
from regad.train.run.config import EDGE_FEATURES

EDGE = SCORINGS["edge"]


@pytest.fixture(scope="module")
def checkpoint(data_dir: Path) -> Checkpoint:
    encoder = RegistrationEncoder("rotation_scale")
    load_weights(encoder, str(data_dir / "resnet18_imagenet.npz"))
    return Checkpoint(encoder.state_dict(), {}, {}, "rotation_scale", InputSpec(), normalization=EDGE_FEATURES)


def test_features_decide_the_scoring_where_none_is_named() -> None:
    assert scoring_for(PLAIN) == SCORINGS["regad"]
    assert scoring_for(EDGE_FEATURES) == EDGE


def test_imagenets_weights_are_known_whatever_the_transforms_were_made_with(checkpoint: Checkpoint) -> None:
    priors = known_priors(checkpoint, EDGE, "fp16", identity=True)
    assert priors is not None
    assert sorted(priors.shots) == [2, 4, 8]
    torch.manual_seed(1)
    other = {
        **checkpoint.stn,
        **{n: torch.randn_like(t) for n, t in checkpoint.stn.items() if n.startswith("stn1.conv.0")},
    }
    assert weights_sha256(other) == weights_sha256(checkpoint.stn)


def test_an_int8_encoder_has_the_priors_of_fp32_and_says_where_they_come_from(checkpoint: Checkpoint) -> None:
    plain, int8 = (known_priors(checkpoint, EDGE, dtype, identity=True) for dtype in ("fp32", "int8"))
    assert plain is not None and int8 is not None
    assert int8.shots == plain.shots
    assert int8.evidence == f"{plain.evidence}, learnt in fp32"


def test_another_model_is_not_known(checkpoint: Checkpoint) -> None:
    moved = {**checkpoint.stn, "layer3.1.bn2.bias": checkpoint.stn["layer3.1.bn2.bias"] + 1e-6}
    assert known_priors(replace(checkpoint, stn=moved), EDGE, "fp32", identity=True) is None
    assert known_priors(replace(checkpoint, normalization=PLAIN), EDGE, "fp32", identity=True) is None
    assert known_priors(checkpoint, SCORINGS["regad"], "fp32", identity=True) is None
    assert known_priors(checkpoint, EDGE, "fp32", identity=False) is None


def test_the_default_commands_make_an_artifact_with_the_scoring_and_its_priors(imagenet_artifact: Path) -> None:
    artifact = Artifact.open(imagenet_artifact)
    assert artifact.scoring == EDGE
    assert artifact.prior is not None
    assert "25 kinds of parts" in artifact.prior.evidence
