"""Pulling: nothing is seen of it before all of it is there and verified, and nothing is left of one that broke off."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import CategoryError, InputError, OutputError, RegadError, SourceError
from ..formats.artifact import MANIFEST, Artifact
from ..formats.atomic import atomic_folder, atomic_write
from ..formats.category import load_category
from ..formats.digest import sha256_of
from ..text import Say, shown, system_reason, unsaid
from .offer import Offer, Piece

__all__ = ["pull"]

_BLOCK = 1 << 20


def pull(offer: Offer, out: Path, *, max_bytes: int, say: Say = unsaid) -> bool:
    """Put what is offered to ``out``, a folder for an artifact and a file for a category; False if it is there already.

    The bytes are kept in files without a name until the last has come, so that even a kill leaves nothing. Each is held
    against its size and sha256, and the whole is opened as the product does, before it takes the place of what was
    there. More than ``max_bytes`` are not read. Raises InputError, SourceError, ArtifactError, CategoryError and
    OutputError; ``out`` is then as it was.
    """
    known = sum(piece.size or 0 for piece in offer.pieces)
    if known > max_bytes:
        raise InputError(
            f"{offer.where} has {known / 1e6:.0f} MB, more than the {max_bytes / 1e6:.0f} allowed; raise --max-mb"
        )
    if _is_there(offer, out):
        return False
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for piece in offer.pieces:
            file = stack.enter_context(_nameless(out))
            max_bytes -= _fetch(piece, file, offer.where, max_bytes)
            say(f"{piece.name} {file.tell() / 1e6:.1f} MB")
            file.seek(0)
            files[piece.name] = file
        if offer.kind == "artifact":
            _place_artifact(files, out)
        else:
            return _place_category(next(iter(files.values())), out, offer)
    return True


def _is_there(offer: Offer, out: Path) -> bool:
    """Whether ``out`` is the very thing that is offered, undamaged."""
    try:
        if offer.kind == "artifact":
            same = sha256_of(out / MANIFEST) == offer.pieces[0].sha256
            return same and Artifact.open(out).hash == offer.artifact
        return offer.pieces[0].sha256 is not None and sha256_of(out) == offer.pieces[0].sha256
    except (OSError, RegadError):
        return False


@contextmanager
def _nameless(out: Path) -> Iterator[BinaryIO]:
    """A file on the disk of ``out`` that has no name there. Raises OutputError, also when the disk is full."""
    try:
        folder = out.parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            yield cast(BinaryIO, file)
    except OSError as error:
        raise OutputError(
            f"cannot write into {shown(out.parent)}: {system_reason(error)}; nothing is left of it: free some space or "
            "choose another --out"
        ) from error


def _fetch(piece: Piece, file: BinaryIO, where: str, most: int) -> int:
    """Read a piece into a file and return its bytes. Raises SourceError for one that is not what was offered."""
    digest, size = hashlib.sha256(), 0
    limit = most if piece.size is None else piece.size
    with closing(piece.chunks()) as arriving:
        for block in arriving:
            size += len(block)
            if size > limit:
                more = "than --max-mb allows" if piece.size is None else f"than the {piece.size} bytes it should have"
                raise SourceError(f"{where}: {piece.name} has more {more}; nothing of it is kept")
            digest.update(block)
            file.write(block)
    if piece.size is not None and size < piece.size:
        raise SourceError(f"{where}: {piece.name} broke off after {size} of {piece.size} bytes; pull again")
    if piece.sha256 is not None and digest.hexdigest() != piece.sha256:
        raise SourceError(
            f"{where}: {piece.name} was altered (its sha256 is {digest.hexdigest()[:12]}..., expected "
            f"{piece.sha256[:12]}...); nothing of it is kept: push it again"
        )
    return size


def _place_artifact(files: dict[str, BinaryIO], out: Path) -> None:
    with atomic_folder(out) as folder:
        for name, file in files.items():
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(file, target, _BLOCK)
        Artifact.open(folder)


def _place_category(file: BinaryIO, out: Path, offer: Offer) -> bool:
    """Open the category as the product does, by the file that has no name, and place it; whether it is a new one."""
    file.flush()
    nameless = Path(f"/proc/self/fd/{file.fileno()}")
    try:
        load_category(nameless, offer.artifact)
    except CategoryError as error:
        message = error.message.replace(os.fspath(nameless), offer.where)
        raise CategoryError(message, remedy=error.remedy, code=error.code) from error
    with suppress(OSError):
        if sha256_of(out) == sha256_of(nameless):
            return False
    atomic_write(out, lambda target: shutil.copyfileobj(file, target, _BLOCK))
    return True
