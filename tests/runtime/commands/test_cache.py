"""What regad-run was taught is kept, and taught again when anything that matters has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regad.calib import folder as teaching
from regad.runtime.commands import cache
from regad.runtime.detector import Detector
from regad.runtime.formats.category import (
    load_category,
)

from ..run_doubles import Bench, Run, failure


def cached(bench: Bench) -> list[Path]:
    return sorted((bench.root / "cache" / "regad").iterdir())


def test_the_same_photos_are_taught_once(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 40)
    assert "taught from" in run("--source", path).err
    second = run("--source", path)
    assert second.code == 0
    assert "from the cache" in second.err
    assert len(bench.taught) == 1
    assert "k = 3 good images" in second.err


@pytest.mark.parametrize("change", ["photo", "name", "shot", "frr", "roi", "package", "source"])
def test_anything_that_matters_is_taught_anew(
    bench: Bench, run: Run, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.image("x.png", 40)
    run("--source", path)
    extra: list[object] = []
    if change == "photo":
        bench.image("support/1.png", 99)
    elif change == "name":
        (bench.root / "support/1.png").rename(bench.root / "support/9.png")
    elif change == "package":
        monkeypatch.setattr(cache, "version", lambda name: "99" if name == "pillow" else "1")
    elif change == "source":
        monkeypatch.setattr(cache, "sources_sha256", lambda: "another")
    else:
        extra = {"shot": ["--shot", 2], "frr": ["--target-frr", 0.1], "roi": ["--roi", "0,0,9,9"]}[change]
    run("--source", path, *extra)
    assert len(bench.taught) == 2


def test_the_sources_of_the_key_hold_every_module_that_teaching_loads() -> None:
    code = "import sys, regad.calib.folder; print(*(name for name in sys.modules if name.startswith('regad.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    for wanted in ("regad.calib.views", "regad.runtime.imaging.preprocess", "regad.runtime.formats.encodings"):
        assert wanted in loaded
    assert [name for name in loaded if not name.startswith(cache.SOURCES)] == []


def test_a_changed_line_or_name_in_the_sources_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(cache.sources_sha256.cache_clear)
    (tmp_path / "taught_by").mkdir()
    for name in ("__init__.py", "resize.py", "kernels.so"):
        (tmp_path / "taught_by" / name).write_text("1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cache, "SOURCES", ("taught_by",))

    def key() -> str:
        cache.sources_sha256.cache_clear()
        return cache.sources_sha256()

    seen = [key()]
    for change in (
        lambda folder: (folder / "resize.py").write_text("2"),
        lambda folder: (folder / "kernels.so").write_text("2"),
        lambda folder: (folder / "resize.py").rename(folder / "smooth.py"),
    ):
        change(tmp_path / "taught_by")
        seen.append(key())
    (tmp_path / "taught_by" / "notes.txt").write_text("nothing that computes")
    assert key() == seen[-1]
    assert len(set(seen)) == 4


def test_a_threshold_by_hand_is_not_kept_in_the_cache(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 60)
    assert "threshold  5" in run("--source", path, "--threshold", 5).err
    assert "threshold  6" in run("--source", path, "--threshold", 6).err
    assert len(bench.taught) == 1
    assert "threshold  10" in run("--source", path).err


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_broken_entry_is_taught_again(bench: Bench, run: Run, damage: bytes | None) -> None:
    path = bench.image("x.png", 40)
    run("--source", path)
    (entry,) = cached(bench)
    entry.write_bytes(entry.read_bytes()[:-100] if damage is None else damage)
    outcome = run("--source", path)
    assert outcome.code == 0
    assert "taught again" in outcome.err
    assert len(bench.taught) == 2
    load_category(entry)


def test_a_cache_that_cannot_be_written_is_a_note(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.root / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(bench.root / "file"))
    outcome = run("--source", bench.image("x.png", 40))
    assert outcome.code == 0
    assert "note: the part was not cached" in outcome.err


@pytest.mark.parametrize("removed", [False, True])
def test_photos_that_change_while_they_are_taught_are_not_cached(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    path = bench.image("x.png", 40)
    real = bench.teach

    def teach(detector: Detector, photos: list[Path], **options: object) -> object:
        bench.image("support/1.png", 99)
        bench.image("support/3.png", 50)
        if removed:
            (bench.root / "support/1.png").unlink()
        return real(detector, photos, **options)

    monkeypatch.setattr(teaching, "teach_folder", teach)
    outcome = run("--source", path)
    assert "note: the photos changed while the part was taught; it is not cached" in outcome.err
    assert not (bench.root / "cache").exists()
    assert [photo.name for photo in bench.taught[0]["photos"]] == ["0.png", "1.png", "2.png"], "listed once"


def test_without_a_home_nothing_is_cached_and_the_run_goes_on(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    outcome = run("--source", bench.image("x.png", 40))
    assert outcome.code == 0
    assert "note: the part was not cached and will be taught again next time (there is no home folder" in outcome.err


def test_no_cache(bench: Bench, run: Run) -> None:
    for _ in range(2):
        run("--source", bench.image("x.png", 40), "--no-cache")
    assert len(bench.taught) == 2
    assert not (bench.root / "cache").exists()


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    abandoned = tmp_path / ".x.safetensors.tmp"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    (tmp_path / ".y.safetensors.tmp").touch()
    cache.prune(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}.safetensors" for n in range(4, 12)} | {".y.safetensors.tmp"}
    cache.prune(tmp_path, size=250)
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {"10.safetensors", "11.safetensors"}
    cache.prune(tmp_path, size=1)
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["11.safetensors"]


def test_a_photo_that_cannot_be_read_is_one_line(bench: Bench, run: Run) -> None:
    (bench.root / "support/1.png").unlink()
    (bench.root / "support/1.png").symlink_to(bench.root / "absent.png")
    line = failure(run("--source", bench.image("x.png", 40)))
    assert "1.png cannot be read: No such file or directory" in line


def test_an_entry_that_may_only_be_read_is_used(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.image("x.png", 40)
    run("--source", path)

    def utime(path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(cache.os, "utime", utime)
    assert "from the cache" in run("--source", path).err
    assert len(bench.taught) == 1


def test_an_entry_that_another_process_removes_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.safetensors").touch()
    real = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "1.safetensors":
            raise FileNotFoundError(self)
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    cache.prune(tmp_path, files=1)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_sources_of_the_key_are_found_without_running_them() -> None:
    code = "import sys; from regad.runtime.commands import cache; cache.sources_sha256(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "regad.calib" not in done.stdout.split()
