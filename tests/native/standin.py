"""A small artifact with a random encoder: real formats and a real graph, without training or torch."""

from __future__ import annotations

import pickle
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from regad.calib.gaussian import fit_statistics
from regad.export.scorer import write_scorer
from regad.runtime.backends.onnxruntime_cpu import OrtCpuBackend
from regad.runtime.detector import Detector, Result
from regad.runtime.formats.artifact import Artifact, Golden, write_artifact, write_golden
from regad.runtime.formats.category import Category, Threshold, save_category, tensors_of, tensors_sha256
from regad.runtime.formats.encodings import ENCODINGS as ENCODING_SHAPES
from regad.runtime.formats.encodings import Encoding, Form, Statistics, StatisticsDtype, cast_statistics, forms_of
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.formats.spec import EDGE_GROUPS, EPSILON, LEVELS, InputSpec, Levels
from regad.runtime.scoring.reference import Scorer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw

__all__ = ["ENCODINGS", "FORMS", "encoder", "judged", "photo", "screw", "write_category", "write_standin"]

ENCODINGS: tuple[Encoding, ...] = ("gram", "hybrid", "cholesky")
FORMS = forms_of(EDGE_GROUPS)
"""Every form that statistics can have; the artifact has a graph for each."""


def encoder() -> onnx.ModelProto:
    """Three strided convolutions with the names, shapes and types of a real ``encoder.onnx``."""
    rng = np.random.default_rng(0)
    constants: dict[str, NDArray[Any]] = {"scale": np.float32([255.0])}
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["m0"], perm=[0, 3, 1, 2]),
    ]
    channels = 3
    for index, level in enumerate(LEVELS, start=1):
        side = 4 if index == 1 else 2
        shape = (level.channels, channels, side, side)
        constants[f"w{index}"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        constants[f"s{index}"] = np.array([0, level.positions, level.channels], np.int64)
        nodes += [
            helper.make_node("Conv", [f"m{index - 1}", f"w{index}"], [f"c{index}"], strides=[side, side]),
            helper.make_node("Relu", [f"c{index}"], [f"m{index}"]),
            helper.make_node("Transpose", [f"m{index}"], [f"t{index}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"t{index}", f"s{index}"], [level.name]),
        ]
        channels = level.channels
    constants["w_theta"] = (0.01 * rng.standard_normal((256, 18))).astype(np.float32)
    constants["b_theta"] = np.tile(np.float32([1, 0, 0, 0, 1, 0]), 3)
    constants["s_theta"] = np.array([-1, 3, 2, 3], np.int64)
    nodes += [
        helper.make_node("ReduceMean", ["f3"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "w_theta", "b_theta"], ["flat"]),
        helper.make_node("Reshape", ["flat", "s_theta"], ["theta"]),
    ]
    outputs = [
        helper.make_tensor_value_info(level.name, TensorProto.FLOAT, ["B", level.positions, level.channels])
        for level in LEVELS
    ]
    outputs.append(helper.make_tensor_value_info("theta", TensorProto.FLOAT, ["B", 3, 2, 3]))
    graph = helper.make_graph(
        nodes,
        "standin",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 224, 224, 3])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def photo(seed: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """A smooth random picture with noise, uint8 RGB [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 40.0
    base = np.stack([np.sin(x + 0.1 * seed) + np.cos(y * (c + 1)) for c in range(3)], axis=2)
    noisy = 128 + 40 * base + 8 * rng.standard_normal((height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def screw(seed: int, pose: ScrewPose = UPRIGHT, height: int = 300, width: int = 300) -> NDArray[np.uint8]:
    """A drawn screw in the middle of a frame of its own ground."""
    part = draw_screw(np.random.default_rng(seed), pose, size=300)[0]
    frame = np.full((height, width, 3), np.median(part[0], axis=0), np.uint8)
    top, left = (height - 300) // 2, (width - 300) // 2
    frame[top : top + 300, left : left + 300] = part
    return frame


def write_standin(path: Path, statistics_dtype: StatisticsDtype = "fp32", scoring: Scoring | None = None) -> Artifact:
    """Write the artifact, golden file included, with scorer graphs that take statistics of a dtype.

    ``scoring`` is how parts taught on it are scored (default: as RegAD does).
    """
    manifest: dict[str, Any] = {
        "created": "2024-01-01T00:00:00+00:00",
        "producer": {"regad": "0", "torch": "0", "onnx": onnx.__version__, "python": "3"},
        "model": {"backbone": "standin", "stn_mode": "none", "checkpoint_sha256": "", "provenance": {}},
        "input": InputSpec().to_json(),
        "features": [{"name": level.name, "grid": level.grid, "channels": level.channels} for level in LEVELS],
        "epsilon": EPSILON,
        "dtype": "fp32",
        "statistics_dtype": statistics_dtype,
        "sampler": "gather",
        "alignment": "chained",
        "opset": 17,
        "ir_version": 8,
        "scorers": {form.name: f"scorer_{form.name}.onnx" for form in FORMS},
        "parity": [],
    }
    if scoring is not None:
        manifest["scoring"] = scoring.to_json()
    graph = encoder()
    onnx.checker.check_model(graph, full_check=True)
    files = {f"scorer_{form.name}.onnx": write_scorer(form, statistics_dtype).SerializeToString() for form in FORMS}
    files |= {"encoder.onnx": graph.SerializeToString(), "golden.safetensors": b""}
    backend = OrtCpuBackend(write_artifact(path, manifest, files), 1)
    views = np.stack([photo(seed, 224, 224) for seed in range(4)])
    statistics = fit_statistics(backend.features(views), "gram")
    images = np.stack([photo(seed, 224, 224) for seed in (11, 12, 13)])
    features = backend.features(images)
    maps, scores = Scorer(statistics).score(features)
    files["golden.safetensors"] = write_golden(Golden(images, features, statistics, maps, scores))
    return write_artifact(path, manifest, files)


def random_cholesky(rank: int, levels: Levels) -> Statistics:
    """Statistics of the cholesky form with random whitening: uniform numbers, for there are 120 million."""
    rng = np.random.default_rng(3)
    tensors = {}
    for name, shape in ENCODING_SHAPES["cholesky"](rank, levels).items():
        tensors[name] = rng.random(shape, np.float32)
        tensors[name] -= np.float32(0.5)
        tensors[name] *= np.float32(0.35)
    return Statistics("cholesky", rank, rank + 1, tensors, levels=levels)


@lru_cache(maxsize=1)
def _features(artifact: Path, first_photo: int) -> Features:
    """The features of 18 photos, which a category of each form is fitted to."""
    views = np.stack([photo(seed, 224, 224) for seed in range(first_photo, first_photo + 18)])
    return OrtCpuBackend(Artifact.open(artifact), 1).features(views)


def write_category(artifact: Artifact, path: Path, form: Form, first_photo: int = 0) -> None:
    """Fit 18 photos in one form and write the category file, and beside it PATH-fp16 with the same rounded.

    All levels are scored as RegAD does, f2 and f3 alone with a calibration and the mean of the largest distances.

    The threshold lies among the photos' scores. The rank of 17 has a row of x3 that is not stored whole.
    """
    # Fitting the cholesky form takes a minute; any numbers serve to compare two scorers.
    features = _features(artifact.path, first_photo)
    statistics = tuple(
        random_cholesky(features.f3.shape[0] - 1, levels)
        if encoding == "cholesky"
        else fit_statistics(features, encoding, levels=levels)
        for encoding, levels in zip(form.encodings, form.groups, strict=True)
    )
    scoring, calibration = Scoring(), None
    if form.groups == EDGE_GROUPS:
        scoring = SCORINGS["edge"]
        scale = np.float32(0.02) + 0.02 * np.random.default_rng(4).random((14, 14), np.float32)
        calibration = Calibration(scale, np.float32([20.0, 30.0]))
    for dtype in get_args(StatisticsDtype):
        stored = tuple(cast_statistics(group, dtype) for group in statistics)
        category = Category(
            artifact=artifact.hash,
            statistics=stored,
            threshold=Threshold(20.0, "manual"),
            spec=artifact.spec,
            shot=2,
            data_sha256=tensors_sha256(tensors_of(stored, calibration)),
            scoring=scoring,
            calibration=calibration,
        )
        save_category(category, path if dtype == "fp32" else path.with_stem(f"{path.stem}-{dtype}"))


def judged(artifact: Artifact, category: Path, images: list[NDArray[np.uint8]]) -> list[Result]:
    """Python's verdicts, kept beside the category for other tests of the same images and for a sanitized run."""
    kept = category.with_suffix(".verdicts")
    if not kept.exists():
        python = Detector.load(artifact.path)
        python.load_category(category)
        kept.write_bytes(pickle.dumps([python.predict(image) for image in images]))
    verdicts: list[Result] = pickle.loads(kept.read_bytes())
    return verdicts
