"""The engines beside an artifact's graphs: a cache that can be rebuilt, each tied to what it was built from and for.

``engines/<graph>-<digest>.plan`` holds the engine, the ``.json`` of the same name its `EngineRecord`; the digest is
that of the key, so a record whose key was edited no longer has its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import DeviceError
from ...formats.artifact import Artifact
from ...formats.atomic import atomic_write
from ...formats.json_text import parse
from ...text import system_reason
from .library import Library

__all__ = [
    "ANY_GPU",
    "EngineKey",
    "EngineRecord",
    "Gpu",
    "find_engine",
    "look_up",
    "read_plan",
    "read_record",
    "write_engine",
]

FORMAT = "regad-engine"
VERSION = 1
FOLDER = "engines"
ANY_GPU = "any"
"""The GPU name of an engine that was built for a compute capability, not for one card."""


@dataclass(frozen=True)
class Gpu:
    """A graphics card: the name its driver gives, and its compute capability like ``8.7``."""

    name: str
    compute_capability: str

    def __str__(self) -> str:
        """Like ``Orin (8.7)``."""
        return f"{self.name} ({self.compute_capability})"


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on. ``hardware``: ``this`` card, or ``ampere-plus``: 8.0 and later.

    With ``portable`` it runs on later versions of the same major TensorRT. ``graph_sha256`` is that of the ONNX file.
    """

    graph_sha256: str
    gpu: str
    compute_capability: str
    library: str
    version: str
    hardware: str = "this"
    portable: bool = False

    @property
    def digest(self) -> str:
        """First 16 digits of the sha256 over all fields, part of the engine's file name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def stem(self, graph: str) -> str:
        """File name, without suffix, of the engine of a graph."""
        return f"{Path(graph).stem}-{self.digest}"

    def misfit(self, graph_sha256: str, gpu: Gpu, library: Library) -> str | None:
        """Say in a few words why the engine does not fit; None if it does."""
        checks = (
            (self.graph_sha256 == graph_sha256, "the artifact's graph has changed since"),
            (self.library == library.name, f"it was built by {self.library}"),
            (self._version_fits(library.version), f"it was built by {self.library} {self.version}"),
            (self._gpu_fits(gpu), f"it was built for {self.gpu} ({self.compute_capability})"),
        )
        return next((reason for fits, reason in checks if not fits), None)

    def _version_fits(self, version: str) -> bool:
        if not self.portable:
            return self.version == version
        built, found = ([int(part) for part in text.split(".")[:3]] for text in (self.version, version))
        return built[0] == found[0] and built <= found

    def _gpu_fits(self, gpu: Gpu) -> bool:
        if self.hardware == "ampere-plus":
            return float(gpu.compute_capability) >= 8.0
        return self.gpu in (ANY_GPU, gpu.name) and self.compute_capability == gpu.compute_capability


@dataclass(frozen=True)
class EngineRecord:
    """One engine: the ``graph``'s file name, its key, identity of the plan, and what it was built to take.

    ``batch`` (least, usual, largest) and ``max_shot`` are what was asked for; ``profile`` gives for every input with a
    dynamic dimension its least, usual and largest shape; ``operations`` how many convolutions and products are computed
    in which dtype (see `regad.export.counts`).
    """

    graph: str
    key: EngineKey
    plan_sha256: str
    plan_bytes: int
    batch: tuple[int, int, int]
    max_shot: int
    profile: Mapping[str, tuple[tuple[int, ...], ...]]
    operations: Mapping[str, Mapping[str, int]]

    @property
    def stem(self) -> str:
        """File name without suffix."""
        return self.key.stem(self.graph)

    def largest(self, name: str, axis: int) -> int:
        """The most that the profile allows on one axis of an input."""
        return self.profile[name][2][axis]


def write_engine(artifact: Artifact, record: EngineRecord, plan: bytes) -> Path:
    """Write an engine into the artifact's folder, the record last, and return the plan's path. Raises OutputError."""
    folder = artifact.path / FOLDER
    path = folder / f"{record.stem}.plan"
    atomic_write(path, plan)
    data = {"format": FORMAT, "version": VERSION, **asdict(record)}
    atomic_write(path.with_suffix(".json"), (json.dumps(data, indent=2, sort_keys=True) + "\n").encode())
    return path


def read_record(path: Path) -> EngineRecord | str:
    """Return the record in a file, or what is wrong with it."""
    try:
        data = parse(path.read_bytes())
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            return f"it is {data['format']} {data['version']}, not {FORMAT} {VERSION}"
        record = EngineRecord(
            graph=str(data["graph"]),
            key=EngineKey(**data["key"]),
            plan_sha256=str(data["plan_sha256"]),
            plan_bytes=int(data["plan_bytes"]),
            batch=tuple(int(size) for size in data["batch"]),  # type: ignore[arg-type]
            max_shot=int(data["max_shot"]),
            profile={name: tuple(tuple(shape) for shape in shapes) for name, shapes in data["profile"].items()},
            operations=data["operations"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its record is malformed ({error!r})"
    return record if record.stem == path.stem else "its key was changed after it was built"


def look_up(artifact: Artifact, graph: str, gpu: Gpu, library: Library) -> tuple[EngineRecord | None, str]:
    """Return the engine of a graph that fits this GPU, TensorRT and graph, or None and what is there instead."""
    digest = str(artifact.manifest["files"][graph]["sha256"])
    reasons = []
    for path in sorted((artifact.path / FOLDER).glob(f"{Path(graph).stem}-*.json")):
        record = read_record(path)
        reason = record if isinstance(record, str) else record.key.misfit(digest, gpu, library)
        if isinstance(record, EngineRecord) and reason is None:
            return record, ""
        reasons.append(f"{path.stem}: {reason}")
    return None, "; ".join(reasons) or "there is none"


def find_engine(artifact: Artifact, graph: str, gpu: Gpu, library: Library) -> EngineRecord:
    """Return the engine that fits. Raises DeviceError, saying why none does and the command that builds one."""
    record, reason = look_up(artifact, graph, gpu, library)
    if record is None:
        raise DeviceError(
            f"no engine of {graph} fits {gpu} and {library} ({reason})",
            remedy=f"build it here: regad-export --engine --artifact {artifact.path}",
        )
    return record


def read_plan(artifact: Artifact, record: EngineRecord) -> bytes:
    """Return an engine's bytes. Raises DeviceError if they are not those that were written."""
    path = artifact.path / FOLDER / f"{record.stem}.plan"
    again = f"build it again: regad-export --engine --artifact {artifact.path}"
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{path} cannot be read ({system_reason(error)})", remedy=again) from error
    if len(plan) != record.plan_bytes or hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        raise DeviceError(
            f"{path} was altered or cut: {len(plan)} bytes, sha256 not that of its record ({record.plan_bytes} bytes)",
            remedy=again,
        )
    return plan
