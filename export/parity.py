"""The verified export: the same images through PyTorch and through the exported graphs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from regad.calib.gaussian import fit_statistics
from regad.calib.views import support_views
from regad.runtime.backends.ort import load_onnxruntime
from regad.runtime.errors import RegadError
from regad.runtime.formats.encodings import Encoding, Form, StatisticsDtype, form_of
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.formats.spec import Dtype
from regad.runtime.scoring.reference import Scorer, graph_tensors
from regad.runtime.selftest import TOLERANCES, Deviation, compare, tolerances
from regad.train.model.registration import RegistrationEncoder

from .reference import images_as_torch, scores, torch_features
from .stns import border_heavy, predicts_transforms, write_stns

__all__ = [
    "REMEDIES",
    "VERIFIED_ENCODINGS",
    "parity_table",
    "require_parity",
    "run_graph",
    "verify",
]

VERIFIED_ENCODINGS: tuple[Encoding, ...] = ("gram", "hybrid")
"""Fitting the third takes a minute and a gigabyte; its graph depends on no checkpoint, and the tests compare it."""
REMEDIES: Mapping[Dtype, str] = {
    "fp32": "report it with the checkpoint, or try --sampler gridsample",
    "fp16": "report it with the checkpoint, or export it as fp32",
    "int8": "calibrate and verify with photos like those it will see (--calib-images, --verify-images)",
}
"""What to do about an encoder that is too far from PyTorch."""
_BORDER: Mapping[Dtype, float] = {"fp32": 1.0, "fp16": 10.0}
"""By how much the tolerance grows in the rows marked "border": that copy of the model magnifies theta's own error."""
_Run = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[np.float32]]]


def run_graph(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
    """Run a graph once on ONNX Runtime's CPU provider; its outputs in order."""
    return _session(model)(inputs)


def _session(model: onnx.ModelProto) -> _Run:
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = session.run(None, dict(inputs))
        return outputs

    return run


def verify(
    encoder: RegistrationEncoder,
    model: onnx.ModelProto,
    scorers: Mapping[Form, onnx.ModelProto],
    images: NDArray[np.uint8],
    dtype: Dtype = "fp32",
    statistics: StatisticsDtype = "fp32",
    scoring: Scoring | None = None,
) -> list[Deviation]:
    """Compare every output of the graphs with PyTorch's in float32, on uint8 RGB images [B >= 2, 224, 224, 3].

    Features and transforms are compared for the model itself and, rows marked "border", for a copy whose transforms
    read far beyond the border: same graph, other values in the last STN layers of both (not for int8, whose ranges
    are those of the model itself, nor for a graph without STNs). Anomaly maps are those of all images but the first
    against the 22 support views of the first: the float64 reference on PyTorch's features against the graphs on the
    graph's features, support and query alike, as a device that teaches computes them. Rows marked "stored" compare
    fp16 statistics with fp32 ones. The gram graph of ``scoring``, where it is not RegAD's, is compared with the NumPy
    reference.
    """
    allowed = tolerances(dtype, statistics)
    run = _session(model)
    expected, got, checks = _compare_encoder(encoder, run, images[1:], allowed, "")
    views = support_views(images[0])
    taught = Features(*run({"image": views}))
    wanted = scores(torch_features(encoder, views), expected)
    checks += _compare_scorers(scorers, taught, got, wanted, statistics, allowed)
    if scoring is not None and scoring != Scoring():
        checks.extend(_compare_scoring(scorers, taught, got, scoring, statistics))
    if dtype not in _BORDER or not predicts_transforms(encoder):
        return checks
    border = border_heavy(encoder, images_as_torch(images[1:]))
    wider = {name: tolerance * _BORDER[dtype] for name, tolerance in allowed.items()}
    graph = copy.deepcopy(model)
    write_stns(graph, border)
    return checks + _compare_encoder(border, _session(graph), images[1:], wider, " border")[2]


def _compare_encoder(
    encoder: RegistrationEncoder, run: _Run, images: NDArray[np.uint8], allowed: Mapping[str, float], mark: str
) -> tuple[Features, Features, list[Deviation]]:
    expected = torch_features(encoder, images)
    got = Features(*run({"image": images}))
    checks = [
        compare(name + mark, getattr(got, name), getattr(expected, name), allowed[name]) for name in Features._fields
    ]
    return expected, got, checks


def _compare_scorers(
    scorers: Mapping[Form, onnx.ModelProto],
    support: Features,
    query: Features,
    expected: tuple[NDArray[np.float32], NDArray[np.float32]],
    dtype: StatisticsDtype,
    allowed: Mapping[str, float],
) -> list[Deviation]:
    names = ("anomaly_map", "anomaly_score")
    features = {name: getattr(query, name) for name in ("f1", "f2", "f3")}
    checks = []
    for encoding in VERIFIED_ENCODINGS:
        taught = fit_statistics(support, encoding, dtype)
        outputs = run_graph(scorers[Form(encoding)], {**features, **graph_tensors(taught, dtype)})
        mark = "" if encoding == "gram" else f" {encoding}"
        pairs = [(mark, expected)]
        if dtype == "fp16":
            pairs.append((f"{mark} stored", Scorer(fit_statistics(support, encoding)).score(query)))
        checks += [
            compare(name + suffix, output, value, allowed[name])
            for suffix, values in pairs
            for name, output, value in zip(names, outputs, values, strict=True)
        ]
    return checks


def _compare_scoring(
    scorers: Mapping[Form, onnx.ModelProto],
    support: Features,
    query: Features,
    scoring: Scoring,
    dtype: StatisticsDtype,
) -> Iterator[Deviation]:
    """Compare what ``scoring`` makes of the same features: the graph of the gram form with the NumPy reference."""
    taught = tuple(fit_statistics(support, "gram", dtype, levels) for levels in scoring.groups)
    calibration = None
    if scoring.damping is not None:
        scale = np.linspace(0.02, 0.08, scoring.grid**2, dtype=np.float32).reshape(scoring.grid, scoring.grid)
        calibration = Calibration(scale, np.full(len(scoring.groups), 20, np.float32))
    features = {name: getattr(query, name) for levels in scoring.groups for name in levels}
    judged = graph_tensors(taught, dtype, scoring, calibration)
    outputs = run_graph(scorers[form_of(taught)], {**features, **judged})
    wanted = Scorer(taught, scoring, calibration).score(query)
    for name, output, value in zip(("anomaly_map", "anomaly_score"), outputs, wanted, strict=True):
        yield compare(f"{name} {scoring.map}", output, value, TOLERANCES["fp32"][name])


def parity_table(checks: Sequence[Deviation]) -> str:
    """Lay the comparison out, one row an output; "relative" is to the largest expected magnitude."""
    lines = [f"{'output':<22}{'max abs':>10}{'relative':>11}{'tolerance':>11}  verdict"]
    for check in checks:
        verdict = "ok" if check.ok else "BEYOND TOLERANCE"
        lines.append(
            f"{check.output:<22}{check.max_abs:>10.1e}{check.max_rel:>11.1e}{check.tolerance:>11.1e}  {verdict}"
        )
    return "\n".join(lines)


def require_parity(checks: Sequence[Deviation], dtype: Dtype = "fp32") -> None:
    """Raise RegadError, naming the outputs, if any is beyond its tolerance."""
    failed = [
        f"{check.output} by {check.max_rel:.1e} (allowed {check.tolerance:.0e})" for check in checks if not check.ok
    ]
    if failed:
        raise RegadError(
            f"the exported graph differs from PyTorch: {', '.join(failed)}; nothing was written: {REMEDIES[dtype]}"
        )
