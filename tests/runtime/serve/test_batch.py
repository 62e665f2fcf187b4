"""``regad-batch`` on this machine: every image one row, once, whatever ends a run; tables that read back as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regad.runtime.commands.console import run_cli
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import save_category
from regad.runtime.model import Model
from regad.runtime.serve.batch import cli
from regad.runtime.serve.batch.inputs import find_images
from regad.runtime.serve.batch.journal import Journal, journal_path
from regad.runtime.serve.batch.table import COLUMNS, table_of

from ..run_doubles import ARTIFACT, KEYS, NOT_JUDGED_KEYS, FakeBackend, Outcome, category

Run = Callable[..., Outcome]
SUFFIXES = (".csv", ".jsonl")


class CountingBackend(FakeBackend):
    """Judges by brightness, counts what it judged, and fails when told to."""

    def __init__(self) -> None:
        self.judged = 0
        self.fails_after: int | None = None

    def infer(self, images: Any, statistics: object) -> Any:
        if self.judged == self.fails_after:
            raise RuntimeError("the device fell off the bus")
        self.judged += len(images)
        return super().infer(images, statistics)


@pytest.fixture
def backend() -> CountingBackend:
    return CountingBackend()


@pytest.fixture
def run(
    tmp_path: Path, backend: CountingBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    monkeypatch.setattr(Detector, "load", lambda *args, **options: Detector(Model(ARTIFACT, backend)))  # type: ignore[arg-type]
    save_category(category(), tmp_path / "part.safetensors")

    def call(source: object, out: Path, *more: object) -> Outcome:
        words = ["--source", source, "--out", out, "--model", tmp_path / "m.regad"]
        with pytest.raises(SystemExit) as stop:
            run_cli(cli.command, [*map(str, words), "--category", str(tmp_path / "part.safetensors"), *map(str, more)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two good images, an anomalous one in a folder below, one that is none, and one of two pages."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name, grey in (("1.png", 60), ("2.png", 70), ("below/1.png", 150)):
        Image.new("L", (40, 30), grey).save(folder / name)
    (folder / "3.png").write_bytes(b"no image")
    Image.new("L", (40, 30), 60).save(folder / "4.tif", save_all=True, append_images=[Image.new("L", (40, 30), 140)])
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    """The table without what differs from run to run."""
    return [{key: value for key, value in row.items() if key not in ("time", "ms")} for row in table_of(out).read()]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_image_and_page_is_one_row_in_order_with_the_keys_of_a_json_line(
    run: Run, photos: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"rows{suffix}"
    outcome = run(photos, out)
    assert outcome.code == 3 and "1 rows with an error" in outcome.out
    found = list(table_of(out).read())
    assert [(Path(row["source"]).name, row["frame"], row.get("reason")) for row in found] == [
        ("1.png", 0, "good"),
        ("2.png", 0, "good"),
        ("3.png", 0, None),
        ("4.tif, page 1", 0, "good"),
        ("4.tif, page 2", 1, "anomalous"),
        ("1.png", 0, "anomalous"),
    ]
    assert list(found[0]) == KEYS and list(found[2]) == NOT_JUDGED_KEYS
    assert "is not an image file" in found[2]["error"] and found[2]["reject"] is True
    assert not journal_path(out).exists()


def test_all_forms_hold_the_same_rows(run: Run, photos: Path, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        run(photos, tmp_path / f"rows{suffix}")
    assert rows(tmp_path / "rows.csv") == rows(tmp_path / "rows.jsonl")


def test_a_run_that_ended_early_goes_on_and_makes_the_same_table(
    run: Run, photos: Path, tmp_path: Path, backend: CountingBackend
) -> None:
    run(photos, tmp_path / "whole.jsonl")
    out = tmp_path / "rows.jsonl"
    backend.judged, backend.fails_after = 0, 2
    outcome = run(photos, out)
    assert outcome.code == 1 and "the device fell off the bus" in outcome.err
    assert not out.exists() and journal_path(out).exists()
    with journal_path(out).open("ab") as file:
        file.write(b'{"image": "half a li')
    backend.judged, backend.fails_after = 0, None
    outcome = run(photos, out)
    assert outcome.code == 3 and "2 are judged already" in outcome.err
    assert backend.judged == 3, "the pages of 4.tif and below/1.png"
    assert rows(out) == rows(tmp_path / "whole.jsonl")


def test_what_is_in_the_table_is_not_judged_again_but_new_images_and_errors_are(
    run: Run, photos: Path, tmp_path: Path, backend: CountingBackend
) -> None:
    out = tmp_path / "rows.csv"
    run(photos, out)
    Image.new("L", (40, 30), 60).save(photos / "3.png")
    Image.new("L", (40, 30), 60).save(photos / "0.png")
    backend.judged = 0
    outcome = run(photos, out)
    assert outcome.code == 0 and backend.judged == 2
    assert [Path(row["source"]).name for row in rows(out)][:4] == ["0.png", "1.png", "2.png", "3.png"]
    before = out.stat().st_ino
    assert run(photos, out).code == 0 and backend.judged == 2 and out.stat().st_ino == before


def test_rows_of_another_source_stay_in_the_table(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    run(photos / "below", out)
    run(photos / "1.png", out)
    assert [row["source"] for row in rows(out)] == [str(photos / "below/1.png"), str(photos / "1.png")]


def test_a_table_or_journal_of_another_part_is_not_mixed_with_this_one(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    run(photos, out)
    for another in (("--threshold", 3), ("--device", "openvino", "--precision", "bf16")):
        outcome = run(photos, out, *another)
        assert outcome.code == 1 and "another artifact, category, threshold or precision" in outcome.err
    journal = Journal(journal_path(tmp_path / "other.csv"), {"artifact": "x"})
    in_use = run(photos, tmp_path / "other.csv")
    assert in_use.code == 1 and "in use by another regad-batch" in in_use.err
    journal.close()
    other = run(photos, tmp_path / "other.csv")
    assert other.code == 1 and "another artifact, category, threshold or precision" in other.err


def test_pictures_are_named_by_their_input_and_take_their_own_place(run: Run, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    for out in ("a.csv", "b.csv"):
        run(photos, tmp_path / out, "--overlay", tmp_path / "pictures")
    found = {str(path.relative_to(tmp_path / "pictures")) for path in (tmp_path / "pictures").rglob("*.png")}
    assert found == {"1.png", "2.png", "below/1.png", "4.png", "4.page2.png"}


def test_a_list_names_its_images_and_what_is_missing_is_an_error_row(run: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "some.txt").write_text("# some\n2.png\n\nbelow/1.png\ngone.png\n2.png\n")
    outcome = run(photos / "some.txt", tmp_path / "rows.jsonl")
    assert "name a file again" in outcome.err
    found = rows(tmp_path / "rows.jsonl")
    assert [Path(row["source"]).name for row in found] == ["2.png", "1.png", "gone.png"]
    assert "error" in found[2] and outcome.code == 3


def test_a_folder_that_cannot_be_read_is_an_error_row(
    run: Run, photos: Path, tmp_path: Path, lock: Callable[[Path], None]
) -> None:
    lock(photos / "below")
    outcome = run(photos, tmp_path / "rows.jsonl")
    last = rows(tmp_path / "rows.jsonl")[-1]
    assert outcome.code == 3 and last["source"] == str(photos / "below") and "cannot be read" in last["error"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("rows.xlsx", "has another ending than .csv, .jsonl, .parquet"),
        ("part.safetensors", "has another ending than"),
        ("a.csv", "not a table"),
    ],
)
def test_an_output_that_is_no_table_of_ours_is_left_alone(
    run: Run, photos: Path, tmp_path: Path, out: str, words: str
) -> None:
    (tmp_path / "a.csv").write_text("name,price\n")
    outcome = run(photos, tmp_path / out)
    assert outcome.code == 1 and words in outcome.err and (tmp_path / "a.csv").read_text() == "name,price\n"


def test_a_cluster_without_ray_and_parquet_without_pyarrow_name_what_to_install(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    outcome = run(photos, tmp_path / "rows.csv", "--address", "auto")
    assert outcome.code == 1 and "pip install 'regad[ray]'" in outcome.err
    outcome = run(photos, tmp_path / "rows.parquet")
    assert outcome.code == 1 and "needs pyarrow" in outcome.err


def test_device_and_precision_reach_the_detector(
    run: Run, photos: Path, tmp_path: Path, backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def load(path: Path, **options: Any) -> Detector:
        asked.update(options)
        return Detector(Model(ARTIFACT, backend))  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "load", load)
    words = ("--device", "openvino", "--precision", "bf16", "--force", "--threads", 2)
    assert run(photos / "1.png", tmp_path / "rows.csv", *words).code == 0
    assert asked == {"device": "openvino", "precision": "bf16", "force": True, "threads": 2}


def test_two_names_that_look_alike_are_refused(tmp_path: Path) -> None:
    for name in (b"\xff.png", b"\xfe.png"):
        Path(str(tmp_path / name.decode("utf-8", "surrogateescape"))).write_bytes(b"")
    with pytest.raises(InputError, match="two files are both shown as"):
        find_images(str(tmp_path))


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cf"]), min_size=1, max_size=20)
judged_rows = st.fixed_dictionaries(
    {
        "source": texts,
        "frame": st.integers(0, 1 << 40),
        "time": numbers,
        "score": st.none() | numbers,
        "threshold": numbers,
        **{name: st.booleans() for name in ("anomalous", "warn", "reject")},
        "reason": texts,
        "thetas": st.lists(st.lists(st.lists(numbers, min_size=1, max_size=3), min_size=1, max_size=2), max_size=3),
        "ms": st.fixed_dictionaries(dict.fromkeys(("preprocess", "encode", "score", "total"), numbers)),
        **dict.fromkeys(("artifact", "category", "device", "precision"), texts),
    },
    optional={
        "detail": texts,
        "pose": st.fixed_dictionaries(dict.fromkeys(("angle", "dx", "dy", "scale", "quality"), numbers)),
    },
)
error_rows = st.fixed_dictionaries(
    {"source": texts, "frame": st.integers(0, 9), "time": numbers, "reject": st.just(True), "error": texts}
)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".parquet"])
def test_a_table_reads_back_as_the_rows_that_were_written(
    suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow, which tests/runtime/serve/test_ray.py brings")
    folder = tmp_path_factory.mktemp("table")

    @settings(max_examples=25)
    @given(st.lists(judged_rows | error_rows, max_size=4))
    def check(written: list[dict[str, Any]]) -> None:
        table = table_of(folder / f"rows{suffix}")
        table.write(written)
        assert list(table.read()) == written
        assert table.path.stat().st_size == 0 or table.kind.is_own(table.path)

    check()


@settings(max_examples=40)
@given(st.binary(max_size=200), st.booleans())
def test_a_damaged_journal_is_continued_or_refused_and_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, begun: bool
) -> None:
    path = tmp_path_factory.mktemp("journal") / "rows.csv.part"
    head = {"artifact": "a", "category": "c", "threshold": 1.0}
    if begun:
        first = Journal(path, head)
        first.add("one", [{"source": "one", "score": 1.0}])
        first.close()
    with path.open("ab") as file:
        file.write(tail)
    try:
        journal = Journal(path, head)
    except OutputError as error:
        assert not begun and "\n" not in str(error)
        return
    assert journal.judged("one") is begun
    journal.add("two", [{"source": "two", "score": 2.0}])
    assert [row["source"] for row in journal.rows(["two", "one", "none"])] == (["two", "one"] if begun else ["two"])
    journal.close()


def test_the_columns_are_the_keys_of_a_json_line() -> None:
    assert set(COLUMNS) == {*KEYS, *NOT_JUDGED_KEYS, "detail", "pose"}
