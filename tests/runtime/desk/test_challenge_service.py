"""Challenges at a line: who holds it, who releases it, and what outlasts a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from regad.runtime.desk.errors import LinkError
from regad.runtime.desk.learning.challenge_service import ChallengeService
from regad.runtime.errors import InputError
from regad.runtime.station.config_job import JobSettings
from regad.runtime.station.installed import Installed, Wish

from .challenge_doubles import Heard, service, show
from .learning_doubles import Recorded
from .test_challenge import HOUR, JOB


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    made = Recorded(tmp_path)
    made.part(90)
    assert made.trace.flushed(1, 20)
    return made


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


def test_a_station_that_is_held_by_something_else_says_so(recorded: Recorded) -> None:
    line = Heard()
    line.job, line.held, line.hold_of = 7, True, 3
    made = service(recorded, line)
    made.look()
    assert made.state()["step"] == "none" and made.state()["hold"] == "job 3 is held" and made.state()["held"] == 3
    with pytest.raises(InputError, match="held for another reason, which comes first: job 3 is held"):
        made.begin("ann")
    with pytest.raises(InputError, match="job 3 is held"):
        made.release("eve", 7)
    assert line.asked == []
    made.release("eve", 3)
    assert not line.held


def test_a_release_that_crosses_a_change_of_the_job_lifts_nothing_and_forgives_nothing(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    line.refuses = "other"  # by now the line is held for another job, which the desk has not heard of yet
    for act in (lambda: made.release("eve", JOB), lambda: made.begin("ann")):
        with pytest.raises(LinkError):
            act()
        assert made.state()["step"] == "due"
    line.refuses, line.job, line.hold_of = "", 2, 2
    made.look()
    assert [command for command, _ in line.asked] == ["hold", "release", "release"] and line.held


def test_a_release_of_a_hold_that_another_one_has_followed_lifts_nothing(recorded: Recorded) -> None:
    """The same job's, and for the same reason: what was looked at is the one that was shown."""
    line = Heard()
    made = service(recorded, line)
    made.look()
    seen = made.state()["hold_id"]
    assert seen == line.hold_id
    line.hold_id = "newer"
    for act in (lambda: made.release("eve", JOB, seen), lambda: made.begin("ann", seen)):
        with pytest.raises(InputError, match="another hold has come since: job 1 is held; look at it") as refused:
            act()
        assert refused.value.code == "other" and made.state()["step"] == "due"
    assert line.held and [command for command, _ in line.asked] == ["hold"]
    made.release("eve", JOB, made.state()["hold_id"])
    assert not line.held and line.asked[-1][1]["hold_id"] == "newer"


def test_a_release_that_did_not_reach_the_line_is_asked_again_for_that_hold_alone(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    seen = made.state()["hold_id"]
    line.refuses = "gone"
    with pytest.raises(LinkError):
        made.release("eve", JOB, seen)
    line.refuses = ""
    made.look()
    assert not line.held and line.asked[-1] == ("release", {"by": "eve", "job": JOB, "hold_id": seen})
    made.look()

    line.held, line.hold_id, line.refuses = True, "second", "gone"
    with pytest.raises(LinkError):
        made.release("eve", JOB, "second")
    line.refuses, line.hold_id, asked = "", "third", len(line.asked)  # meanwhile it was held anew
    for _ in range(3):
        made.look()
    assert line.held and made.state()["step"] == "due" and made.state()["hold_id"] == "third"
    assert "release" not in [command for command, _ in line.asked[asked:]]


def test_a_challenge_begins_without_a_release_where_no_hold_is_known(recorded: Recorded) -> None:
    line = Heard()
    line.job = 7
    made = service(recorded, line)
    made.look()
    made.begin("ann")
    assert line.asked == [] and made.state()["step"] == "good"
    line.held, line.hold_of, line.hold_id = True, 7, "unseen"  # it came as the button was pressed
    made.look()
    assert line.held and made.state()["hold_id"] == "unseen"


def test_no_challenge_begins_at_a_line_that_does_not_answer(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    line.gone = True
    with pytest.raises(LinkError, match="does not answer") as refused:
        made.begin("ann")
    line.gone = False
    assert refused.value.code == "gone" and made.state()["step"] == "due" and line.held


def test_a_hold_of_the_job_before_does_not_count_as_its_own(recorded: Recorded) -> None:
    line = Heard()
    line.held, line.hold_of = True, 2
    made = service(recorded, line)
    made.look()
    assert line.asked == [("hold", {"by": "challenge", "reason": made.state()["hold"], "job": JOB})]
    assert made.state()["held"] == JOB


def test_a_hold_is_over_as_soon_as_the_line_says_so(recorded: Recorded) -> None:
    """Its flag at the outputs follows: what was released is not shown as another hold meanwhile."""
    line = Heard()
    made = service(recorded, line)
    made.look()
    line.lags = True
    made.release("eve", JOB)
    assert (made.state()["held"], made.state()["hold"]) == (None, "")
    made.begin("ann")
    assert made.state()["step"] == "good"


def test_a_challenge_that_is_due_waits_for_the_hold_of_the_station(recorded: Recorded) -> None:
    line = Heard()
    line.held, line.hold_of = True, 0
    made = service(recorded, line)
    for _ in range(3):
        made.look()
    state = made.state()
    assert (state["step"], state["held"], state["hold"]) == ("due", 0, "job 0 is held") and line.asked == []
    with pytest.raises(InputError, match="held for another reason, which comes first: job 0 is held"):
        made.begin("ann", state["hold_id"])
    made.release("eve", 0, state["hold_id"])
    made.look()
    assert line.held and line.hold_of == JOB and "begun" in made.state()["hold"]


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
    line = Heard()
    line.job = 7
    made = service(recorded, line)
    made.look()
    made.begin("ann")
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


def test_a_challenge_whose_begin_did_not_reach_the_line_lets_no_hold_go_later(recorded: Recorded) -> None:
    """Of a job that is challenged by hand only: no challenge runs, so nothing has shown that it judges well."""
    line = Heard()
    line.job = line.hold_of = 7
    made = service(recorded, line)
    made.look()
    made.begin("ann")
    made.cancel()
    line.held, line.refuses = True, "gone"
    with pytest.raises(LinkError):
        made.begin("ann")
    line.refuses = ""
    for _ in range(3):
        made.look()
    assert line.held and [command for command, _ in line.asked] == ["release"]


def test_a_challenge_begins_out_of_no_hold_that_the_page_had_not_shown(recorded: Recorded) -> None:
    line = Heard()
    made = service(recorded, line)
    made.look()
    with pytest.raises(InputError, match="another hold has come since: job 1 is held; look at it"):
        made.begin("ann", None)
    assert line.held and [command for command, _ in line.asked] == ["hold"]
    made.begin("ann", line.hold_id)
    assert not line.held and made.state()["step"] == "good"
