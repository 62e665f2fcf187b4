BEGIN TRANSACTION;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, wall REAL NOT NULL, user TEXT, action TEXT NOT NULL, before TEXT, after TEXT);
CREATE TABLE boot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, wall REAL NOT NULL, clock_ok INTEGER NOT NULL, clean INTEGER NOT NULL,
    mono_start INTEGER NOT NULL, mono_last INTEGER NOT NULL, software TEXT NOT NULL, artifact TEXT NOT NULL);
INSERT INTO "boot" VALUES(1,1800000000.0,1,0,1000000000,9000000000,'regad 0.1.0','aaaa');
CREATE TABLE category_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER, hash TEXT NOT NULL, sha256 TEXT NOT NULL, path TEXT NOT NULL,
    parent INTEGER REFERENCES category_version, threshold REAL, low REAL, method TEXT, spec TEXT, support_json TEXT,
    made_by TEXT, approved_by TEXT, made_at REAL, retired_at REAL, note TEXT);
INSERT INTO "category_version" VALUES(1,3,'cccccccccccccccc','dddd','part.safetensors',NULL,2.0,NULL,'manual',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE challenge (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER, expected INTEGER NOT NULL,
    inspection INTEGER REFERENCES inspection, ok INTEGER NOT NULL, by TEXT, at REAL);
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL REFERENCES boot, mono_ns INTEGER NOT NULL,
    wall REAL NOT NULL, severity TEXT NOT NULL, code INTEGER NOT NULL, text TEXT NOT NULL, acked_by TEXT,
    acked_at REAL);
INSERT INTO "event" VALUES(1,1,2000000000,1800000001.0,'info',10,'camera open',NULL,NULL);
CREATE TABLE file (
    path TEXT PRIMARY KEY, inspection INTEGER NOT NULL REFERENCES inspection, kind TEXT NOT NULL, rank INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, keep INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "file" VALUES('images/000001/000000/000000001-input.png',1,'input',1,40000,'eeee',0);
CREATE TABLE heat (
    inspection INTEGER PRIMARY KEY REFERENCES inspection ON DELETE CASCADE, top REAL NOT NULL, map BLOB NOT NULL);
CREATE TABLE hour (
    boot INTEGER NOT NULL, hour INTEGER NOT NULL, job INTEGER NOT NULL, category_version INTEGER NOT NULL,
    wall REAL NOT NULL, n INTEGER NOT NULL, by_verdict TEXT NOT NULL, score_q TEXT, mean_q TEXT, ms_p99 REAL,
    PRIMARY KEY (boot, hour, job, category_version)) WITHOUT ROWID;
CREATE TABLE inspection (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL REFERENCES boot, seq INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL, wall REAL NOT NULL, clock_ok INTEGER NOT NULL, job INTEGER,
    category_version INTEGER REFERENCES category_version, part_id INTEGER NOT NULL, serial TEXT NOT NULL,
    trigger TEXT NOT NULL, verdict INTEGER NOT NULL, output INTEGER NOT NULL, reason TEXT NOT NULL, score REAL,
    threshold REAL, warn INTEGER NOT NULL, ms_acquire REAL, ms_judge REAL, ms_total REAL, deadline_ms REAL,
    late INTEGER NOT NULL, shadow INTEGER NOT NULL, simulated INTEGER NOT NULL, frame_id INTEGER, mean REAL, sharp REAL,
    spot_x INTEGER, spot_y INTEGER, error TEXT NOT NULL, input_sha256 TEXT, input_file TEXT, full_file TEXT, contrast REAL, structure REAL, prepared TEXT NOT NULL DEFAULT '', quality REAL, share REAL, angle REAL, shift_x REAL, shift_y REAL, scale REAL,
    UNIQUE (boot, seq));
INSERT INTO "inspection" VALUES(1,1,1,2000000000,1800000001.0,1,3,1,0,'','modbus',1,1,'',1.25,2.0,0,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,'',NULL,'images/000001/000000/000000001-input.png',NULL,NULL,NULL,'',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "inspection" VALUES(2,1,2,3000000000,1800000001.0,1,3,1,0,'','modbus',2,2,'',7.5,2.0,0,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,'',NULL,NULL,NULL,31.5,0.75,'09711487f5eeb040',0.9375,0.984375,-70.5,4.25,-3.5,1.0078125);
CREATE TABLE job (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT '', category_version INTEGER REFERENCES category_version,
    deadline_ms REAL, bands TEXT, output_rules TEXT, camera_features TEXT, challenge_every REAL);
INSERT INTO "job" VALUES(3,'plate',1,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE label (
    id INTEGER PRIMARY KEY AUTOINCREMENT, inspection INTEGER NOT NULL REFERENCES inspection,
    value TEXT NOT NULL CHECK (value IN ('good', 'defect', 'unsure')), kind TEXT, by TEXT, at REAL, note TEXT,
    replaced_by INTEGER REFERENCES label);
INSERT INTO "label" VALUES(1,2,'defect',NULL,'anna',1800000100.0,NULL,NULL);
CREATE TABLE rejudge (
    run INTEGER NOT NULL REFERENCES rejudge_run ON DELETE CASCADE,
    inspection INTEGER NOT NULL REFERENCES inspection ON DELETE CASCADE, score REAL, verdict INTEGER NOT NULL,
    PRIMARY KEY (run, inspection)) WITHOUT ROWID;
CREATE TABLE rejudge_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, category_version INTEGER REFERENCES category_version, threshold REAL,
    from_id INTEGER NOT NULL, to_id INTEGER NOT NULL, by TEXT, at REAL);
CREATE TABLE session (
    token_sha256 TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES user, made_at REAL NOT NULL, seen_at REAL NOT NULL,
    expires_at REAL NOT NULL);
CREATE TABLE sink (
    name TEXT PRIMARY KEY, last_id INTEGER NOT NULL DEFAULT 0, last_ok REAL, failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE user (
    name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer')),
    password TEXT NOT NULL, made_at REAL, retired_at REAL);
CREATE INDEX category_version_hash ON category_version (hash, job);
CREATE INDEX inspection_part ON inspection (part_id, id) WHERE part_id != 0;
CREATE INDEX inspection_serial ON inspection (serial, id) WHERE serial != '';
CREATE INDEX inspection_verdict ON inspection (verdict, id) WHERE verdict != 1;
CREATE INDEX inspection_input ON inspection (input_sha256);
CREATE INDEX file_rank ON file (rank, inspection);
CREATE INDEX file_inspection ON file (inspection);
CREATE INDEX label_inspection ON label (inspection);
CREATE INDEX rejudge_inspection ON rejudge (inspection);
CREATE INDEX challenge_inspection ON challenge (inspection);
COMMIT;
PRAGMA user_version = 2;
