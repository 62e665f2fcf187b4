"""How a station decides."""

from __future__ import annotations

from dataclasses import dataclass

from .codes import Mode, TriggerKind

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What the state machine goes by. Times in nanoseconds. ``mode`` is the one that it starts in.

    ``hold_ns`` is how long a result stands (None: until it is acknowledged or the next trigger). After ``give_up_ns``
    no answer about a part is waited for any more. ``strikes`` parts in a row that cannot be judged are a fault, and so
    are ``frozen`` frames in a row that are equal to the one before. A PLC whose heartbeat stands still for
    ``plc_timeout_ns`` is gone (None: not watched). ``record_first`` puts a result out only once it is on the disk.
    After ``stop_after_rejects`` parts in a row that did not pass, the PLC is asked to stop (0: never); in shadow
    the station has no say.
    """

    mode: Mode = Mode.LIVE
    kind: TriggerKind = TriggerKind.COMMAND
    autostart: bool = False
    deadline_ns: int | None = None
    hold_ns: int | None = None
    review_passes: bool = False
    plc_timeout_ns: int | None = 2_000_000_000
    give_up_ns: int = 10_000_000_000
    strikes: int = 3
    frozen: int = 2
    record_first: bool = False
    stop_after_rejects: int = 0
