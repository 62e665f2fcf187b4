"""The simple form: an artifact's folder or a category file as it is, on a disk or on a web server."""

from __future__ import annotations

import hashlib
import http.client
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from ..errors import CategoryError, RegadError, SourceError
from ..formats.artifact import MANIFEST
from ..text import reason_of, redact, shown
from .offer import MOST_HEAD, Chunks, Offer, Piece, artifact_manifest, category_artifact, held

__all__ = ["check_redirect", "head_of", "offer_of_path", "offer_of_url"]

_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


def offer_of_path(path: Path) -> Offer:
    """Describe an artifact's folder or a category file. Raises SourceError, ArtifactError, CategoryError."""
    if path.is_dir():
        return _artifact(shown(path), lambda name: partial(_of_file, path / name))
    return _category(shown(path), path.name, partial(_of_file, path))


def offer_of_url(url: str, follow: Collection[str] = ()) -> Offer:
    """Describe what a web server has: a category file if ``url`` ends in ``.safetensors``, else an artifact's folder.

    A redirect to another host is an error unless ``follow`` names the host. Raises SourceError, ArtifactError,
    CategoryError.
    """
    where = redact(url)
    if url.endswith(".safetensors"):
        return _category(where, url.rpartition("/")[2], partial(_of_url, url, follow))
    return _artifact(where, lambda name: partial(_of_url, f"{url}/{quote(name)}", follow))


def check_redirect(origin: str, target: str, follow: Collection[str]) -> None:
    """Raise SourceError if a redirect leads to another host that ``follow`` does not name, or away from TLS."""
    old, new = urlsplit(origin), urlsplit(target)
    if old.scheme == "https" and new.scheme != "https":
        raise SourceError(
            f"{redact(origin)} redirects to {new.scheme}://, without TLS; it is not followed: ask its owner"
        )
    if old.netloc != new.netloc and new.netloc not in follow:
        raise SourceError(
            f"{redact(origin)} redirects to another host, {shown(new.netloc)}; if that is right: --follow {new.netloc}"
        )


def _artifact(where: str, chunks_of: Callable[[str], Chunks]) -> Offer:
    manifest = head_of(chunks_of(MANIFEST), f"{where}/{MANIFEST}")
    artifact, files = artifact_manifest(manifest, f"{where}/{MANIFEST}")
    first = Piece(MANIFEST, partial(held, manifest), len(manifest), hashlib.sha256(manifest).hexdigest())
    pieces = [Piece(name, chunks_of(name), size, digest) for name, (size, digest) in files.items()]
    return Offer("artifact", where, artifact, (first, *pieces))


def _category(where: str, name: str, chunks: Chunks) -> Offer:
    """A category whose header is read, and no more: what follows it is only read to be placed."""
    data = bytearray()
    with closing(chunks()) as arriving:
        for block in arriving:
            data += block
            if len(data) >= 8 and len(data) >= 8 + min(struct.unpack_from("<Q", data)[0], MOST_HEAD):
                break
    size = struct.unpack_from("<Q", data)[0] if len(data) >= 8 else 0
    if not 0 < size <= MOST_HEAD or len(data) < 8 + size:
        raise CategoryError(f"{where} is not a category file; make one: regad-calib")
    return Offer("category", where, category_artifact(bytes(data[8 : 8 + size]), where), (Piece(name, chunks),))


def head_of(chunks: Chunks, where: str) -> bytes:
    """All of a small file. Raises SourceError where it is not small."""
    data = bytearray()
    with closing(chunks()) as arriving:
        for block in arriving:
            data += block
            if len(data) > MOST_HEAD:
                raise SourceError(
                    f"{where} has more than {MOST_HEAD >> 20} MB, which no manifest has; check the address"
                )
    return bytes(data)


def _of_file(path: Path) -> Generator[bytes, None, None]:
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise SourceError(
            f"{shown(path)} cannot be read ({error.strerror}); check the name, allow reading it"
        ) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, follow: Collection[str]) -> None:
        self._follow = follow

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        check_redirect(req.full_url, urljoin(req.full_url, newurl), self._follow)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _of_url(url: str, follow: Collection[str]) -> Generator[bytes, None, None]:
    where = redact(url)
    try:
        opener = urllib.request.build_opener(_Redirects(follow))
        with opener.open(url, timeout=_TIMEOUT) as response:
            while block := response.read(_BLOCK):
                yield block
    except RegadError:
        raise
    except urllib.error.HTTPError as error:
        raise SourceError(f"{where}: the web server says {error.code} {error.reason}; check the address") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = reason_of(getattr(error, "reason", error) if isinstance(error, urllib.error.URLError) else error)
        raise SourceError(
            f"{where} cannot be read ({reason}); check the address and the network, pull again"
        ) from error
