"""Teach a part again from what a station's trace kept: good parts by their numbers, as the encoder saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from regad.runtime.errors import CategoryError, InputError
from regad.runtime.formats.category import Category, SupportImage, load_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.formats.registration import Registration, Tried, preparation_of
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.arrival import Prepared
from regad.runtime.model import Model
from regad.runtime.station.codes import VerdictCode
from regad.runtime.station.trace.database import transaction, write_access
from regad.runtime.station.trace.files import array_sha256
from regad.runtime.station.trace.prepared import prepared_of
from regad.runtime.station.trace.reader import Row, TraceReader
from regad.runtime.station.trace.rows import keep_taught

from .fitting import OnImage
from .prepared import teach_prepared

__all__ = ["teach_parts"]


_OTHERWISE = (
    "part {} was registered to another template than part {}, or cropped otherwise; name parts that were judged by the "
    "same template and region of interest (prepared, in regad-station export)"
)


class _Ground(NamedTuple):
    """What made the inputs of the parts: how they were cut out, and on what they were laid."""

    spec: InputSpec
    registration: Registration | None
    tried: Tried | None


def teach_parts(
    model: Model,
    folder: Path,
    parts: Sequence[int],
    *,
    job: int | None = None,
    validation: Sequence[int] = (),
    target_frr: float | None = None,
    warn_frr: float | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    progress: OnImage | None = None,
    strict: bool = False,
) -> Category:
    """Teach a part from stored ``parts`` of the trace in ``folder``, by the ids of their rows; the station may run.

    All have to be of ``job``, where one is given, and of one template and region of interest, which the new category
    keeps: so it judges every part that theirs has judged. The threshold is set from the ``validation`` parts, where
    there are any. The rest is as for `regad.calib.teach.teach`. The pictures of the ``parts`` are kept for good from
    now on. Raises InputError for a part that is not there, has no stored input, or is labelled a defect, for too few,
    and as `teach` does; OutputError where the trace cannot be written.
    """
    wanted = [*parts, *validation]
    if twice := sorted({part for part in wanted if wanted.count(part) > 1}):
        raise InputError(f"part {twice[0]} is named {wanted.count(twice[0])} times; name each part once")
    with TraceReader(folder) as reader:
        rows = [reader.row(part) for part in wanted]
        specs = reader.specs()
        origins = [row["prepared"] or _older(specs.get(row["category_version"])) for row in rows]
        for row, origin in zip(rows, origins, strict=True):
            _refuse_row(row, rows[0], job)
            if origin != origins[0]:
                raise InputError(_OTHERWISE.format(row["id"], rows[0]["id"]))
        ground = _ground(reader, rows, specs)
        frames = [_frame(reader, row, ground) for row in rows]
    files = [SupportImage(f"part {row['id']}", array_sha256(one.image)) for row, one in zip(rows, frames, strict=True)]
    count = len(parts)
    category = teach_prepared(
        model,
        frames[:count],
        ground.spec,
        registration=ground.registration,
        tried=ground.tried,
        files=tuple(files[:count]),
        validation=frames[count:],
        validation_files=tuple(files[count:]),
        target_frr=target_frr,
        warn_frr=warn_frr,
        threshold=threshold,
        warn_threshold=warn_threshold,
        progress=progress,
        strict=strict,
    )
    with write_access(folder) as connection, transaction(connection):
        keep_taught(connection, category)
    return category


_JUDGED = (VerdictCode.PASS, VerdictCode.REVIEW, VerdictCode.REJECT)


def _refuse_row(row: Row, first: Row, job: int | None) -> None:
    """Raise InputError for a part that good parts are not taught from."""
    name = f"part {row['id']}"
    if row["label"] == "defect":
        raise InputError(f"{name} is labelled a defect; teach from good parts, or correct its label")
    if row["verdict"] not in _JUDGED and row["label"] != "good":
        raise InputError(f"{name} has no verdict PASS, REVIEW or REJECT; teach from judged parts, or label it good")
    wanted = first["job"] if job is None else job
    if row["job"] != wanted:
        raise InputError(f"{name} is of job {row['job']}, not {wanted}; teach from parts of one job")


def _older(spec: InputSpec | None) -> str:
    """What ``prepared`` would say in a row of before version 2 of the trace, whose parts never were registered."""
    return "" if spec is None else preparation_of(spec, None)


def _ground(reader: TraceReader, rows: Sequence[Row], specs: Mapping[int, InputSpec]) -> _Ground:
    """How the parts' inputs were made: from the category that judged one of them. Raises InputError."""
    if not rows:
        raise InputError("no part is named; name good parts by their numbers in the trace")
    if rows[0]["quality"] is None:
        found = specs.get(rows[0]["category_version"])
        if found is None:
            raise InputError(
                f"the trace does not have the category and the region that part {rows[0]['id']} was judged with; name "
                "parts that were judged later"
            )
        return _Ground(found, None, None)
    for path, sha256 in dict.fromkeys(filter(None, (reader.category_file(row["id"]) for row in rows))):
        category = _read(path, sha256)
        if category is not None and category.preparation == rows[0]["prepared"]:
            return _Ground(category.spec, category.registration, category.tried)
    raise InputError(
        f"part {rows[0]['id']} was registered to the template in the category file that judged it, and that file was "
        "moved or changed; put it back"
    )


def _read(path: Path, sha256: str) -> Category | None:
    """A category that judged, None where its file is gone or another one by now."""
    try:
        return load_category(path) if sha256_of(path) == sha256 else None
    except (OSError, CategoryError):
        return None


def _frame(reader: TraceReader, row: Row, ground: _Ground) -> Prepared:
    image = reader.input(row["id"])
    if image is None:
        raise InputError(f"the input of part {row['id']} is not stored any more; name another part")
    return prepared_of(row, image, ground.registration)
