"""What the page asks of the trace: parts found, and everything of one part. Files are asked for by the part's id."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ...errors import InputError
from ...station.codes import VerdictCode
from ...station.trace.package import export_part
from ...station.trace.search import Query
from .errors import RequestError
from .routes import Call, Route
from .rows import part_of

__all__ = ["part_routes", "query_of", "remove_left_zips"]

_MOST = 200
_ZIP = (".part-", ".zip")
_PIECE = 1 << 18
_LABELS = ("good", "defect", "unsure", "none", "any")


def part_routes() -> list[Route]:
    """Return the routes of the trace."""
    return [
        Route("/api/v1/parts", _found),
        Route("/api/v1/parts/{part}", _part),
        Route("/api/v1/parts/{part}/input", _input),
        Route("/api/v1/parts/{part}/full", _full),
        Route("/api/v1/parts/{part}/map", _map),
        Route("/api/v1/parts/{part}/zip", _zip, "operator"),
        Route("/api/v1/versions", _versions),
    ]


def query_of(call: Call) -> Query:
    """Return what a search asks for. Raises InputError."""
    asked = call.query

    def number(name: str) -> int | None:
        return call.number(name) if asked.get(name) else None

    verdict = asked.get("verdict", "")
    if verdict and verdict not in (*VerdictCode.__members__, "rejects"):
        raise InputError(f"verdict is {verdict[:40]!r}; expected one of {', '.join(VerdictCode.__members__)}, rejects")
    label = asked.get("label") or None
    if label is not None and label not in _LABELS:
        raise InputError(f"label is {label[:40]!r}; expected one of {', '.join(_LABELS)}")
    return Query(
        verdict=int(VerdictCode[verdict]) if verdict in VerdictCode.__members__ else None,
        good=False if verdict == "rejects" else None,
        job=number("job"),
        part_id=number("part_id"),
        serial=asked.get("serial", "")[:64] or None,
        label=cast(Any, label),
        since=number("since"),
        until=number("until"),
        before=number("before"),
    )


def _found(call: Call) -> dict[str, Any]:
    limit = call.number("limit", 50, 1, _MOST)
    with call.trace() as trace:
        rows = trace.search(query_of(call), limit + 1)
    return {"parts": [part_of(row) for row in rows[:limit]], "more": len(rows) > limit}


def _part(call: Call) -> dict[str, Any]:
    part = call.number("part")
    with call.trace() as trace:
        row = trace.row(part)
        version = next((one for one in trace.versions() if one["id"] == row["category_version"]), None)
        has_map = trace.heat(part) is not None
        return {"part": part_of(row), "version": version, "labels": trace.labels(part), "map": has_map}


def _input(call: Call) -> Response:
    with call.trace() as trace:
        return _picture(trace.input_file(call.number("part")), "image/png")


def _full(call: Call) -> Response:
    with call.trace() as trace:
        return _picture(trace.full(call.number("part")), "image/jpeg")


def _picture(data: bytes | None, media: str) -> Response:
    if data is None:
        raise RequestError(404, "this picture is not stored, or not any more", code="missing")
    return Response(data, media_type=media, headers={"cache-control": "private, max-age=3600"})


def _map(call: Call) -> Response:
    """56 x 56 bytes, in 255ths of the header x-regad-top."""
    with call.trace() as trace:
        found = trace.heat(call.number("part"))
    if found is None:
        raise RequestError(404, "this part has no map", code="missing")
    headers = {"x-regad-top": repr(found[0]), "cache-control": "private, max-age=3600"}
    return Response(found[1].tobytes(), media_type="application/octet-stream", headers=headers)


def _zip(call: Call) -> Response:
    part, folder = call.number("part"), call.around.state
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=_ZIP[0], suffix=_ZIP[1], delete=False) as file:
        path = Path(file.name)
    try:
        export_part(call.around.trace, part, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    packed = path.open("rb")
    path.unlink()  # what is open can be sent; nothing stays behind where the browser breaks off, or the desk ends
    name = f'attachment; filename="part-{part}.zip"'
    headers = {"content-disposition": name, "cache-control": "no-store", "content-length": str(_size(packed))}
    return _FileResponse(packed, headers)


class _FileResponse(StreamingResponse):
    """What an open file holds; it is closed then, also where the browser breaks off."""

    def __init__(self, file: BinaryIO, headers: Mapping[str, str]) -> None:
        super().__init__(iter(lambda: file.read(_PIECE), b""), media_type="application/zip", headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def remove_left_zips(folder: Path) -> None:
    """Remove what a desk that was killed while it packed a part has left in its folder."""
    name = f"{_ZIP[0]}*{_ZIP[1]}"
    for path in (*folder.glob(name), *folder.glob(f".{name}.*")):  # the second: what `atomic_write` had not renamed yet
        with suppress(OSError):
            path.unlink()


def _versions(call: Call) -> list[dict[str, Any]]:
    with call.trace() as trace:
        return trace.versions()
