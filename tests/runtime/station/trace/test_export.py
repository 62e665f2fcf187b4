"""Reading a trace, and taking it elsewhere: rows as CSV and JSON, one part as a zip."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.errors import CategoryError, InputError
from regad.runtime.formats.category import save_category
from regad.runtime.station.trace.export import export_rows
from regad.runtime.station.trace.package import export_part, import_part, read_part
from regad.runtime.station.trace.reader import EXPORTED, Gap, Selection, TraceReader
from regad.runtime.station.trace.writer import Trace

from ...run_doubles import category
from .parts import ROOMY, ask, filled, heat, part, picture

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def test_a_selection_finds_what_fits_all_that_is_asked(tmp_path: Path) -> None:
    filled(
        tmp_path,
        part(1, part_id=7, serial="A"),
        part(2, verdict=2, part_id=7),
        part(3, verdict=2, job=4),
        part(4, verdict=2, serial="A"),
    )
    with TraceReader(tmp_path) as reader:

        def found(**wanted: Any) -> list[int]:
            return [row["seq"] for row in reader.rows(Selection(**wanted))]

        assert found() == [1, 2, 3, 4]
        assert found(from_id=2, to_id=3) == [2, 3]
        assert found(verdict=2, job=3) == [2, 4]
        assert found(part_id=7) == [1, 2]
        assert found(serial="A", verdict=2) == [4]
        assert found(job=9) == []
        with pytest.raises(InputError, match="no part of id 99"):
            reader.row(99)


def test_rows_are_read_page_by_page_while_the_station_writes(tmp_path: Path) -> None:
    trace = Trace(tmp_path, ROOMY)
    trace.open()
    for seq in range(1, 1201):
        trace.add(part(seq))
    assert trace.flushed(1200, 60.0)
    with TraceReader(tmp_path) as reader:
        rows = reader.rows(Selection(to_id=1201))
        assert next(rows)["seq"] == 1
        trace.add(part(1201))
        assert trace.flushed(1201, 60.0)
        assert [row["seq"] for row in rows] == list(range(2, 1202))
    trace.close()


def test_a_gap_is_shown_unless_its_rows_were_too_old(tmp_path: Path) -> None:
    hour = 3_600_000_000_000
    filled(tmp_path, *(part(seq, mono_ns=seq * hour // 10) for seq in (2, 3, 7, 8, 30, 33)))
    with TraceReader(tmp_path) as reader:
        assert reader.gaps() == [Gap(1, 0, 2), Gap(1, 3, 7), Gap(1, 8, 30), Gap(1, 30, 33)]
        ask(tmp_path, "INSERT INTO hour VALUES (1, 0, 3, 1, 0, 6, '{}', NULL, NULL, NULL)")
        assert reader.gaps() == [Gap(1, 30, 33)]


@settings(max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"serial": TEXT, "error": TEXT, "score": NUMBER, "threshold": NUMBER, "part_id": st.integers(0, 2**32 - 1)}
        ),
        max_size=4,
    )
)
def test_exported_rows_hold_every_value_exactly(given_parts: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled(folder, *(part(seq, **one) for seq, one in enumerate(given_parts, 1)))
        with TraceReader(folder) as reader:
            rows = list(reader.rows())
        assert export_rows(folder, folder / "rows.json") == len(rows)
        assert json.loads((folder / "rows.json").read_text())["rows"] == rows
        assert export_rows(folder, folder / "rows.csv") == len(rows)
        with (folder / "rows.csv").open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        assert table == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
        for row, one in zip(rows, given_parts, strict=True):
            assert {key: row[key] for key in ("score", "threshold", "part_id")} == {
                key: one[key] for key in ("score", "threshold", "part_id")
            }


def test_the_newest_label_is_exported_with_the_category(tmp_path: Path) -> None:
    filled(tmp_path, part(1), part(2, category=""))
    ask(tmp_path, "INSERT INTO label (id, inspection, value, replaced_by) VALUES (2, 1, 'defect', NULL)")
    ask(tmp_path, "INSERT INTO label (id, inspection, value, replaced_by) VALUES (1, 1, 'good', 2)")
    export_rows(tmp_path, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert header == list(EXPORTED)
    assert (first[-2:], second[-2:]) == (["c" * 16, "defect"], ["", ""])


def test_an_export_of_another_kind_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "trace", part(1))
    with pytest.raises(InputError, match="'xlsx'; expected csv or json: give --format"):
        export_rows(tmp_path / "trace", tmp_path / "out.xlsx")
    assert export_rows(tmp_path / "trace", tmp_path / "out.xlsx", row_format="csv") == 1


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A part with everything in a zip."""
    taught = category()
    save_category(taught, tmp_path / "part.safetensors")
    trace = Trace(tmp_path / "trace", ROOMY)
    trace.open()
    trace.category(3, taught, tmp_path / "part.safetensors")
    frame = np.full((30, 40, 3), 77, np.uint8)
    trace.add(part(1, category=taught.hash, verdict=2, input=picture(1), map=heat(1), frame=frame, score=2.5))
    trace.close()
    export_part(tmp_path / "trace", 1, tmp_path / "part.zip")
    return tmp_path / "part.zip"


