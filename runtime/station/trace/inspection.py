"""What the line hands to the trace, and what the trace says about itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

__all__ = ["Alarm", "Boot", "FullPictures", "Inspection", "Lag", "OnDiskFull", "TraceAlarm", "TracePolicy", "Trigger"]

Trigger = Literal["command", "modbus", "gpio", "free"]
"""What asked for a part to be judged."""
FullPictures = Literal["none", "reject", "all"]
"""Whose full pictures are stored; with ``reject`` those of all parts but the good ones, and a share of these."""
OnDiskFull = Literal["ring", "stop"]
"""``ring``: old pictures make room and the line goes on; ``stop``: nothing is deleted for room, `Trace.must_stop`."""


class TraceAlarm(IntEnum):
    """The first argument of an `Alarm`; each is raised once when it begins."""

    SET_ASIDE = 60  # the database was damaged, or missing where there are pictures; a new one was begun
    DISK_SHORT = 61  # no more room can be made: pictures are not stored
    RING = 62  # rows cannot be written: they are kept in memory
    LOST = 63  # the memory for rows is full, or the trace was closed with rows in it: rows are lost
    SLOW = 64  # the disk is slower than the line: pictures are left out
    UNFIT = 65  # a row cannot be stored as it is and was left out
    UNKNOWN = 66  # somebody spoke of a part or an event that the trace does not have
    DRIFT = 67  # the desk has found that scores, light, focus or rejects have moved, or are where they were again


Alarm = Callable[[int, str], None]
"""Takes a `TraceAlarm` and one line; called from the trace's thread, once when a trouble begins."""


@dataclass(frozen=True)
class TracePolicy:
    """How much is kept. ``full``: whose full pictures are stored, and of goods ``full_goods_percent`` of them.

    Pictures make room, the least useful first, while the trace holds more than ``max_gb`` (None: no such limit) or the
    disk has less than ``min_free_gb`` left; what rejects rest on only for ``max_gb``. What is older than ``keep_days``
    of the station's running time (None: never too old) is removed with its row. Labelled, challenge and taught parts
    are never touched. Raises InputError.
    """

    full: FullPictures = "reject"
    full_goods_percent: float = 1.0
    min_free_gb: float = 2.0
    max_gb: float | None = None
    keep_days: float | None = None
    on_disk_full: OnDiskFull = "ring"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("full", self.full, get_args(FullPictures)),
            ("on_disk_full", self.on_disk_full, get_args(OnDiskFull)),
        ):
            if value not in allowed:
                raise InputError(f"trace.{name} is {value!r}; expected one of {', '.join(allowed)}")
        for name, number, least, most in (
            ("full_goods_percent", self.full_goods_percent, 0.0, 100.0),
            ("min_free_gb", self.min_free_gb, 0.0, math.inf),
            ("max_gb", self.max_gb, 0.0, math.inf),
            ("keep_days", self.keep_days, 0.0, math.inf),
        ):
            if number is not None and not least <= number <= most:
                raise InputError(f"trace.{name} is {number}; expected {least:g} to {most:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """One part, as it was judged and as it was put out. ``boot`` is `Boot.id`, ``seq`` rises by 1 from 1 in a boot.

    ``mono_ns`` orders the parts of a boot; ``wall``, seconds since 1970, is for people only, and wrong unless
    ``clock_ok``. ``category`` is `Category.hash`. ``verdict`` is what was judged, ``output`` what was put out, both
    `VerdictCode`. ``spot_x``, ``spot_y``: the worst pixel, 0 to 223, of the region of interest as the camera shows it.
    ``mean``, ``contrast``, ``sharp`` and ``structure`` are the four `Measures` of the frame. ``input``: what the
    encoder saw, uint8 RGB [224, 224, 3], made as ``prepared`` (`Category.preparation`) says; ``map``: float32
    [224, 224], over that input; ``frame``: the full picture, uint8 RGB [H, W, 3]. Of a registered part ``quality`` and
    ``share`` say how well it matches and how much of it the frame shows, the four after them are its `Pose`. The
    arrays belong to the trace once they are given to it: nobody may write to them. What is not finite is stored as
    None.
    """

    boot: int
    seq: int
    mono_ns: int
    wall: float
    clock_ok: bool
    trigger: Trigger
    verdict: int
    output: int
    job: int | None = None
    category: str = ""
    part_id: int = 0
    serial: str = ""
    reason: str = ""
    score: float | None = None
    threshold: float | None = None
    warn: bool = False
    ms_acquire: float | None = None
    ms_judge: float | None = None
    ms_total: float | None = None
    deadline_ms: float | None = None
    late: bool = False
    shadow: bool = False
    simulated: bool = False
    frame_id: int | None = None
    mean: float | None = None
    sharp: float | None = None
    spot_x: int | None = None
    spot_y: int | None = None
    error: str = ""
    contrast: float | None = None
    structure: float | None = None
    prepared: str = ""
    quality: float | None = None
    share: float | None = None
    angle: float | None = None
    shift_x: float | None = None
    shift_y: float | None = None
    scale: float | None = None
    input: NDArray[np.uint8] | None = None
    map: NDArray[np.float32] | None = None
    frame: NDArray[np.uint8] | None = None

    @property
    def good(self) -> bool:
        """Whether the part was judged good and let pass: of all others more is kept."""
        return self.verdict == 1 and self.output in (0, 1) and not self.late


@dataclass(frozen=True)
class Boot:
    """One run of the line. ``clean_before``: the run before it ended in order; True for the first one.

    ``clock_ok``: the wall clock is not behind this software or the newest row.
    """

    id: int
    clean_before: bool
    clock_ok: bool


class Lag(NamedTuple):
    """How far the disk is behind: rows not yet committed, pictures not yet stored, seconds since the oldest was given.

    ``lost_rows`` and ``left_out`` (pictures) count since the trace was opened; ``error`` is the last one, or "".
    """

    rows: int
    pictures: int
    seconds: float
    lost_rows: int
    left_out: int
    error: str
