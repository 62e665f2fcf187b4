"""The categories of a folder: which are in memory, what takes their place, and what never does."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from regad.runtime.errors import CategoryError
from regad.runtime.serve import shelf as shelf_module
from regad.runtime.serve.shelf import Shelf, Watch

from .doubles import model, place

NAMES = ["a", "b", "c", "d"]


def test_parts_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        place(tmp_path, name, number)
    size = (tmp_path / "a.safetensors").stat().st_size
    said: list[str] = []
    shelf = Shelf(model(), tmp_path, 2 * size + 1, said.append)
    shelf.fill()
    assert list(shelf.ready) == ["a", "b"]
    first = shelf.get("a")
    shelf.get("c")
    assert list(shelf.ready) == ["a", "c"]
    assert shelf.get("a") is first
    assert shelf.nbytes == 2 * size
    assert said == ["category b made room for c"]


def test_a_category_that_is_replaced_takes_over_at_the_next_look_and_is_never_missing(tmp_path: Path) -> None:
    before = place(tmp_path, "a", 0)
    said: list[str] = []
    shelf = Shelf(model(), tmp_path, 1 << 30, said.append)
    held = shelf.get("a")
    after = place(tmp_path, "a", 1)
    assert shelf.get("a").category.hash == before.hash
    shelf.scan()
    assert shelf.get("a").category.hash == after.hash
    assert held.category.hash == before.hash
    assert said == [f"category a was replaced by {after.hash}"]


def test_a_damaged_category_does_not_take_over_and_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place(tmp_path, "a", 0)
    said: list[str] = []
    shelf = Shelf(model(), tmp_path, 1 << 30, said.append)
    shelf.get("a")
    place(tmp_path, "a", 1)
    raw = bytearray((tmp_path / "a.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "a.safetensors").write_bytes(raw)
    reads: list[Any] = []
    load = shelf_module.load_category
    monkeypatch.setattr(shelf_module, "load_category", lambda *args: (reads.append(args), load(*args))[1])
    for _ in range(3):
        shelf.scan()
        assert shelf.get("a").category.hash == before.hash
    assert len(reads) == len(said) == 1
    assert said[0].startswith("category a is not replaced, the previous version stays in use: ")
    shelf_again = Shelf(model(), tmp_path, 1 << 30)
    for _ in range(2):
        with pytest.raises(CategoryError, match="damaged"):
            shelf_again.get("a")
    assert len(reads) == 2
    after = place(tmp_path, "a", 2)
    shelf.scan()
    assert shelf.get("a").category.hash == after.hash


def test_a_new_category_is_found_when_it_is_asked_for_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    shelf = Shelf(model(), tmp_path, 1 << 30)
    with pytest.raises(CategoryError, match="there is no category 'a'; expected one of: none is there"):
        shelf.get("a")
    made = place(tmp_path, "a", 0)
    assert shelf.get("a").category.hash == made.hash
    (tmp_path / "a.safetensors").unlink()
    shelf.scan()
    with pytest.raises(CategoryError, match="there is no category"):
        shelf.get("a")
    assert shelf.nbytes == 0


@pytest.mark.parametrize("name", ["../a", "", ".", "a/../a", "a\0", "x" * 300, "ü\n"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    place(tmp_path, "a", 0)
    with pytest.raises(CategoryError, match="there is no category") as caught:
        Shelf(model(), tmp_path / "in", 1 << 30).get(name)
    assert "\n" not in str(caught.value)


def test_a_category_larger_than_the_bound_is_refused(tmp_path: Path) -> None:
    place(tmp_path, "a", 0)
    shelf = Shelf(model(), tmp_path, 1_000_000)
    shelf.fill()
    with pytest.raises(CategoryError, match=r"category a takes \d MB, and all of them may take 1 MB; raise the bound"):
        shelf.get("a")


def test_a_folder_that_cannot_be_read_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, "a", 0)
    said: list[str] = []
    shelf = Shelf(model(), tmp_path, 1 << 30, said.append)
    part = shelf.get("a")

    def broken(path: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", broken)
    shelf.scan()
    assert shelf.get("a") is part
    assert said == [f"{tmp_path} cannot be read (Input/output error); what was read before stays in use"]


def test_a_part_that_is_ready_is_not_waited_for_while_another_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, "a", 0)
    place(tmp_path, "b", 1)
    shelf = Shelf(model(), tmp_path, 1 << 30)
    part = shelf.get("a")
    at_work, go_on = threading.Event(), threading.Event()
    load = shelf_module.load_category

    def slow(*args: Any) -> Any:
        at_work.set()
        assert go_on.wait(30)
        return load(*args)

    monkeypatch.setattr(shelf_module, "load_category", slow)
    thread = threading.Thread(target=shelf.get, args=("b",))
    thread.start()
    assert at_work.wait(30)
    assert shelf.get("a") is part
    go_on.set()
    thread.join(30)
    assert list(shelf.ready) == ["b", "a"] or list(shelf.ready) == ["a", "b"]


def test_the_watch_takes_over_what_was_replaced(tmp_path: Path) -> None:
    place(tmp_path, "a", 0)
    replaced = threading.Event()
    shelf = Shelf(model(), tmp_path, 1 << 30, lambda text: replaced.set())
    shelf.get("a")
    watch = Watch(shelf, 0.01)
    try:
        made = place(tmp_path, "a", 1)
        assert replaced.wait(30)
        assert shelf.get("a").category.hash == made.hash
    finally:
        watch.close()


def test_the_watch_outlives_a_look_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    replaced = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if "was replaced" in text:
            replaced.set()

    place(tmp_path, "a", 0)
    shelf = Shelf(model(), tmp_path, 1 << 30, say)
    shelf.get("a")
    place(tmp_path, "a", 1)
    scan = shelf.scan

    def short() -> None:
        monkeypatch.setattr(shelf, "scan", scan)
        raise MemoryError("no memory left")

    monkeypatch.setattr(shelf, "scan", short)
    watch = Watch(shelf, 0.01)
    assert replaced.wait(30)
    watch.close()
    assert said[0] == "the categories could not be checked: no memory left"


class Folders(RuleBasedStateMachine):
    """Any order of files that come, change and go, and of requests: what is served is what was last seen sound."""

    @initialize()
    def start(self) -> None:
        self.files: dict[str, tuple[int, bool]] = {}
        self.last: dict[str, int] = {}
        self.count = 0
        self.shelf: Any = Shelf.__new__(Shelf)
        self.shelf._look = self.look
        Shelf.__init__(self.shelf, Double(self), Path("folder"), 10)

    def look(self) -> dict[str, Any]:
        return {name: shelf_module._Stamp(stamp, 1 + NAMES.index(name), 0) for name, (stamp, _) in self.files.items()}

    @rule(name=st.sampled_from(NAMES), sound=st.booleans())
    def write(self, name: str, sound: bool) -> None:
        self.count += 1
        self.files[name] = (self.count, sound)

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    @rule()
    def scan(self) -> None:
        self.shelf.scan()
        for name, (stamp, sound) in self.files.items():
            if name in self.last and sound and name in self.shelf.ready:
                self.last[name] = stamp
                assert self.shelf.get(name).stamp == stamp
        self.last = {name: stamp for name, stamp in self.last.items() if name in self.files}

    @precondition(lambda self: self.files)
    @rule(name=st.sampled_from(NAMES))
    def ask(self, name: str) -> None:
        ready = name in self.shelf.ready
        try:
            got = self.shelf.get(name).stamp
        except CategoryError:
            assert not ready
            assert name not in self.files or not self.files[name][1] or name not in self.shelf.names
            return
        assert not ready or got == self.last[name]
        self.last[name] = got

    @invariant()
    def bounded(self) -> None:
        assert self.shelf.nbytes <= 10


class Double:
    """A model whose category file is the books' entry: its part says which one it was made of."""

    info = type("Info", (), {"hash": "a" * 64})

    def __init__(self, books: Folders) -> None:
        self.books = books

    def part(self, stamp: int) -> Any:
        category = type("Category", (), {"hash": str(stamp)})
        return type("Part", (), {"stamp": stamp, "category": category})


def _load(path: Path, artifact: str) -> int:
    stamp, sound = CURRENT[0].files.get(path.name.removesuffix(".safetensors"), (0, False))
    if not sound:
        raise CategoryError("damaged")
    return stamp


CURRENT: list[Folders] = []


def test_what_is_served_is_what_was_last_seen_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "load_category", _load)

    class Machine(Folders):
        def __init__(self) -> None:
            super().__init__()
            CURRENT[:] = [self]

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
