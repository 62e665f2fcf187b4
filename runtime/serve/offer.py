"""What can be pushed and pulled: an artifact or a category file, described by what is known before its bytes come."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ArtifactError, CategoryError
from ..formats.artifact import FORMAT as ARTIFACT_FORMAT
from ..formats.artifact import MANIFEST, artifact_hash
from ..formats.artifact import VERSION as ARTIFACT_VERSION
from ..formats.category import FORMAT as CATEGORY_FORMAT
from ..formats.category import VERSION as CATEGORY_VERSION
from ..formats.json_text import parse
from ..text import shown

__all__ = [
    "MOST_HEAD",
    "Chunks",
    "Kind",
    "Offer",
    "Piece",
    "artifact_manifest",
    "category_artifact",
    "held",
    "require_artifact",
]

Kind = Literal["artifact", "category"]

Chunks = Callable[[], Generator[bytes, None, None]]
"""Begins a transfer of some bytes, from the first; closing what it returns ends the transfer."""

MOST_HEAD = 4 << 20
"""Bytes that a manifest, or the header of a category file, may have at most."""

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Piece:
    """One file of an offer.

    ``size`` in bytes and ``sha256`` (64 digits) are None where only the file itself says so: a plain category file.
    """

    name: str
    chunks: Chunks
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Offer:
    """An artifact or a category as some place has it, before its ``pieces`` are read.

    ``where`` is its address as people may read it, with its digest where it has one; ``artifact`` the hash of the
    artifact that it is, or that the category belongs to. The first piece of an artifact is its manifest.
    """

    kind: Kind
    where: str
    artifact: str
    pieces: tuple[Piece, ...]


def held(data: bytes) -> Generator[bytes, None, None]:
    """Yield bytes that are here already."""
    yield data


def artifact_manifest(data: bytes, where: str) -> tuple[str, Mapping[str, tuple[int, str]]]:
    """Return an artifact's hash and its files' (bytes, sha256) by name, as its ``manifest.json`` tells.

    Raises ArtifactError where it is none of this version, or names files that do not lie in the artifact's folder.
    """
    try:
        manifest: Any = parse(data)
        found = (manifest["format"], manifest["version"])
        files = {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in manifest["files"].items()}
        identity = artifact_hash(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{where} is not an artifact's manifest ({error!r}); push one: regad-push") from error
    if found != (ARTIFACT_FORMAT, ARTIFACT_VERSION):
        raise ArtifactError(
            f"{where} is {shown(str(found[0]))} {found[1]}; this program takes {ARTIFACT_FORMAT} {ARTIFACT_VERSION}: "
            "export it again with regad-export of this version, or update regad"
        )
    for name, (size, digest) in files.items():
        if not _NAME.fullmatch(name) or name == MANIFEST or size < 0 or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ArtifactError(f"{where} names a file {shown(name)!r} that no artifact has; push it again: regad-push")
    return identity, files


def category_artifact(header: bytes, where: str) -> str:
    """Return the hash of the artifact that a category belongs to, as the header of its file tells (JSON).

    Raises CategoryError where it is no category of this version.
    """
    try:
        metadata = parse(header)["__metadata__"]
        found = (str(metadata["format"]), str(metadata["version"]))
        artifact = str(parse(metadata["meta"])["artifact"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CategoryError(f"{where} is not a category file ({error!r}); make one: regad-calib") from error
    if found != (CATEGORY_FORMAT, str(CATEGORY_VERSION)):
        raise CategoryError(
            f"{where} is {shown(found[0])} {shown(found[1])}; this program takes {CATEGORY_FORMAT} {CATEGORY_VERSION}: "
            "teach the part again with regad-calib, or update regad"
        )
    return artifact


def require_artifact(offer: Offer, model: Path, artifact: str) -> None:
    """Raise CategoryError if a category was taught on another artifact than the one in ``model``."""
    if offer.artifact != artifact:
        raise CategoryError(
            f"{offer.where} was taught on artifact {offer.artifact[:12]}, but {shown(model)} is {artifact[:12]}; "
            "nothing was pulled: pull the category of this artifact, or name the other --model"
        )
