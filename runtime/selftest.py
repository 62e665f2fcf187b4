"""The golden self-test: does this machine compute what the training framework computed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, Precision
from .errors import ArtifactError
from .formats.artifact import Artifact
from .formats.encodings import StatisticsDtype, cast_statistics
from .formats.features import Features
from .formats.spec import Dtype

__all__ = ["PRECISIONS", "TOLERANCES", "Deviation", "compare", "compare_golden", "self_test", "tolerances", "worst_of"]

TOLERANCES: Mapping[Dtype, Mapping[str, float]] = {
    "fp32": {"f1": 1e-3, "f2": 1e-3, "f3": 1e-3, "theta": 2e-4, "anomaly_map": 1e-3, "anomaly_score": 1e-3},
    "fp16": {"f1": 2e-2, "f2": 2e-2, "f3": 2e-2, "theta": 2e-3, "anomaly_map": 1e-2, "anomaly_score": 1e-2},
    "int8": {"f1": 3e-1, "f2": 3e-1, "f3": 3e-1, "theta": 5e-2, "anomaly_map": 2e-1, "anomaly_score": 2e-1},
}
"""Largest allowed error of each output by the encoder's dtype, relative to the largest expected magnitude in float32.

In fp32 rounding alone gives features 1e-5 with gentle transforms and up to 3e-4 where trained ones are far from the
identity, since theta's own rounding moves the sampled positions; a wrong sampler, resize or colour order gives 1e-2 and
more. In fp16 features are off by 1e-3 to 3e-3 and anomaly maps by 1e-3; in int8 the largest error is that of a value
outside the measured range, 5e-2 to 2.5e-1, and anomaly maps are off by 5e-2.
"""

PRECISIONS: Mapping[Precision, Mapping[str, float]] = {
    "f32": {},
    "bf16": {"f1": 1e-1, "f2": 1e-1, "f3": 1e-1, "anomaly_map": 5e-2, "anomaly_score": 5e-2},
    "f16": TOLERANCES["fp16"],
}
"""The same for a device that computes in less than its graph says, where the transforms are the identity.

bf16 keeps 8 bits: features are off by 5e-3 to 1.3e-2, anomaly maps by 4e-3. Predicted transforms are refused: theta is
then off by 4e-3, and f1 by 6e-1, since it samples other places.
"""


def tolerances(dtype: Dtype, statistics: StatisticsDtype = "fp32", precision: Precision = "f32") -> dict[str, float]:
    """Return `TOLERANCES` of an encoder, at least those of the device's ``precision``.

    fp16 statistics allow the maps and scores at least what fp16 allows.
    """
    allowed = [TOLERANCES[dtype], PRECISIONS[precision]]
    if statistics == "fp16":
        allowed.append({output: TOLERANCES["fp16"][output] for output in ("anomaly_map", "anomaly_score")})
    return {output: max(table.get(output, 0.0) for table in allowed) for output in TOLERANCES[dtype]}


class Deviation(NamedTuple):
    """One output's largest absolute error, the same relative to the largest expected magnitude, and the verdict."""

    output: str
    max_abs: float
    max_rel: float
    tolerance: float
    ok: bool

    def __str__(self) -> str:
        """Like ``theta is off by 1.0e-03, allowed 2e-04``."""
        return f"{self.output} is off by {self.max_rel:.1e}, allowed {self.tolerance:.0e}"


def compare(output: str, got: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float) -> Deviation:
    """Compare an output with its expected value; a wrong shape or a value that is not finite never passes."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return Deviation(output, float("inf"), float("inf"), tolerance, False)
    error = float(np.abs(got.astype(np.float64) - expected).max())
    relative = error / max(float(np.abs(expected).max()), 1e-12)
    return Deviation(output, error, relative, tolerance, relative <= tolerance)


def compare_golden(artifact: Artifact, backend: Backend, *, batch: int | None = None) -> list[Deviation]:
    """Run the artifact's golden inputs through ``backend`` and compare every output with what is expected.

    ``batch`` images go in at once (None: all); what a backend holds on to for its largest batch stays in memory.
    """
    golden = artifact.golden()
    step = batch or len(golden.images)
    pieces = [golden.images[start : start + step] for start in range(0, len(golden.images), step)]
    features = [backend.features(piece) for piece in pieces]
    statistics = backend.prepare(cast_statistics(golden.statistics, artifact.statistics_dtype))
    done = [backend.infer(piece, statistics) for piece in pieces]
    allowed = tolerances(artifact.dtype, artifact.statistics_dtype, backend.precision)

    def check(name: str, got: Sequence[Any], expected: Any) -> Deviation:
        whole = np.concatenate([getattr(piece, name) for piece in got])
        return compare(name, whole, getattr(expected, name), allowed[name])

    checks = [check(name, features, golden.features) for name in Features._fields]
    return [*checks, *(check(name, done, golden) for name in ("anomaly_map", "anomaly_score"))]


def worst_of(checks: Sequence[Deviation]) -> Deviation:
    """The output that comes nearest to its tolerance, or is farthest beyond it."""
    return max(checks, key=lambda check: check.max_rel / check.tolerance)


def self_test(artifact: Artifact, backend: Backend, *, batch: int | None = None) -> list[Deviation]:
    """`compare_golden`; raises ArtifactError if an output is beyond its tolerance."""
    checks = compare_golden(artifact, backend, batch=batch)
    worst = worst_of(checks)
    if not worst.ok:
        raise ArtifactError(
            f"{artifact.path} fails its self-test on {backend.name}: {worst}",
            remedy="do not trust its verdicts: export it again or report the device",
            code="self-test",
        )
    return checks
