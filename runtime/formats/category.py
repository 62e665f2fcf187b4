"""The statistics of a category and its file: the only reader and writer of ``part.safetensors``.

Three exact encodings of the same Gaussian per position exist (see ARCHITECTURE.md for the equations); `ENCODINGS`
says which tensors each one stores.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..errors import CategoryError, InputError
from .atomic import atomic_write
from .memory import padded
from .spec import EPSILON, LEVELS, InputSpec

__all__ = [
    "ENCODINGS",
    "Category",
    "Encoding",
    "Statistics",
    "StatisticsDtype",
    "Support",
    "Threshold",
    "cast_statistics",
    "load_category",
    "packed_length",
    "save_category",
    "staircase",
    "statistics_bytes",
    "stored_dtype",
]

FORMAT = "regad-category"
VERSION = 2

Encoding = Literal["gram", "hybrid", "cholesky"]
StatisticsDtype = Literal["fp32", "fp16"]
"""How the statistics are stored; they are widened exactly and everything is computed in float32."""
Method = Literal["leave-one-out", "validation", "manual"]
_Shapes = dict[str, tuple[int, ...]]
_P1, _P2, _P3 = (level.positions for level in LEVELS)
_C1, _C2, _C3 = (level.channels for level in LEVELS)
_STEP = 16  # as many values as the widest register of the kernels
_MEANS: _Shapes = {"mean1": (_P1, _C1), "mean2": (_P2, _C2), "mean3": (_P3, _C3)}


def packed_length(size: int) -> int:
    """Number of values in the lower triangle of a ``size`` x ``size`` matrix."""
    return size * (size + 1) // 2


def staircase(rank: int) -> NDArray[np.bool_]:
    """Return which values of x3 are stored, bool [rank, 256]; x3_packed is x3 [196, rank, 256] at these.

    x3 is upper trapezoidal. Of 16 rows at a time the columns left of the first one's diagonal are left out: they are
    zero. From row 256 on nothing is stored.
    """
    stored: NDArray[np.bool_] = np.arange(_C3) >= np.arange(rank)[:, None] // _STEP * _STEP
    return stored


def _views(rank: int) -> _Shapes:
    return {"x1": (_P1, rank, _C1), "x2": (_P2, rank, _C2), "x3_packed": (_P3, int(staircase(min(rank, _C3)).sum()))}


ENCODINGS: Mapping[Encoding, Callable[[int], _Shapes]] = {
    "gram": lambda rank: {**_MEANS, **_views(rank), "l_packed": (_P1, packed_length(rank))},
    "hybrid": lambda rank: {
        **_MEANS,
        **_views(rank),
        "l_packed": (_P2, packed_length(rank)),
        "w1_packed": (_P1, packed_length(_C1)),
    },
    "cholesky": lambda rank: {
        **_MEANS,
        "w3_packed": (_P3, packed_length(_C3)),
        "w2_cross": (_P2, _C2, _C3),
        "w2_packed": (_P2, packed_length(_C2)),
        "w1_cross": (_P1, _C1, _C3 + _C2),
        "w1_packed": (_P1, packed_length(_C1)),
    },
}
"""Tensor names and shapes of each encoding as a function of the rank (number of views - 1)."""


def stored_dtype(name: str, dtype: StatisticsDtype) -> np.dtype[Any]:
    """NumPy's dtype of tensor ``name`` in statistics stored as ``dtype``: the means stay float32, they are small."""
    return np.dtype(np.float16 if dtype == "fp16" and name not in _MEANS else np.float32)


def statistics_bytes(encoding: Encoding, rank: int, dtype: StatisticsDtype = "fp32") -> int:
    """Size of the statistics in bytes."""
    shapes = ENCODINGS[encoding](rank)
    return sum(stored_dtype(name, dtype).itemsize * math.prod(shape) for name, shape in shapes.items())


@dataclass(frozen=True)
class Statistics:
    """GaussianStats of every position: ``tensors`` named and shaped by ``ENCODINGS[encoding](rank)``.

    Each has the dtype of `stored_dtype`. ``views`` is N, the number of support views; ``rank`` is N - 1. Raises
    CategoryError if a tensor is missing, of another shape or dtype, or not finite.
    """

    encoding: Encoding
    rank: int
    views: int
    tensors: Mapping[str, NDArray[np.floating[Any]]]
    dtype: StatisticsDtype = "fp32"

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise CategoryError(f"encoding is {self.encoding!r}; expected one of {', '.join(get_args(Encoding))}")
        if self.dtype not in get_args(StatisticsDtype):
            raise CategoryError(f"dtype is {self.dtype!r}; expected one of {', '.join(get_args(StatisticsDtype))}")
        if self.views < 2 or self.rank != self.views - 1:
            raise CategoryError(f"rank is {self.rank} with {self.views} views; expected the number of views less one")
        shapes = ENCODINGS[self.encoding](self.rank)
        if set(shapes) != set(self.tensors):
            raise CategoryError(f"tensors are {sorted(self.tensors)}; {self.encoding} needs {sorted(shapes)}")
        for name, shape in shapes.items():
            tensor, wanted = self.tensors[name], stored_dtype(name, self.dtype)
            if tensor.dtype != wanted or tensor.shape != shape:
                raise CategoryError(
                    f"tensor {name} is {tensor.dtype} {list(tensor.shape)}; expected {wanted} {list(shape)}"
                )
            # A sum is finite only if every value is: one pass without a mask of the tensor's size.
            if not np.isfinite(tensor.sum(dtype=np.float64)):
                raise CategoryError(f"tensor {name} holds values that are not finite")


