"""A category, what was taught about one part, and its file: the only reader and writer of ``part.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ..errors import CategoryError, InputError
from .atomic import atomic_write
from .encodings import ENCODINGS, Encoding, Statistics, StatisticsGroups, grouped, levels_of
from .json_text import parse
from .limits import Limits, limits_from_json, limits_to_json
from .memory import padded
from .registration import FEATURE, Registration, Tried, preparation_of
from .requires import check_requires
from .scoring import Calibration, Scoring
from .spec import EPSILON, InputSpec, Levels
from .threshold import Method, Threshold

__all__ = [
    "Category",
    "Method",
    "SupportImage",
    "Threshold",
    "load_category",
    "registration_text",
    "save_category",
    "tensors_of",
    "tensors_sha256",
]

FORMAT = "regad-category"
VERSION = 3
_CALIBRATION = Calibration._fields


@dataclass(frozen=True)
class SupportImage:
    """One support image: its file name (or position) and the sha256 of what was read."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Category:
    """Everything taught about one part: statistics, threshold, limits, and where they come from.

    ``artifact`` is the hash of the artifact whose features they are; ``spec`` the preprocessing they were taught with.
    ``limits`` says what a frame that shows the part looks like, ``notes`` what is odd about the support images, one
    line each. ``scoring`` says how distances become a score, by the ``calibration`` where it has a damping. Frames are
    laid on the first support image by the ``registration``, where there is one; ``tried`` says what that rests on, or
    why there is none. Raises CategoryError where the scoring, its calibration and the groups of the ``statistics`` do
    not belong together.
    """

    artifact: str
    statistics: StatisticsGroups
    threshold: Threshold
    spec: InputSpec
    shot: int
    support: tuple[SupportImage, ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    created: str = ""
    data_sha256: str = ""
    limits: Limits = field(default_factory=dict)
    scoring: Scoring = field(default_factory=Scoring)
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()
    registration: Registration | None = None
    tried: Tried | None = None

    def __post_init__(self) -> None:
        try:
            self.scoring.require_groups(levels_of(grouped(self.statistics)))
            self.scoring.check(self.calibration)
        except InputError as error:
            raise CategoryError(str(error)) from error

    @property
    def hash(self) -> str:
        """Short identity of the category for records: the first 16 digits of the tensors' sha256."""
        return self.data_sha256[:16]

    @property
    def preparation(self) -> str:
        """Identity of what makes the encoder's input of a frame: see `preparation_of`."""
        return preparation_of(self.spec, self.registration)

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """What the file holds: the tensors of the statistics, and of calibration and registration, if any."""
        return tensors_of(self.statistics, self.calibration, self.registration)

    @property
    def encoding(self) -> str:
        """The encoding of each group, like ``gram`` or ``cholesky+gram``."""
        return "+".join(group.encoding for group in self.statistics)


def tensors_of(
    statistics: StatisticsGroups, calibration: Calibration | None, registration: Registration | None = None
) -> Mapping[str, NDArray[Any]]:
    """Return the tensors of a category's file: those of the statistics, calibration and registration."""
    own = {} if calibration is None else calibration._asdict()
    part = {} if registration is None else registration.tensors
    return {**{name: value for group in statistics for name, value in group.tensors.items()}, **own, **part}


def tensors_sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 over the tensors in the order of their names: each name, then its little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data.cast("B"))
    return digest.hexdigest()


def _meta(category: Category) -> dict[str, Any]:
    stats = category.statistics[0]
    return {
        "requires": [] if category.registration is None else [FEATURE],
        "artifact": category.artifact,
        "encoding": category.encoding,
        "shot": category.shot,
        "views": stats.views,
        "rank": stats.rank,
        "epsilon": EPSILON,
        "dtype": stats.dtype,
        "data_sha256": category.data_sha256,
        "input": category.spec.to_json(),
        "limits": limits_to_json(category.limits),
        "scoring": category.scoring.to_json(),
        "registration": None if category.registration is None else category.registration.to_json(),
        "registration_tried": None if category.tried is None else category.tried.to_json(),
        "threshold": category.threshold.to_json(),
        "notes": list(category.notes),
        "support": [asdict(item) for item in category.support],
        "software": dict(category.software),
        "device": category.device,
        "created": category.created,
    }


