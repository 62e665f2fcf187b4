"""Compiled encoders beside the engines of TensorRT: a cache, each tied to what it was compiled from and for.

``engines/openvino-<graph>-<digest>.blob`` holds the compiled graph, the ``.json`` of the same name its key, size and
sha256; the digest is that of the key. A blob that does not fit or is damaged is compiled and written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import OutputError
from ...formats.artifact import Artifact
from ...formats.atomic import atomic_write
from ...formats.json_text import parse

__all__ = ["MAX_BLOBS", "BlobKey", "read_blob", "write_blob"]

MAX_BLOBS = 8
"""The most that are kept in one artifact; the oldest go first."""
_FORMAT = "regad-openvino"
_VERSION = 1
_FOLDER = "engines"


@dataclass(frozen=True)
class BlobKey:
    """What a compiled graph depends on.

    ``device`` names the hardware and what it can do, ``settings`` all that the graph was compiled with.
    """

    graph_sha256: str
    device: str
    version: str
    settings: Mapping[str, str]

    @property
    def digest(self) -> str:
        """First 16 digits of the sha256 over all fields, part of the file's name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def path(self, artifact: Artifact) -> Path:
        """Where the blob lies, if there is one."""
        return artifact.path / _FOLDER / f"openvino-{artifact.encoder_path.stem}-{self.digest}.blob"


def read_blob(artifact: Artifact, key: BlobKey) -> bytes | None:
    """Return what was compiled for ``key``; None where there is none, or none that is as it was written."""
    path = key.path(artifact)
    try:
        record: Any = parse(path.with_suffix(".json").read_bytes())
        blob = path.read_bytes()
        wanted = {
            "format": _FORMAT,
            "version": _VERSION,
            "key": asdict(key),
            "sha256": _sha256(blob),
            "bytes": len(blob),
        }
    except (OSError, ValueError):
        return None
    return blob if record == wanted else None


def write_blob(artifact: Artifact, key: BlobKey, blob: bytes) -> None:
    """Keep a compiled graph, where the artifact's folder may be written: else it is compiled at every start."""
    path = key.path(artifact)
    record = {"format": _FORMAT, "version": _VERSION, "key": asdict(key), "sha256": _sha256(blob), "bytes": len(blob)}
    with suppress(OutputError, OSError):
        atomic_write(path, blob)
        atomic_write(path.with_suffix(".json"), (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
        kept = sorted(path.parent.glob("openvino-*.blob"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in kept[MAX_BLOBS:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".json").unlink(missing_ok=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