def cast_statistics(statistics: Statistics, dtype: StatisticsDtype) -> Statistics:
    """Return the statistics stored as ``dtype``: exact to fp32, rounded to fp16. Raises CategoryError on overflow."""
    with np.errstate(over="ignore"):
        tensors = {
            name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in statistics.tensors.items()
        }
    return replace(statistics, tensors=tensors, dtype=dtype)


@dataclass(frozen=True)
class Threshold:
    """The decision limit on the anomaly score, and the evidence behind it.

    ``scores`` are the held-out normal scores it was set from; ``note`` says in a sentence how far to trust it.
    """

    value: float
    method: Method
    target_frr: float | None = None
    scores: tuple[float, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value <= 0:
            raise InputError(f"threshold is {self.value}; expected a finite value above 0")
        if self.method not in get_args(Method):
            raise InputError(f"threshold method is {self.method!r}; expected one of {', '.join(get_args(Method))}")


@dataclass(frozen=True)
class Support:
    """One support image: its file name (or position) and the sha256 of what was read."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Category:
    """Everything taught about one part: statistics, threshold, and where they come from.

    ``artifact`` is the hash of the artifact whose features they are; ``spec`` the preprocessing they were taught with.
    """

    artifact: str
    statistics: Statistics
    threshold: Threshold
    spec: InputSpec
    shot: int
    support: tuple[Support, ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    created: str = ""
    data_sha256: str = ""

    @property
    def hash(self) -> str:
        """Short identity of the category for records: the first 16 digits of the statistics' sha256."""
        return self.data_sha256[:16]


def tensors_sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 over the tensors in the order of their names: each name, then its little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data.cast("B"))
    return digest.hexdigest()


def _meta(category: Category) -> dict[str, Any]:
    stats = category.statistics
    return {
        "artifact": category.artifact,
        "encoding": stats.encoding,
        "shot": category.shot,
        "views": stats.views,
        "rank": stats.rank,
        "epsilon": EPSILON,
        "dtype": stats.dtype,
        "data_sha256": category.data_sha256,
        "input": category.spec.to_json(),
        "threshold": asdict(category.threshold),
        "support": [asdict(item) for item in category.support],
        "software": dict(category.software),
        "device": category.device,
        "created": category.created,
    }


def save_category(category: Category, path: str | Path) -> None:
    """Write a category file atomically. Raises OutputError; nothing half-written is left."""
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "meta": json.dumps(_meta(category), sort_keys=True),
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in category.statistics.tensors.items()}
    atomic_write(Path(path), safetensors.numpy.save(tensors, metadata))


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[np.floating[Any]]]]:
    """Metadata and tensors of a safetensors file whose metadata says it is a category of this version."""
    teach = "make one with: regad-calib --model ARTIFACT --support DIR --out FILE"
    if not path.is_file():
        raise CategoryError(f"{path} is not a file; expected a category file: {teach}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format", "no format mark")
                raise CategoryError(f"{path} is not a category file (found {found}); {teach}")
            if metadata.get("version") != str(VERSION):
                raise CategoryError(
                    f"{path} has category version {metadata.get('version')}; this program reads version {VERSION}: "
                    "teach the part again with regad-calib, or update regad"
                )
            return metadata, {name: padded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise CategoryError(f"{path} is damaged or not a category file ({error}); {teach}") from error


def _parse(path: Path, metadata: Mapping[str, str], tensors: dict[str, NDArray[np.floating[Any]]]) -> Category:
    meta = json.loads(metadata["meta"])
    if meta["data_sha256"] != tensors_sha256(tensors):
        raise CategoryError(f"{path} is damaged: its statistics do not match their sha256; copy or teach it again")
    if meta["epsilon"] != EPSILON:
        raise CategoryError(f"{path} has epsilon {meta['epsilon']}; expected {EPSILON}")
    threshold = dict(meta["threshold"], scores=tuple(float(score) for score in meta["threshold"]["scores"]))
    return Category(
        artifact=str(meta["artifact"]),
        statistics=Statistics(meta["encoding"], int(meta["rank"]), int(meta["views"]), tensors, meta["dtype"]),
        threshold=Threshold(**threshold),
        spec=InputSpec.from_json(meta["input"]),
        shot=int(meta["shot"]),
        support=tuple(Support(**item) for item in meta["support"]),
        software=meta["software"],
        device=str(meta["device"]),
        created=str(meta["created"]),
        data_sha256=str(meta["data_sha256"]),
    )


def load_category(path: str | Path, artifact: str | None = None) -> Category:
    """Read and check a category file; with ``artifact`` (a hash), also that it was taught on that artifact.

    Raises CategoryError, with the remedy, for a file that is missing, truncated, of another format or version,
    altered, not finite, or of another artifact.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    try:
        category = _parse(path, metadata, tensors)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise CategoryError(f"{path} has malformed metadata ({error}); teach the part again: regad-calib") from error
    except CategoryError as error:
        raise (error if str(path) in str(error) else CategoryError(f"{path}: {error}; teach it again")) from error
    if artifact is not None and category.artifact != artifact:
        raise CategoryError(
            f"{path} was taught on artifact {category.artifact[:12]}, but this one is {artifact[:12]}; "
            "teach the part on it: regad-calib --model ARTIFACT --support DIR --out FILE"
        )
    return category
