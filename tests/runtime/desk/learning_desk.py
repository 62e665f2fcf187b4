"""A desk that learns: its page, a trace that takes labels and versions as the line's does, and parts to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from regad.runtime.desk.learning.learning import Learning
from regad.runtime.desk.learning.proposals import Proposals
from regad.runtime.desk.link import StationLink
from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.watch import StationWatch
from regad.runtime.desk.web.page import Page
from regad.runtime.formats.category import load_category
from regad.runtime.station.codes import Flag
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.installed import category_path
from regad.runtime.station.live import LiveWriter, live_path
from regad.runtime.station.trace.entries import Challenge, Label, PartName

from .learning_doubles import Recorded, config_of, grey
from .test_learning_proposals import in_process
from .web_doubles import Desk, Line, add_users

__all__ = ["LearningLine", "learning_desk"]


class LearningLine(Line):
    """A line that writes what the desk tells it into the trace."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self.recorded = recorded

    def handle(self, request: dict[str, Any]) -> Any:
        command = request["command"]
        if command not in ("label", "challenge", "install", "hold", "release"):
            return super().handle(request)
        self.asked.append(request)
        if command == "label":
            return self._note(Label, request, value=request["value"])
        if command == "challenge":
            return self._note(Challenge, request, job=request["job"], expected=1, ok=request["ok"])
        if command == "install" and request["name"]:
            return {}  # a new job: this line has one
        if command == "install":
            path = category_path(self.recorded.folder / "trace", request["sha256"])
            category = load_category(path if path.is_file() else self.recorded.path)
            if request["threshold"] is not None:
                category = replace(category, threshold=category.threshold.by_hand(request["threshold"]))
            self.recorded.use(category, path)
            self.recorded.part(70)  # by the new version
            assert self.recorded.trace.flushed(self.recorded.seq, 20)
        else:
            self.image["flags"] = int(Flag.HELD) if command == "hold" else 0
            held = {"job": request["job"], "reason": request.get("reason", ""), "id": f"h{len(self.asked)}"}
            self.held = held if command == "hold" else None
        return {}

    def _note(self, kind: Any, request: dict[str, Any], **facts: Any) -> Future[dict[str, Any]]:
        done: Future[dict[str, Any]] = Future()
        part = PartName(inspection=request["inspection"])
        receipt = lambda row: done.set_result({"row": row})  # noqa: E731
        self.recorded.trace.note(kind(by=request["by"], at=1.8e9, part=part, receipt=receipt, **facts))
        self.recorded.trace.flushed(self.recorded.seq, 1)
        return done


@contextmanager
def learning_desk(folder: Path, **challenge: Any) -> Iterator[Desk]:
    """A page at a trace of 40 good parts, three false rejects and two defects; ``challenge`` is for the job."""
    recorded = Recorded(folder)
    for number in range(40):
        recorded.part(70 + number % 10)
    for value in (110, 112, 115, 180, 185):
        recorded.part(value, map=np.full((224, 224), value / 10, np.float32), spot_x=9, spot_y=20)
    assert recorded.trace.flushed(recorded.seq, 20)
    config = config_of(recorded)
    job = msgspec.structs.replace(config.jobs[0], **challenge)
    desk = DeskConfig(port=0, users=folder / "users.json")
    config = msgspec.structs.replace(config, jobs=(job,), desk=desk)
    add_users(desk.users)
    line, said = LearningLine(recorded), list[str]()
    link = StationLink(config.commands.socket)
    live = LiveWriter(live_path(config.commands.socket))
    with CommandServer(config.commands.socket, line.handle) as server, link, StationWatch(link) as watch, live:
        server.start()
        watch.start()
        well = {"page": Health(True, "")}
        around = Surroundings(config, folder / "station.toml", link, watch, said.append, lambda: well)
        proposals = Proposals(config, around.state, link, in_process)
        learning = replace(Learning.of(around), proposals=proposals)
        try:
            for service in learning.services():
                service.start()
            with Page(around, {"learning": learning}) as page:
                page.start()
                found = Desk(folder, line, said, page)
                found.live = live  # type: ignore[attr-defined]
                yield found
        finally:
            for service in learning.services():
                service.close()
            recorded.trace.close()


def show(desk: Desk, value: int, taken_ns: int) -> None:
    """Put a picture before the camera."""
    desk.live.show(np.ascontiguousarray(np.pad(grey(value), ((0, 16), (0, 96), (0, 0)))), taken_ns)  # type: ignore[attr-defined]