def test_a_part_comes_out_of_its_zip_as_it_went_in(tmp_path: Path, packed: Path) -> None:
    inside = tmp_path / "unpacked"
    one = import_part(packed, inside)
    with TraceReader(tmp_path / "trace") as reader:
        assert one.row == reader.row(1)
        stored_map = reader.map(1)
        assert one.map is not None and stored_map is not None and one.map.tobytes() == stored_map.tobytes()
        assert one.full == reader.full(1) != None  # noqa: E711
    assert one.input.tobytes() == picture(1).tobytes()
    assert one.category is not None and one.category.hash == category().hash
    assert sorted(path.name for path in inside.iterdir()) == [
        *("category.safetensors", "full.jpg", "input.png", "map.png", "record.json")
    ]
    export_part(tmp_path / "trace", 1, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_part_is_unpacked_into_its_own_folder_only(tmp_path: Path, packed: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    import_part(packed, mine)
    import_part(packed, mine)
    (mine / "record.json").rename(mine / "notes.txt")
    with pytest.raises(InputError, match="holds something else than an imported part; name a new folder"):
        import_part(packed, mine)
    assert (mine / "notes.txt").is_file()


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), score=NUMBER, serial=TEXT, scored=st.booleans())
def test_every_part_survives_the_way_through_a_zip(seed: int, score: float | None, serial: str, scored: bool) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (224, 224, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = part(1, input=image, score=score, serial=serial, map=heat(seed) if scored else None)
        export_part(filled(folder / "trace", one), 1, folder / "part.zip")
        back = read_part(folder / "part.zip")
        with TraceReader(folder / "trace") as reader:
            assert back.row == reader.row(1)
            stored_map = reader.map(1)
        assert back.input.tobytes() == image.tobytes()
        assert (back.map is None) == (not scored)
        assert back.map is None or np.array_equal(back.map, stored_map)
        assert (back.full, back.category) == (None, None)


@pytest.mark.parametrize("change", ["gone", "altered", "unknown"])
def test_a_zip_without_its_category_is_made_and_says_so(tmp_path: Path, packed: Path, change: str) -> None:
    file = tmp_path / "part.safetensors"
    if change == "gone":
        file.unlink()
    elif change == "altered":
        file.write_bytes(b"another file")
    else:
        ask(tmp_path / "trace", "UPDATE category_version SET sha256 = ''")
    notes: list[str] = []
    export_part(tmp_path / "trace", 1, packed, say=notes.append)
    assert len(notes) == 1 and notes[0].endswith("the zip is without it")
    assert read_part(packed).category is None


def test_a_part_without_its_input_is_not_exported(tmp_path: Path) -> None:
    filled(tmp_path, part(1))
    with pytest.raises(InputError, match="the input of part 1 is not stored any more"):
        export_part(tmp_path, 1, tmp_path / "part.zip")
    assert not (tmp_path / "part.zip").exists()


def rewritten(path: Path, change: str) -> None:
    """Change one thing in a zip."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = json.loads(members["record.json"])
    if change == "another input":
        members["input.png"] = members["input.png"][:-20] + b"x" * 20
    elif change == "outside":
        members["../../evil.sh"] = b"x"
    elif change == "version":
        record["version"] = 2
    elif change == "empty row":
        record["row"] = {}
    elif change in ("verdict", "score", "serial"):
        record["row"][change] = {"verdict": 99, "score": "2.5", "serial": None}[change]
    elif change == "no row":
        del record["row"]
    elif change == "no record":
        record = None
    elif change == "large":
        members["record.json"] = b" " * (1 << 21)
    if change == "no record":
        del members["record.json"]
    elif change != "large":
        members["record.json"] = json.dumps(record).encode()
    method = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("another input", "is damaged: its members are not those of its record"),
        ("outside", r"evil.sh' is in it\); expected a zip of: regad-station export"),
        ("version", "is regad-part 2; this program reads regad-part 1: update regad"),
        ("no row", "has a malformed record"),
        ("no record", "no record.json"),
        ("compressed", "holds record.json compressed; expected it as it was exported"),
        ("empty row", "has a malformed record"),
        ("verdict", "has a malformed record .*99 is not a valid VerdictCode"),
        ("score", "has a malformed record .*score is '2.5'"),
        ("serial", "has a malformed record .*serial is None"),
        ("large", "holds record.json of more than 1048576 bytes"),
    ],
)
def test_a_zip_that_is_not_one_of_ours_is_refused(tmp_path: Path, packed: Path, change: str, said: str) -> None:
    rewritten(packed, change)
    with pytest.raises(InputError, match=said):
        import_part(packed, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_zip_is_an_error_or_the_same_part(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "part.zip"
        if not _PACKED:
            export_part(filled(folder / "trace", part(1, input=picture(1), map=heat(1))), 1, path)
            _PACKED.append(path.read_bytes())
        whole = bytearray(_PACKED[0])
        for _ in range(data.draw(st.integers(1, 3))):
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
        try:
            back = read_part(path)
        except (InputError, CategoryError):
            return
        assert back.input.tobytes() == picture(1).tobytes()


_PACKED: list[bytes] = []


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(io.BytesIO(b"no zip").read())
    for path in (tmp_path / "x.zip", tmp_path / "missing.zip"):
        with pytest.raises(InputError, match="cannot be read as a zip"):
            read_part(path)