def registration_text(category: Category) -> str:
    """Say whether a category registers its part, and on what that rests; "" where nobody asked."""
    tried = category.tried
    if tried is None:
        return ""
    least = round(min(tried.qualities), 2) + 0.0  # not "-0.00"
    match = f"the photos match the first one at {least:.2f} to {max(tried.qualities):.2f}"
    ways = f", at another angle at up to {max(tried.rivals):.2f}" if tried.rivals else ""
    if tried.detours:
        ways += f"; laid by way of another photo they shift by up to {max(tried.detours):.1f} pixels"
    held = doubt = ""
    if tried.without is not None and tried.registered is not None:
        held = f"; registered to it they are {tried.registered / tried.without:.2f} times as far from each other"
    if category.registration is not None and tried.asked == "auto" and len(tried.qualities) == 1:
        doubt = ". Two photos do not show that the part is not round: add a third, or use --register off if it is"
    return f"{'off' if category.registration is None else 'on'} ({tried.asked}): {match}{ways}{held}{doubt}"


def save_category(category: Category, path: str | Path) -> None:
    """Write a category file atomically. Raises OutputError; nothing half-written is left."""
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "meta": json.dumps(_meta(category), sort_keys=True),
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in category.tensors.items()}
    atomic_write(Path(path), safetensors.numpy.save(tensors, metadata))


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and tensors of a safetensors file whose metadata says it is a category of this version."""
    teach = "make one with: regad-calib --model ARTIFACT --support DIR --out FILE"
    try:
        if not path.is_file():
            raise CategoryError(f"{path} is not a file; expected a category file: {teach}")
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


def _parse(metadata: Mapping[str, str], tensors: dict[str, NDArray[Any]]) -> Category:
    meta = parse(metadata["meta"])
    check_requires(meta)
    if meta["data_sha256"] != tensors_sha256(tensors):
        raise CategoryError("it is damaged: its statistics do not match their sha256")
    if meta["epsilon"] != EPSILON:
        raise CategoryError(f"its epsilon is {meta['epsilon']}; expected {EPSILON}")
    rank = int(meta["rank"])
    scoring = Scoring.from_json(meta["scoring"])
    encodings = meta["encoding"].split("+")
    if len(encodings) != len(scoring.groups):
        raise CategoryError(f"encoding is {meta['encoding']!r}; expected one for each of {len(scoring.groups)} groups")

    def group(encoding: Any, levels: Levels) -> Statistics:
        own = ENCODINGS[cast(Encoding, encoding)](rank, levels) if encoding in ENCODINGS else tensors
        stored = {name: tensor for name, tensor in tensors.items() if name in own}
        return Statistics(encoding, rank, int(meta["views"]), stored, meta["dtype"], levels)

    registered, tried = meta["registration"], meta.get("registration_tried")
    if (registered is None) != (FEATURE not in meta["requires"]):
        raise InputError("its 'requires' and its registration do not agree")
    missing = [name for name in _CALIBRATION if name not in tensors]
    if missing and scoring.damping is not None:
        raise CategoryError(f"tensor {missing[0]} is missing; its scoring is calibrated by held-out parts")
    # Their dtype is checked as the category is made.
    calibration = None if missing else Calibration(*(cast(NDArray[np.float32], tensors[name]) for name in _CALIBRATION))
    return Category(
        artifact=str(meta["artifact"]),
        statistics=tuple(map(group, encodings, scoring.groups)),
        threshold=Threshold.from_json(meta["threshold"]),
        spec=InputSpec.from_json(meta["input"]),
        shot=int(meta["shot"]),
        support=tuple(SupportImage(str(item["name"]), str(item["sha256"])) for item in meta["support"]),
        software=meta["software"],
        device=str(meta["device"]),
        created=str(meta["created"]),
        data_sha256=str(meta["data_sha256"]),
        limits=limits_from_json(meta["limits"]),
        scoring=scoring,
        calibration=calibration,
        notes=tuple(str(note) for note in meta.get("notes", ())),
        registration=None if registered is None else Registration.from_json(registered, tensors),
        tried=None if tried is None else Tried.from_json(tried),
    )


def load_category(path: str | Path, artifact: str | None = None) -> Category:
    """Read and check a category file; with ``artifact`` (a hash), also that it was taught on that artifact.

    Raises CategoryError, with the remedy, for a file that is missing, truncated, of another format or version,
    altered, not finite, or of another artifact.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    try:
        category = _parse(metadata, tensors)
    except InputError as error:
        raise CategoryError(f"{path} cannot be used ({error}); or teach the part again: regad-calib") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CategoryError(f"{path} has malformed metadata ({error!r}); teach the part again: regad-calib") from error
    except CategoryError as error:
        raise CategoryError(f"{path} cannot be used: {error}; copy it, or teach the part, again") from error
    if artifact is not None and category.artifact != artifact:
        raise CategoryError(
            f"{path} was taught on artifact {category.artifact[:12]}, but this one is {artifact[:12]}; "
            "teach the part on it: regad-calib --model ARTIFACT --support DIR --out FILE"
        )
    return category
