"""A part's row as the page shows it."""

from __future__ import annotations

from typing import Any

from ...station.codes import VerdictCode
from ...station.trace.reader import Row

__all__ = ["is_good", "part_of", "shown_as"]

_SHOWN = (
    *("id", "boot", "seq", "wall", "clock_ok", "job", "part_id", "serial", "trigger", "reason", "score", "threshold"),
    *("warn", "ms_acquire", "ms_judge", "ms_total", "deadline_ms", "late", "shadow", "simulated", "frame_id"),
    *("mean", "sharp", "spot_x", "spot_y", "error", "category", "category_version", "label"),
)


def is_good(row: Row) -> bool:
    """Whether the part was judged good and let pass."""
    let_pass = row["output"] in (VerdictCode.NONE, VerdictCode.PASS)
    return bool(row["verdict"] == VerdictCode.PASS and let_pass and not row["late"])


def shown_as(row: Row) -> VerdictCode:
    """Return the one verdict by which people should know a part: PASS only if it was judged good and let pass."""
    if is_good(row):
        return VerdictCode.PASS
    judged, output = VerdictCode(row["verdict"]), VerdictCode(row["output"])
    if output not in (VerdictCode.NONE, VerdictCode.PASS):
        return output
    return VerdictCode.LATE if judged is VerdictCode.PASS else judged


def part_of(row: Row) -> dict[str, Any]:
    """Return a row for the page: names instead of numbers, and never where a file lies."""
    return {name: row[name] for name in _SHOWN} | {
        "verdict": VerdictCode(row["verdict"]).name,
        "output": VerdictCode(row["output"]).name,
        "shown": shown_as(row).name,
        "good": is_good(row),
        "input": row["input_file"] is not None,
        "full": row["full_file"] is not None,
    }
