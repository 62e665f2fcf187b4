"""The faults that stand, and when each may be forgotten."""

from __future__ import annotations

from .codes import Fault

__all__ = ["Faults", "Strikes"]

_HEALING = frozenset({Fault.CAMERA, Fault.HANG, Fault.TRACE, Fault.CATEGORY, Fault.UNKNOWN_JOB})
"""These end with their cause. The others stand until somebody has looked: reset."""
_LOOK_ONLY = frozenset({Fault.PICTURE, Fault.FROZEN})
"""Only a person can tell whether the cause of these is gone: a reset is enough."""


class Faults:
    """A set of standing faults, in the order in which they came."""

    def __init__(self) -> None:
        self._standing: dict[Fault, bool] = {}  # whether the cause is gone

    def __bool__(self) -> bool:
        return bool(self._standing)

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._standing

    @property
    def first(self) -> Fault:
        """The fault that word 103 names: the oldest one; NONE."""
        return next(iter(self._standing), Fault.NONE)

    def add(self, fault: Fault) -> bool:
        """A fault has come; whether it is a new one."""
        new = fault not in self._standing
        self._standing[fault] = fault in _LOOK_ONLY
        return new

    def gone(self, fault: Fault) -> bool:
        """The cause of a fault is gone; whether the fault is, too."""
        if fault not in self._standing:
            return False
        self._standing[fault] = True
        if fault in _HEALING:
            del self._standing[fault]
        return fault in _HEALING

    def reset(self) -> list[Fault]:
        """Forget the faults whose cause is gone, and return those that stay."""
        self._standing = {fault: gone for fault, gone in self._standing.items() if not gone}
        return list(self._standing)


class Strikes:
    """Counts failures of one kind in a row. ``limit`` is how many make a fault, ``frozen`` how many equal frames."""

    def __init__(self, limit: int, frozen: int) -> None:
        self._limit, self._frozen = limit, frozen
        self._fault = Fault.NONE
        self._count = 0

    def count(self, fault: Fault) -> bool:
        """A part ended with ``fault`` (NONE: well); whether that makes it one too many in a row."""
        self._count = self._count + 1 if fault == self._fault else 1
        self._fault = fault
        if fault is Fault.NONE or self._count < (self._frozen if fault is Fault.FROZEN else self._limit):
            return False
        self._fault = Fault.NONE
        return True
