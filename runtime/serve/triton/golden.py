"""The artifact's golden sample as a category: what a server makes of it is known to the training framework."""

from __future__ import annotations

from ...formats.artifact import Artifact
from ...formats.category import Category, tensors_of, tensors_sha256
from ...formats.encodings import cast_statistics
from ...formats.spec import InputSpec
from ...formats.threshold import Threshold

__all__ = ["GOLDEN", "golden_category"]

GOLDEN = "golden"
"""The name of that category in every repository."""


def golden_category(artifact: Artifact) -> Category:
    """Return the golden statistics as a category: whole frames, no limits, RegAD's score. Raises ArtifactError."""
    statistics = (cast_statistics(artifact.golden().statistics, artifact.statistics_dtype),)
    return Category(
        artifact.hash,
        statistics,
        Threshold(1.0, "manual", note="the artifact's golden sample: for the check of a server, of no part"),
        InputSpec(mean=artifact.spec.mean, std=artifact.spec.std),
        shot=1,
        data_sha256=tensors_sha256(tensors_of(statistics, None)),
    )
