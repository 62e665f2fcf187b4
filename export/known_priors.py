"""Priors that come with regad: what good scores look like with the weights that most models start from.

Learnt from 25 kinds of parts by the formulas of `regad.train.evaluation.prior`; docs/scoring.md has the measurements,
and what happens to a kind of part that had no say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from regad.runtime.formats.prior import Prior, Priors
from regad.runtime.formats.scoring import SCORINGS, Scoring
from regad.runtime.formats.spec import Dtype
from regad.train.model.checkpoint import Checkpoint
from regad.train.run.config import EDGE_FEATURES

__all__ = ["known_priors", "weights_sha256"]

_IMAGENET = "3b136a5ffa8c6c31d4ea97a902df16d73438b1ab06a0ae1ad0011888389451a4"
"""Of torchvision's ``ResNet18_Weights.IMAGENET1K_V1``, to layer3."""
_PRIORS = Priors(
    {
        2: Prior(-0.1156, 0.1183, 0.1161),
        4: Prior(-0.0721, 0.0864, 0.1281),
        8: Prior(-0.0292, 0.0962, 0.1503),
    },
    "25 kinds of parts, 375 support sets (docs/scoring.md)",
)


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the backbone's tensors in the order of their names: each name, then float32 values."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if not name.startswith("stn") and not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(state[name].float().numpy()).data)
    return digest.hexdigest()


def known_priors(checkpoint: Checkpoint, scoring: Scoring, dtype: Dtype, identity: bool) -> Priors | None:
    """Return what is known of this model's scores, or None: of other weights, features or transforms.

    ``identity``: the transforms are the identity, whatever the image. What was learnt in fp32 holds for fp16 and int8
    encoders too.
    """
    same = scoring == SCORINGS["edge"] and checkpoint.normalization == EDGE_FEATURES and identity
    if not same or weights_sha256(checkpoint.stn) != _IMAGENET:
        return None
    return _PRIORS.of_int8() if dtype == "int8" else _PRIORS
