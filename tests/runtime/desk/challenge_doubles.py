"""The service of challenges before a line that is only heard, and parts that are shown to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from regad.runtime.desk.errors import LinkError
from regad.runtime.desk.learning.challenge_service import ChallengeService
from regad.runtime.desk.service import Surroundings
from regad.runtime.station.codes import Flag
from regad.runtime.station.config import DeskConfig

from .learning_doubles import Recorded, config_of
from .test_challenge import JOB


class Heard:
    """What the line says, as the tests set it; a hold and a release reach it at once."""

    def __init__(self) -> None:
        self.boot, self.job, self.held = 1, JOB, False
        self.hold_of, self.hold_id, self.version = JOB, "h0", "a"
        self.refuses = ""
        self.gone = self.lags = False
        self.looks = 0
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def heard(self) -> Any:
        if self.gone:
            return SimpleNamespace(status=None, error="the station does not answer")
        image = {"job": self.job, "flags": int(Flag.HELD) if self.held or self.lags else 0}
        held = {"job": self.hold_of, "reason": f"job {self.hold_of} is held", "id": self.hold_id} if self.held else None
        asked = {"number": self.job, "version": self.version}
        return SimpleNamespace(status={"boot": self.boot, "image": image, "held": held, "asked": asked})

    def look(self) -> None:
        self.looks += 1

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        self.asked.append((command, fields))
        if command == "release" and self.refuses:
            raise LinkError("the hold is that of another job", code=self.refuses)
        if command == "hold":
            self.hold_of, self.hold_id = fields["job"], f"h{len(self.asked)}"
        self.held = {"hold": True, "release": False}.get(command, self.held)
        return {}


def service(recorded: Recorded, line: Heard) -> ChallengeService:
    config = config_of(recorded)
    job = msgspec.structs.replace(config.jobs[0], challenge_at_start=True, challenge_every_h=8)
    config = msgspec.structs.replace(config, jobs=(job,), desk=DeskConfig())
    around = Surroundings(config, recorded.folder / "station.toml", line, line, print)  # type: ignore[arg-type]
    return ChallengeService(around, lambda: 0.0)


def begun_by_hand(recorded: Recorded) -> tuple[ChallengeService, Heard]:
    """A challenge of a job that is never asked for one, begun at the page; and the line."""
    line = Heard()
    line.job = 7
    made = service(recorded, line)
    made.look()
    made.begin("ann")
    return made, line


def show(made: ChallengeService, recorded: Recorded, value: int) -> None:
    part = recorded.part(value)
    assert recorded.trace.flushed(part, 20)
    made.look()
