"""Where verdicts go. A `Sink` is opened, takes every verdict in order, and is closed; `Together` makes one of several.

A sink is called in the thread that judges, so it must be quick: what is slow goes behind an `Outbox`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from .verdict import Verdict

__all__ = ["Sink", "Together"]


class Sink(ABC):
    """Takes every verdict of a run, in order. As a context manager it is opened, and closed whatever happens."""

    def open(self) -> None:  # noqa: B027 (most sinks hold nothing)
        """Take hold of what is written to, before the slow start. Raises OutputError or DeviceError."""

    @abstractmethod
    def write(self, verdict: Verdict) -> bool:
        """Take one verdict; False when the user asked, through this sink, to end the run. Raises OutputError."""

    def close(self) -> None:  # noqa: B027 (most sinks hold nothing)
        """Finish what was taken, and let go; may be called more than once. `write` afterwards is an OutputError."""

    def abandon(self) -> None:
        """Let go at once: the user has asked twice to stop."""
        self.close()

    def __enter__(self) -> Sink:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.abandon()
        else:
            self.close()


class Together(Sink):
    """Several sinks as one: opened and written in order, closed in reverse. If one cannot be opened, none stays open.

    The order matters: the record comes first, so that a verdict is recorded whatever happens in a later sink.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self._open: list[Sink] = []

    def open(self) -> None:
        """Open each. Raises what the first that cannot be opened raises; those before it are closed."""
        try:
            for sink in self._sinks:
                sink.open()
                self._open.append(sink)
        except BaseException:
            self.close()
            raise

    def write(self, verdict: Verdict) -> bool:
        """Give the verdict to each; False if any of them asks to end the run."""
        wishes = [sink.write(verdict) for sink in self._sinks]
        return all(wishes)

    def close(self) -> None:
        """Close each that is open, also when closing another one fails."""
        with ExitStack() as stack:
            for sink in self._open:
                stack.callback(sink.close)
            self._open = []

    def abandon(self) -> None:
        """Abandon each that is open."""
        with ExitStack() as stack:
            for sink in self._open:
                stack.callback(sink.abandon)
            self._open = []
