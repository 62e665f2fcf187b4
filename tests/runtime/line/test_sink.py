"""The lifecycle of sinks, alone and together."""

from __future__ import annotations

import pytest

from regad.runtime.errors import OutputError
from regad.runtime.line.sink import Sink, Together
from regad.runtime.line.verdict import Verdict

from .verdicts import verdict


class Told(Sink):
    """Tells what is asked of it; ``faulty`` names the call that fails."""

    def __init__(self, name: str, story: list[str], faulty: str = "", wish: bool = True) -> None:
        self._name, self._story, self._faulty, self._wish = name, story, faulty, wish

    def _tell(self, what: str) -> None:
        self._story.append(f"{what} {self._name}")
        if what == self._faulty:
            raise OutputError(f"{self._name} cannot {what}")

    def open(self) -> None:
        self._tell("open")

    def write(self, verdict: Verdict) -> bool:
        self._tell("write")
        return self._wish

    def close(self) -> None:
        self._tell("close")

    def abandon(self) -> None:
        self._tell("abandon")


def test_sinks_are_opened_and_written_in_order_and_closed_in_reverse() -> None:
    story: list[str] = []
    with Together([Told("a", story), Told("b", story)]) as sink:
        assert sink.write(verdict())
        sink.close()
    assert story == ["open a", "open b", "write a", "write b", "close b", "close a"]


def test_if_one_cannot_be_opened_those_before_it_are_closed() -> None:
    story: list[str] = []
    with pytest.raises(OutputError, match="b cannot open"):
        Together([Told("a", story), Told("b", story, "open"), Told("c", story)]).open()
    assert story == ["open a", "open b", "close a"]


def test_each_gets_the_verdict_also_when_one_asks_to_end_the_run() -> None:
    story: list[str] = []
    sink = Together([Told("a", story, wish=False), Told("b", story)])
    assert sink.write(verdict()) is False
    assert story == ["write a", "write b"]


def test_each_is_closed_also_when_another_cannot_be() -> None:
    story: list[str] = []
    sink = Together([Told("a", story), Told("b", story, "close")])
    sink.open()
    with pytest.raises(OutputError, match="b cannot close"):
        sink.close()
    assert story[2:] == ["close b", "close a"]


@pytest.mark.parametrize(("error", "end"), [(OutputError("x"), "close a"), (KeyboardInterrupt(), "abandon a")])
def test_an_interrupt_waits_for_nothing(error: BaseException, end: str) -> None:
    story: list[str] = []
    with pytest.raises(type(error)), Together([Told("a", story)]):
        raise error
    assert story == ["open a", end]
