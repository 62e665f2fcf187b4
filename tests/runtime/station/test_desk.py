"""The desk process, and what systemd is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from regad.runtime.station.desk import Supervisor, spawn
from regad.runtime.station.systemd import Notifier

from .station_doubles import PATIENCE, Clock


class Child:
    """A process that runs until the test says otherwise."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.status: int | None = None
        self.stubborn = stubborn

    def poll(self) -> int | None:
        return self.status

    def terminate(self) -> None:
        if not self.stubborn:
            self.status = -15

    def kill(self) -> None:
        self.status = -9

    def wait(self, timeout: float | None = None) -> int:
        if self.status is None:
            raise subprocess.TimeoutExpired("desk", timeout or 0)
        return self.status


class Desk:
    """A supervisor, its children and what it said."""

    def __init__(self, command: Sequence[str] = ("desk",), fails: bool = False) -> None:
        self.clock = Clock()
        self.children: list[Child] = []
        self.running: list[bool] = []
        self.said: list[str] = []
        self.fails = fails
        self.supervisor = Supervisor(command, self.running.append, self.said.append, start=self.start, clock=self.clock)

    def start(self, command: Sequence[str]) -> Child:
        if self.fails:
            raise FileNotFoundError(2, "No such file or directory")
        self.children.append(Child())
        return self.children[-1]

    def die(self) -> None:
        self.children[-1].status = -9
        self.supervisor.poll()


def test_a_child_that_dies_is_started_again_at_once() -> None:
    desk = Desk()
    desk.supervisor.poll()
    desk.die()
    assert (len(desk.children), desk.running) == (2, [True, False, True])
    assert desk.said == ["the desk process ended with status -9"]


def test_after_five_starts_in_a_minute_it_waits_for_the_minute_to_end() -> None:
    desk = Desk()
    desk.supervisor.poll()
    for _ in range(5):
        desk.clock.pass_ms(1000)
        desk.die()
    assert len(desk.children) == 5 and desk.running[-1] is False
    desk.clock.pass_ms(54_999)
    desk.supervisor.poll()
    assert len(desk.children) == 5
    desk.clock.pass_ms(1)
    desk.supervisor.poll()
    assert len(desk.children) == 6 and desk.running[-1] is True


def test_a_command_that_does_not_exist_is_told_and_tried_five_times() -> None:
    desk = Desk(fails=True)
    for _ in range(9):
        desk.supervisor.poll()
    assert desk.said == ["the desk process cannot be started: desk: No such file or directory"] * 5


def test_the_child_is_not_told_the_camera_s_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    code = "import os, sys; sys.exit(('CAMERA_PASSWORD' in os.environ) + 2 * ('NOTIFY_SOCKET' in os.environ))"
    assert spawn([sys.executable, "-c", code], "CAMERA_PASSWORD").wait(PATIENCE) == 0
    assert spawn([sys.executable, "-c", code]).wait(PATIENCE) == 1


def test_without_a_command_there_is_no_desk() -> None:
    desk = Desk(())
    desk.supervisor.poll()
    assert desk.children == []


def test_a_child_that_does_not_end_when_asked_is_killed() -> None:
    desk = Desk()
    desk.supervisor.poll()
    desk.children[0].stubborn = True
    desk.supervisor.close()
    assert desk.children[0].status == -9
    desk.supervisor.close()


def test_systemd_is_told_over_its_socket_and_its_absence_is_no_trouble(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        assert notifier.tell("READY=1")
        assert listener.recv(100) == b"READY=1"
    assert not notifier.tell("WATCHDOG=1")
    notifier.close()
    assert not notifier.tell("WATCHDOG=1")
    assert not Notifier("").tell("READY=1")


def test_the_desk_yields_to_the_line() -> None:
    child = spawn(["sleep", "60"])
    assert isinstance(child, subprocess.Popen)
    try:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    finally:
        child.kill()
        child.wait(PATIENCE)
