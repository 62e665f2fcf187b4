"""A recording stand-in of gpiod's ``request_lines``: the package's own settings and enums, no chip behind them.

It keeps every moment of every output, and hands out the edges that a test feeds it. What the kernel does (debounce,
time stamps, a released line's level) is not in it.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import gpiod
from gpiod.line import Direction, Value

NAMES = {"PLC_TRIG": 16}


class Event(NamedTuple):
    line_offset: int
    event_type: Any
    timestamp_ns: int
    line_seqno: int
    Type = gpiod.EdgeEvent.Type


class StandInRequest:
    """What ``request_lines`` returns."""

    def __init__(self, chip: StandInChip, config: dict[Any, Any]) -> None:
        self.chip = chip
        self.config = config
        self.lines = list(config)
        self.offsets = [NAMES.get(line, line) for line in config]
        self.released = False
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._counts: dict[int, int] = {}
        self.levels = dict.fromkeys(config, Value.INACTIVE)
        self.moments: list[dict[Any, bool]] = []

    def set_values(self, values: dict[Any, Value]) -> None:
        if self.chip.broken:
            raise OSError(19, "No such device")
        assert all(self.config[line].direction is Direction.OUTPUT for line in values) and not self.released
        self.levels.update(values)
        self.moments.append({line: value is Value.ACTIVE for line, value in self.levels.items()})

    def get_values(self, lines: list[Any]) -> list[Value]:
        return [self.levels[line] for line in lines]

    def wait_edge_events(self, timeout: float) -> bool:
        if self.chip.broken:
            raise OSError(19, "No such device")
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._events), timeout)

    def read_edge_events(self) -> list[Event]:
        with self._changed:
            found, self._events = self._events, []
        return found

    def release(self) -> None:
        self.released = True

    def edge(self, line: Any, at_ns: int, level: bool = True, lost: int = 0) -> None:
        """An input changes; ``lost`` edges before this one found no room."""
        offset = NAMES.get(line, line)
        self.levels[line] = Value.ACTIVE if level else Value.INACTIVE
        kind = gpiod.EdgeEvent.Type.RISING_EDGE if level else gpiod.EdgeEvent.Type.FALLING_EDGE
        with self._changed:
            self._counts[offset] = self._counts.get(offset, 0) + 1 + lost
            self._events.append(Event(offset, kind, at_ns, self._counts[offset]))
            self._changed.notify_all()


class StandInChip:
    """Stands in for ``gpiod.request_lines``."""

    def __init__(self) -> None:
        self.requests: list[StandInRequest] = []
        self.broken = False
        self.busy = False

    def __call__(self, path: str, config: dict[Any, Any], consumer: str, event_buffer_size: int) -> StandInRequest:
        assert (path, consumer) == ("/dev/gpiochip0", "regad-station")
        if self.busy:
            raise OSError(16, "Device or resource busy")
        self.requests.append(StandInRequest(self, config))
        return self.requests[-1]

    @property
    def outputs(self) -> StandInRequest:
        return next(one for one in self.requests if Direction.OUTPUT in {s.direction for s in one.config.values()})

    @property
    def inputs(self) -> StandInRequest:
        return next(one for one in self.requests if Direction.INPUT in {s.direction for s in one.config.values()})
