"""The files that a browser loads: read once from the package, so that no request ever becomes a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["file_routes"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class _File(NamedTuple):
    data: bytes
    media: str
    etag: str


def file_routes() -> list[Route]:
    """Return the routes of the start page and of everything under ``/static/``."""
    known = dict(_found(Path(__file__).with_name("static"), ""))
    known["index.html"] = _with_modules(known["index.html"], [name for name in known if name.endswith(".js")])

    async def static(request: Request) -> Response:
        return _answer(known.get(request.path_params["name"]), request)

    async def start(request: Request) -> Response:
        return _answer(known["index.html"], request)

    return [Route("/", start), Route("/static/{name:path}", static)]


def _found(folder: Path, prefix: str) -> Iterator[tuple[str, _File]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _found(one, f"{prefix}{one.name}/")
        elif (media := _TYPES.get(one.suffix[1:])) is not None:
            yield f"{prefix}{one.name}", _file(one.read_bytes(), media)


def _with_modules(start: _File, names: list[str]) -> _File:
    """The start page with a hint for each module: the browser asks for all at once, not for one after another."""
    hints = "".join(f'<link rel="modulepreload" href="/static/{name}">\n' for name in sorted(names))
    return _file(start.data.replace(b"</head>", hints.encode() + b"</head>"), start.media)


def _file(data: bytes, media: str) -> _File:
    return _File(data, media, f'"{hashlib.sha256(data).hexdigest()[:24]}"')


def _answer(file: _File | None, request: Request) -> Response:
    if file is None:
        return Response("not found", 404)
    headers = {"etag": file.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media, headers=headers)
