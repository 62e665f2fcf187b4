"""The tables of the trace, and how a database of an earlier version becomes one of this.

``PRAGMA user_version`` is the version. A released migration is never edited: a change is a new entry of `MIGRATIONS`.
"""

from __future__ import annotations

import sqlite3

from ...errors import OutputError

__all__ = ["MIGRATIONS", "VERSION", "migrate", "version_of"]

_V1 = """
CREATE TABLE boot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, wall REAL NOT NULL, clock_ok INTEGER NOT NULL, clean INTEGER NOT NULL,
    mono_start INTEGER NOT NULL, mono_last INTEGER NOT NULL, software TEXT NOT NULL, artifact TEXT NOT NULL);
CREATE TABLE job (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT '', category_version INTEGER REFERENCES category_version,
    deadline_ms REAL, bands TEXT, output_rules TEXT, camera_features TEXT, challenge_every REAL);
CREATE TABLE category_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER, hash TEXT NOT NULL, sha256 TEXT NOT NULL, path TEXT NOT NULL,
    parent INTEGER REFERENCES category_version, threshold REAL, low REAL, method TEXT, spec TEXT, support_json TEXT,
    made_by TEXT, approved_by TEXT, made_at REAL, retired_at REAL, note TEXT);
CREATE INDEX category_version_hash ON category_version (hash, job);
CREATE TABLE inspection (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL REFERENCES boot, seq INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL, wall REAL NOT NULL, clock_ok INTEGER NOT NULL, job INTEGER,
    category_version INTEGER REFERENCES category_version, part_id INTEGER NOT NULL, serial TEXT NOT NULL,
    trigger TEXT NOT NULL, verdict INTEGER NOT NULL, output INTEGER NOT NULL, reason TEXT NOT NULL, score REAL,
    threshold REAL, warn INTEGER NOT NULL, ms_acquire REAL, ms_judge REAL, ms_total REAL, deadline_ms REAL,
    late INTEGER NOT NULL, shadow INTEGER NOT NULL, simulated INTEGER NOT NULL, frame_id INTEGER, mean REAL, sharp REAL,
    spot_x INTEGER, spot_y INTEGER, error TEXT NOT NULL, input_sha256 TEXT, input_file TEXT, full_file TEXT,
    UNIQUE (boot, seq));
CREATE INDEX inspection_part ON inspection (part_id, id) WHERE part_id != 0;
CREATE INDEX inspection_serial ON inspection (serial, id) WHERE serial != '';
CREATE INDEX inspection_verdict ON inspection (verdict, id) WHERE verdict != 1;
CREATE INDEX inspection_input ON inspection (input_sha256);
CREATE TABLE heat (
    inspection INTEGER PRIMARY KEY REFERENCES inspection ON DELETE CASCADE, top REAL NOT NULL, map BLOB NOT NULL);
CREATE TABLE file (
    path TEXT PRIMARY KEY, inspection INTEGER NOT NULL REFERENCES inspection, kind TEXT NOT NULL, rank INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, keep INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX file_rank ON file (rank, inspection);
CREATE INDEX file_inspection ON file (inspection);
CREATE TABLE label (
    id INTEGER PRIMARY KEY AUTOINCREMENT, inspection INTEGER NOT NULL REFERENCES inspection,
    value TEXT NOT NULL CHECK (value IN ('good', 'defect', 'unsure')), kind TEXT, by TEXT, at REAL, note TEXT,
    replaced_by INTEGER REFERENCES label);
CREATE INDEX label_inspection ON label (inspection);
CREATE TABLE rejudge_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, category_version INTEGER REFERENCES category_version, threshold REAL,
    from_id INTEGER NOT NULL, to_id INTEGER NOT NULL, by TEXT, at REAL);
CREATE TABLE rejudge (
    run INTEGER NOT NULL REFERENCES rejudge_run ON DELETE CASCADE,
    inspection INTEGER NOT NULL REFERENCES inspection ON DELETE CASCADE, score REAL, verdict INTEGER NOT NULL,
    PRIMARY KEY (run, inspection)) WITHOUT ROWID;
CREATE INDEX rejudge_inspection ON rejudge (inspection);
CREATE TABLE challenge (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER, expected INTEGER NOT NULL,
    inspection INTEGER REFERENCES inspection, ok INTEGER NOT NULL, by TEXT, at REAL);
CREATE INDEX challenge_inspection ON challenge (inspection);
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL REFERENCES boot, mono_ns INTEGER NOT NULL,
    wall REAL NOT NULL, severity TEXT NOT NULL, code INTEGER NOT NULL, text TEXT NOT NULL, acked_by TEXT,
    acked_at REAL);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, wall REAL NOT NULL, user TEXT, action TEXT NOT NULL, before TEXT, after TEXT);
CREATE TABLE hour (
    boot INTEGER NOT NULL, hour INTEGER NOT NULL, job INTEGER NOT NULL, category_version INTEGER NOT NULL,
    wall REAL NOT NULL, n INTEGER NOT NULL, by_verdict TEXT NOT NULL, score_q TEXT, mean_q TEXT, ms_p99 REAL,
    PRIMARY KEY (boot, hour, job, category_version)) WITHOUT ROWID;
CREATE TABLE sink (
    name TEXT PRIMARY KEY, last_id INTEGER NOT NULL DEFAULT 0, last_ok REAL, failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE user (
    name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer')),
    password TEXT NOT NULL, made_at REAL, retired_at REAL);
CREATE TABLE session (
    token_sha256 TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES user, made_at REAL NOT NULL, seen_at REAL NOT NULL,
    expires_at REAL NOT NULL);
"""

_V2 = """
ALTER TABLE inspection ADD COLUMN contrast REAL;
ALTER TABLE inspection ADD COLUMN structure REAL;
ALTER TABLE inspection ADD COLUMN prepared TEXT NOT NULL DEFAULT '';
ALTER TABLE inspection ADD COLUMN quality REAL;
ALTER TABLE inspection ADD COLUMN share REAL;
ALTER TABLE inspection ADD COLUMN angle REAL;
ALTER TABLE inspection ADD COLUMN shift_x REAL;
ALTER TABLE inspection ADD COLUMN shift_y REAL;
ALTER TABLE inspection ADD COLUMN scale REAL;
"""
"""What the verdict on a registered part rests on besides the encoder's input, and how that was made of the frame."""

MIGRATIONS: tuple[str, ...] = (_V1, _V2)
"""The statements that lead from version n to n + 1; the first ones make the tables."""
VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a database; 0 for an empty one. Raises sqlite3.Error."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to `VERSION`, each step whole or not at all.

    Raises OutputError for a database of a later version, sqlite3.Error if a step fails; the step is then undone.
    """
    found = version_of(connection)
    if found > VERSION:
        raise OutputError(
            f"the trace's database has version {found}; this program writes version {VERSION}: update regad, or name "
            "another trace folder"
        )
    for number in range(found, VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in filter(str.strip, MIGRATIONS[number].split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
