"""The database: damaged, missing, of another version or removed while in use, it is set aside and never deleted."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from regad.runtime.errors import InputError, OutputError
from regad.runtime.station.trace.database import DATABASE, open_writer
from regad.runtime.station.trace.inspection import TraceAlarm
from regad.runtime.station.trace.reader import TraceReader
from regad.runtime.station.trace.schema import MIGRATIONS, VERSION, migrate, version_of
from regad.runtime.station.trace.writer import Trace

from .parts import ROOMY, Alarms, ask, filled, part, picture, pictures

KEPT = sorted(Path(__file__).parent.glob("v*.sql"))


def reopened(folder: Path) -> tuple[int, Alarms]:
    """Open and close the trace; the number of the boot, and what it told."""
    alarms = Alarms()
    trace = Trace(folder, ROOMY, alarm=alarms)
    boot = trace.open()
    trace.add(part(1, boot=boot.id, input=picture(9)))
    trace.close()
    return boot.id, alarms


def damage(path: Path, how: str) -> None:
    if how == "text":
        path.write_bytes(b"this is not a database at all, but a long enough text" * 100)
    elif how == "pages":
        data = bytearray(path.read_bytes())
        data[4096 : len(data) // 2] = b"\xa5" * (len(data) // 2 - 4096)
        path.write_bytes(data)
    else:
        path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize("how", ["text", "pages", "cut"])
def test_a_damaged_database_is_set_aside_and_a_new_one_begun(tmp_path: Path, how: str) -> None:
    filled(tmp_path, *(part(seq, input=picture(seq)) for seq in range(1, 4)))
    before = pictures(tmp_path)
    damage(tmp_path / DATABASE, how)
    spoilt = (tmp_path / DATABASE).read_bytes()
    boot, alarms = reopened(tmp_path)
    assert alarms.codes() == [TraceAlarm.SET_ASIDE]
    assert "is damaged" in alarms[0][1]
    (aside,) = (path for path in tmp_path.glob(f"{DATABASE}.damaged-*") if not path.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes()[100:] == spoilt[100:]  # SQLite may count an attempt in the header
    assert boot == 2, "the number of a boot with pictures is never used again"
    assert set(before) < set(pictures(tmp_path))
    assert ask(tmp_path, "SELECT boot, seq FROM inspection") == [(2, 1)]
    assert ask(tmp_path, "SELECT code FROM event") == [(TraceAlarm.SET_ASIDE,)]


def test_a_missing_database_is_told_and_its_pictures_stay(tmp_path: Path) -> None:
    filled(tmp_path, part(1, input=picture(1)))
    before = pictures(tmp_path)
    (tmp_path / DATABASE).unlink()
    boot, alarms = reopened(tmp_path)
    assert (boot, alarms.codes()) == (2, [TraceAlarm.SET_ASIDE])
    assert before[0] in pictures(tmp_path)


def test_a_database_that_is_removed_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    alarms = Alarms()
    trace = Trace(tmp_path, ROOMY, alarm=alarms)
    trace.open()
    trace.add(part(1, input=picture(1)))
    assert trace.flushed(1, 60.0)
    for path in tmp_path.glob(f"{DATABASE}*"):
        path.unlink()
    seq = 1
    while not alarms and seq < 100_000:
        seq += 1
        trace.add(part(seq))
        trace.flushed(seq, 60.0)
    trace.add(part(seq + 1))
    trace.close()
    assert alarms.codes() == [TraceAlarm.SET_ASIDE]
    assert ask(tmp_path, "SELECT max(seq), max(boot) FROM inspection") == [(seq + 1, 1)]


def test_a_database_damaged_while_it_is_open_is_set_aside_without_losing_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regad.runtime.station.trace import recorder

    alarms = Alarms()
    trace = Trace(tmp_path, ROOMY, alarm=alarms)
    trace.open()
    trace.add(part(1))
    assert trace.flushed(1, 60.0)
    insert, damaged = recorder.insert_entry, []

    def malformed(*args: object) -> int:
        if not damaged:
            damaged.append(True)
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = 11  # type: ignore[attr-defined]
            raise error
        return insert(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(recorder, "insert_entry", malformed)
    trace.add(part(2))
    assert trace.flushed(2, 60.0)
    trace.close()
    assert ask(tmp_path, "SELECT seq FROM inspection") == [(2,)]
    assert TraceAlarm.SET_ASIDE in alarms.codes()
    (aside,) = (path for path in tmp_path.glob(f"{DATABASE}.damaged-*") if not path.name.endswith(("-wal", "-shm")))
    connection = sqlite3.connect(aside)
    assert connection.execute("SELECT seq FROM inspection").fetchall() == [(1,)]
    connection.close()


def test_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path, part(1))
    ask(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(OutputError, match=f"has version {VERSION + 1}; this program writes version {VERSION}: update"):
        Trace(tmp_path, ROOMY).open()
    with pytest.raises(InputError, match="update regad"):
        TraceReader(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        Trace(tmp_path / "file" / "trace", ROOMY).open()


def test_a_migration_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regad.runtime.station.trace import schema

    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE one (a); CREATE TABLE one (a);",))
    monkeypatch.setattr(schema, "VERSION", 1)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert version_of(connection) == 0
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_there_is_a_kept_database_of_every_version() -> None:
    assert [path.name for path in KEPT] == [f"v{number}.sql" for number in range(1, VERSION + 1)]


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_kept_database_of_each_version_is_opened_with_all_that_is_in_it(tmp_path: Path, kept: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.executescript(kept.read_text())
    connection.close()
    opened = open_writer(tmp_path)
    assert (opened.trouble, version_of(opened.connection)) == ("", VERSION)
    rows = opened.connection.execute("SELECT seq, verdict, score, input_file FROM inspection ORDER BY id").fetchall()
    assert rows == [(1, 1, 1.25, "images/000001/000000/000000001-input.png"), (2, 2, 7.5, None)]
    assert opened.connection.execute("SELECT value FROM label").fetchall() == [("defect",)]
    assert opened.connection.execute("PRAGMA foreign_key_check").fetchall() == []
    opened.connection.close()


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path: Path, kept: Path) -> None:
    names = []
    for folder, script in ((tmp_path / "old", kept.read_text()), (tmp_path / "new", "")):
        folder.mkdir()
        connection = sqlite3.connect(folder / DATABASE)
        connection.executescript(script)
        connection.close()
        opened = open_writer(folder).connection
        found = opened.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY 2").fetchall()
        columns = [
            opened.execute(f"PRAGMA table_info({table})").fetchall() for kind, table, _ in found if kind == "table"
        ]
        names.append((found, columns))
        opened.close()
    assert names[0] == names[1]
    assert len(MIGRATIONS) == VERSION


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_kept_database_is_read_as_it_is(tmp_path: Path, kept: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.executescript(kept.read_text())
    connection.close()
    with TraceReader(tmp_path) as reader:
        rows = [(row["seq"], row["prepared"], row["angle"], row["scale"]) for row in reader.rows()]
    assert (
        rows
        == {
            "v1.sql": [(1, None, None, None), (2, None, None, None)],
            "v2.sql": [(1, "", None, None), (2, "09711487f5eeb040", -70.5, 1.0078125)],
        }[kept.name]
    )
    connection = sqlite3.connect(tmp_path / DATABASE)
    assert version_of(connection) == int(kept.stem[1:])
    connection.close()


def test_a_trace_of_a_reader_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; name the trace folder"):
        TraceReader(tmp_path)
    (tmp_path / DATABASE).write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        TraceReader(tmp_path)


def test_a_copy_of_the_folder_can_be_read_elsewhere(tmp_path: Path) -> None:
    filled(tmp_path / "one", part(1, input=picture(1)))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with TraceReader(tmp_path / "two") as reader:
        stored = reader.input(1)
        assert stored is not None and stored.tobytes() == picture(1).tobytes()
