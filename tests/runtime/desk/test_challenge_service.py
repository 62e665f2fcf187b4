"""Challenges at a line: who holds it, who releases it, and what outlasts a restart."""

from __future__ import annotations

import pytest

from regad.runtime.desk.learning.challenge_service import ChallengeService
from regad.runtime.errors import InputError
from regad.runtime.station.config_job import JobSettings
from regad.runtime.station.installed import Installed, Wish

from .challenge_doubles import Heard, begun_by_hand, service, show
from .learning_doubles import Recorded
from .test_challenge import HOUR, JOB

pytestmark = pytest.mark.usefixtures("first_part")


def test_a_job_that_begins_is_held_until_its_two_parts_were_recognised(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    assert line.held and made.state()["step"] == "due"
    made.begin("ann")
    assert not line.held
    show(made, recorded, 80)
    assert made.state()["step"] == "bad"
    show(made, recorded, 150)
    made.look()
    assert made.state()["step"] == "clear" and not line.held
    told = [fields for command, fields in line.asked if command == "challenge"]
    assert [(one["inspection"], one["expected"], one["ok"]) for one in told] == [(2, "PASS", True), (3, "REJECT", True)]


def test_a_failed_one_stays_held_over_a_restart_of_the_desk_and_of_the_line(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    made.begin("ann")
    show(made, recorded, 150)
    assert line.held and made.state()["step"] == "failed"
    line.held, line.boot = False, 2
    again = service(recorded, line)
    again.look()
    assert line.held and again.state()["step"] == "failed"
    with pytest.raises(InputError, match="an engineer"):
        again.begin("ann")
    again.release("eve", JOB)
    again.look()
    assert not line.held and again.state()["step"] == "clear"
    assert line.asked[-1] == ("release", {"by": "eve", "job": JOB, "hold_id": line.hold_id})


def test_a_desk_that_died_within_a_challenge_finds_it_due(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    made.begin("ann")
    again = service(recorded, line)
    again.look()
    assert line.held and again.state()["step"] == "due"


def test_a_state_that_cannot_be_read_makes_it_due(recorded: Recorded) -> None:
    path = recorded.folder / "trace" / "desk" / "challenge.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x00")
    line = Heard()
    made = service(recorded, line)
    made.look()
    assert line.held and "it is not known" in made.state()["hold"]


def test_another_version_of_a_challenged_job_is_challenged_anew(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    made.release("eve", JOB)
    made.look()
    assert made.state()["step"] == "clear"
    line.version = "b"
    made.look()
    assert line.held and "it has another version" in made.state()["hold"]
    made.release("eve", JOB)
    made.close()
    line.version = "c"
    again = service(recorded, line)
    again.look()
    assert line.held and "it has another version" in again.state()["hold"], "it came while the desk was away"


def test_any_job_is_challenged_by_hand_and_one_that_is_given_up_holds_nothing(recorded: Recorded) -> None:
    line = Heard()
    line.job = 7
    made = service(recorded, line)
    made.look()
    assert made.state()["step"] == "none" and not made.state()["planned"]
    made.begin("ann")
    assert made.state()["step"] == "good"
    made.cancel()
    made.look()
    assert made.state()["step"] == "clear" and not line.held
    made.begin("ann")
    part = recorded.part(150, job=7)
    assert recorded.trace.flushed(part, 20)
    made.look()
    assert made.state()["step"] == "failed" and line.held and line.hold_of == 7
    again = service(recorded, line)
    again.look()
    assert again.state()["step"] == "failed", "over a restart, too"


def test_a_job_that_was_challenged_by_hand_before_and_fails_now_stays_failed(recorded: Recorded) -> None:
    made, line = begun_by_hand(recorded)
    for value in (80, 150):
        assert recorded.trace.flushed(recorded.part(value, job=7), 20)
        made.look()
    assert made.state()["step"] == "clear"
    again = service(recorded, line)
    again.look()
    again.begin("ann")
    assert recorded.trace.flushed(recorded.part(150, job=7), 20)
    again.look()
    assert again.state()["step"] == "failed" and line.held
    line.held, line.boot = False, 2
    last = service(recorded, line)
    last.look()
    assert last.state()["step"] == "failed" and line.held


def put(recorded: Recorded, hours: float | None) -> None:
    """Job 7 as the page adds it, or gives it other hours: written by the line."""
    settings = JobSettings(challenge_every_h=hours)
    wish = Wish(7, "a" * 64, None, None, "anna", "", 1.8e9, name="gear", settings=settings)
    Installed(recorded.folder / "trace").put(None, wish)


def test_a_job_that_is_added_is_challenged_by_its_hours_from_then_on(recorded: Recorded) -> None:
    now = 0.0
    line = Heard()
    line.job = 7
    around = service(recorded, line)._around
    made = ChallengeService(around, lambda: now)
    made.look()
    assert made.state()["step"] == "none" and not made.state()["planned"]
    put(recorded, 8.0)
    made.look()
    assert made.state()["planned"] and made.state()["left"] == 8 * HOUR and not line.held
    now = 7.9 * HOUR
    made.look()
    made.close()
    made._save()
    again = ChallengeService(around, lambda: now)
    again.look()
    assert again.state()["left"] == pytest.approx(0.1 * HOUR), "over a restart of the desk"
    now += 0.2 * HOUR
    again.look()
    assert line.held and line.hold_of == 7 and "8 h have passed" in again.state()["hold"]
    put(recorded, 2.0)
    again.look()
    assert line.held, "other hours release nothing"
    again.release("eve", 7, again.state()["hold_id"])
    again.look()
    assert again.state()["left"] == pytest.approx(2 * HOUR)
    put(recorded, None)
    now += 100 * HOUR
    again.look()
    assert not again.state()["planned"] and again.state()["left"] is None and not line.held


def test_what_is_known_of_an_added_job_outlasts_a_list_that_cannot_be_read(recorded: Recorded) -> None:
    now = 0.0
    line = Heard()
    line.job = 7
    around = service(recorded, line)._around
    put(recorded, 8.0)
    made = ChallengeService(around, lambda: now)
    made.look()
    now = 5 * HOUR
    made.look()
    made._save()
    path = Installed(recorded.folder / "trace").path
    text = path.read_bytes()
    path.write_bytes(b"{half of it, and more bytes than a mark that is the same")
    again = ChallengeService(around, lambda: now)
    again.look()
    again._save()
    path.write_bytes(text)
    again.look()
    assert again.state()["left"] == 3 * HOUR


def test_without_a_job_there_is_nothing_to_challenge(recorded: Recorded) -> None:
    line = Heard()
    line.job = 0
    with pytest.raises(InputError, match="no job is active"):
        service(recorded, line).begin("ann")
