"""A desk with four parts in its trace, for the tests of what the page answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regad.runtime.station.trace.database import write_access

from ..station.trace.parts import part
from .web_doubles import Desk, desk_of, part_with_pictures, recorded


@contextmanager
def desk_of_four_parts(folder: Path) -> Iterator[Desk]:
    """The desk, its configuration with secrets in it, and the second part labelled a defect."""
    recorded(
        folder,
        part_with_pictures(1, serial="A1", part_id=7),
        part_with_pictures(2, serial="A2", verdict=2, output=2, score=3.0),
        part(3, serial="B_1", verdict=3, output=2, score=1.9),
        part(4, serial="B21", verdict=1, output=5, late=True),
    )
    with write_access(folder / "trace") as connection:
        connection.execute("INSERT INTO label (inspection, value, by, at) VALUES (2, 'defect', 'anna', 1.8e9)")
    (folder / "station.toml").write_text(
        '[camera]\nsource = "rtsp://u:hunter2@cam/x"\n[[webhook]]\npassword = "hunter2"\nurl = "http://a/?token=hunter2"\n'
        '[mqtt]\nsecret = { file = "/etc/mqtt.secret" }\n'
    )
    with desk_of(folder) as desk:
        yield desk
