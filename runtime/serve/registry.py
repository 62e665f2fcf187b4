"""An OCI registry as a place for artifacts and categories; oras finds and sends the credentials.

An artifact is an image whose configuration is its ``manifest.json`` and whose layers are its files; a category is an
image with one layer. Both tell the artifact's hash in an annotation, so that it is known before a layer is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from ..errors import ArtifactError, InputError, OutputError, RegadError, SourceError
from ..formats.artifact import MANIFEST
from ..formats.json_text import parse
from ..text import reason_of, redact, shown
from .offer import MOST_HEAD, Offer, Piece, artifact_manifest, held
from .plain import check_redirect, head_of
from .reference import Image

__all__ = ["ANNOTATION", "ARTIFACT_TYPE", "CATEGORY_TYPE", "Registry"]

ARTIFACT_TYPE = "application/vnd.regad.artifact.v2"
CATEGORY_TYPE = "application/vnd.regad.category.v3"
ANNOTATION = "vnd.regad.artifact"
"""The annotation that holds the hash of the artifact that an image is, or that its category belongs to."""

_IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = f"{ARTIFACT_TYPE}+json"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_BLOCK = 1 << 20
_TIMEOUT = (10.0, 60.0)  # seconds to connect, and without a byte
_USER, _PASSWORD = "ORAS_USER", "ORAS_PASS"


class Registry:
    """One repository of a registry. Raises InputError without oras."""

    def __init__(self, image: Image, *, plain_http: bool = False, follow: Collection[str] = ()) -> None:
        try:
            import requests
            from oras.auth import get_auth_backend
            from oras.container import Container
        except ImportError:
            raise InputError("a registry needs oras, which is not installed; pip install 'regad[oras]'") from None
        self._image = image
        self._follow = follow
        plain = plain_http or image.loopback
        self._base = f"{'http' if plain else 'https'}://{image.registry}/v2/{image.name}/"
        self._failures: tuple[type[Exception], ...] = (requests.RequestException, OSError)
        self._session: Any = requests.Session()
        self._session.hooks["response"].append(self._on_response)
        self._auth = {name: get_auth_backend(name, self._session, plain) for name in ("token", "basic")}
        self._known = _load_credentials(self._auth, Container(str(image)))
        self._headers: dict[str, str] = {}

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def look(self) -> Offer:
        """Describe what the reference names. Raises SourceError, ArtifactError, InputError."""
        data = self._small(f"manifests/{self._image.digest or self._image.tag}", {"Accept": _IMAGE_TYPE})
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self._image.digest not in (None, digest):
            raise SourceError(
                f"{self._image}: the registry sent an image with the digest {digest}: it was altered, do not use it"
            )
        where = f"{self._image.registry}/{self._image.name}@{digest}"
        try:
            return self._offer(parse(data), where)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise SourceError(f"{self._image} is no image of regad-push ({error!r}); push one: regad-push") from error

    def _offer(self, image: Mapping[str, Any], where: str) -> Offer:
        config, layers = image["config"], image["layers"]
        if config["mediaType"] == _CONFIG_TYPE:
            return self._artifact(config, layers, where, str(image["annotations"][ANNOTATION]))
        if len(layers) == 1 and layers[0]["mediaType"] == CATEGORY_TYPE:
            return Offer("category", where, str(image["annotations"][ANNOTATION]), (self._piece(layers[0]),))
        kinds = ", ".join(shown(str(one["mediaType"])) for one in (config, *layers)[:3])
        raise SourceError(f"{self._image} is neither an artifact nor a category of this version, but {kinds}; push one")

    def _artifact(self, config: Any, layers: Any, where: str, annotated: str) -> Offer:
        """An artifact, with its manifest read: its files are those that the manifest names, in every bit."""
        first = self._piece(config, MANIFEST)
        if first.size is None or first.size > MOST_HEAD:
            raise ArtifactError(
                f"{where}: its manifest would have {first.size} bytes; no artifact's has: push it again"
            )
        manifest = head_of(first.chunks, where)
        artifact, files = artifact_manifest(_require_digest(manifest, first, where), where)
        pieces = tuple(map(self._piece, layers))
        if {one.name: (one.size, one.sha256) for one in pieces} != files or len(pieces) != len(files):
            raise ArtifactError(
                f"{where}: its layers are not the files that its manifest names; push it again: regad-push"
            )
        if artifact != annotated:
            raise ArtifactError(
                f"{where}: its annotation names artifact {annotated[:12]}, and it holds {artifact[:12]}; do not use it"
            )
        return Offer("artifact", where, artifact, (replace(first, chunks=partial(held, manifest)), *pieces))

    def _piece(self, descriptor: Mapping[str, Any], name: str | None = None) -> Piece:
        digest, size = str(descriptor["digest"]), int(descriptor["size"])
        if not digest.startswith("sha256:") or len(digest) != 71 or size < 0:
            raise ValueError(f"digest {shown(digest)[:80]}")
        title = name if name is not None else str(descriptor["annotations"][_TITLE])
        return Piece(title, partial(self._blob, digest), size, digest.removeprefix("sha256:"))

    def _blob(self, digest: str) -> Generator[bytes, None, None]:
        with self._request("GET", f"blobs/{digest}", stream=True) as response:
            try:
                yield from response.iter_content(_BLOCK)
            except self._failures as error:
                raise self._broken(error) from error

    def push(self, offer: Offer, path: Path) -> str:
        """Put what lies at ``path``, described by ``offer``, into the registry and return its digest.

        What is there already is not sent again. Raises OutputError where the registry refuses it.
        """
        folder = path if offer.kind == "artifact" else path.parent
        layers = [self._upload(piece, folder / piece.name, offer) for piece in offer.pieces]
        if offer.kind == "artifact":
            config = {name: value for name, value in layers.pop(0).items() if name != "annotations"}
        else:
            config = self._put_blob({"mediaType": _EMPTY_TYPE}, b"{}", 2, hashlib.sha256(b"{}").hexdigest())
        image = {
            "schemaVersion": 2,
            "mediaType": _IMAGE_TYPE,
            "artifactType": _CONFIG_TYPE if offer.kind == "artifact" else CATEGORY_TYPE,
            "config": config,
            "layers": layers,
            "annotations": {ANNOTATION: offer.artifact},
        }
        data = json.dumps(image, sort_keys=True).encode()
        self._request("PUT", f"manifests/{self._image.tag}", {"Content-Type": _IMAGE_TYPE}, data=data, ok=(201,))
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def _upload(self, piece: Piece, path: Path, offer: Offer) -> dict[str, Any]:
        suffix = path.suffix.lstrip(".")
        kind = CATEGORY_TYPE if offer.kind == "category" else f"{ARTIFACT_TYPE}+{suffix}"
        size, digest = piece.size, piece.sha256
        if size is None or digest is None:
            size, digest = _measured(piece.chunks())
        descriptor = {"mediaType": kind, "annotations": {_TITLE: piece.name}}
        with path.open("rb") as file:
            return self._put_blob(descriptor, file, size, digest)

    def _put_blob(self, descriptor: dict[str, Any], data: Any, size: int, sha256: str) -> dict[str, Any]:
        digest = f"sha256:{sha256}"
        if self._request("HEAD", f"blobs/{digest}", ok=(200, 404)).status_code == 404:
            begun = self._request("POST", "blobs/uploads/", ok=(202,))
            place = urljoin(self._base, begun.headers.get("Location", ""))
            check_redirect(self._base, place, self._follow)
            place += f"{'&' if urlsplit(place).query else '?'}{urlencode({'digest': digest})}"
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            self._request("PUT", place, headers, data=data, ok=(201,))
        return {**descriptor, "digest": digest, "size": size}

    def _small(self, path: str, headers: dict[str, str]) -> bytes:
        data = bytearray()
        with self._request("GET", path, headers, stream=True) as response:
            try:
                for block in response.iter_content(_BLOCK):
                    data += block
                    if len(data) > MOST_HEAD:
                        raise SourceError(
                            f"{self._image}: its manifest has more than {MOST_HEAD >> 20} MB; push it again"
                        )
            except self._failures as error:
                raise self._broken(error) from error
        return bytes(data)

    def _request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        ok: Collection[int] = (200,),
        **more: Any,
    ) -> Any:
        """Send a request, a second time with credentials if the registry asks for them."""
        url = urljoin(self._base, path)
        own = urlsplit(url).netloc == self._image.registry  # credentials go to no other host
        send = partial(self._session.request, method, url, timeout=_TIMEOUT, **more)
        try:
            response = send(headers={**(headers or {}), **(self._headers if own else {})})
            if own and response.status_code == 401 and self._answer(response):
                if hasattr(more.get("data"), "seek"):
                    more["data"].seek(0)
                response = send(headers={**(headers or {}), **self._headers})
        except RegadError:
            raise
        except self._failures as error:
            raise self._broken(error) from error
        if response.status_code not in ok:
            raise self._refused(method, response)
        return response

    def _answer(self, response: Any) -> bool:
        """Answer a challenge; whether there is a new answer to try."""
        scheme = response.headers.get("Www-Authenticate", "").partition(" ")[0].lower()
        if scheme == "basic" and not self._known:
            return False
        backend = self._auth["basic" if scheme == "basic" else "token"]
        headers, changed = backend.authenticate_request(response, {}, refresh=bool(self._headers))
        fresh = {name: value for name, value in headers.items() if isinstance(value, str)}
        changed, self._headers = changed and fresh != self._headers, fresh
        return bool(changed)

    def _on_response(self, response: Any, **_: Any) -> None:
        if response.is_redirect:
            check_redirect(response.url, urljoin(response.url, response.headers["Location"]), self._follow)

    def _broken(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self._image}: the registry cannot be reached or broke off ({redact(reason_of(error))}); check its "
            "address and the network, and try again"
        )

    def _refused(self, method: str, response: Any) -> RegadError:
        code = response.status_code
        remedy = "check the reference"
        if code in (401, 403):
            remedy = f"log in: docker login {self._image.registry}, or set ${_USER} and ${_PASSWORD}"
        kind = SourceError if method == "GET" else OutputError
        return kind(f"{self._image}: the registry says {code} {shown(str(response.reason))}; {remedy}")


def _require_digest(data: bytes, piece: Piece, where: str) -> bytes:
    if len(data) != piece.size or hashlib.sha256(data).hexdigest() != piece.sha256:
        raise SourceError(f"{where}: {piece.name} was altered (its sha256 is not the image's); push it again")
    return data


def _measured(chunks: Iterator[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for block in chunks:
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def _load_credentials(backends: Mapping[str, Any], container: Any) -> bool:
    """Give oras the user's name and password: from the environment, else from docker's configuration if it has them."""
    user, password = os.environ.get(_USER), os.environ.get(_PASSWORD)
    folder = os.environ.get("DOCKER_CONFIG")
    named = [str(Path(folder) / "config.json")] if folder else []
    for backend in backends.values():
        if user and password:
            backend.set_basic_auth(user, password)
        else:
            backend.load_configs(container, configs=[one for one in named if Path(one).is_file()])
    try:
        backends["basic"].get_auth_header()
    except AttributeError:  # that is how oras says that it has none
        return False
    return True
