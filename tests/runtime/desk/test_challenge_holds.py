"""Holds that a challenge begins and releases: the one that was seen, and no other."""

from __future__ import annotations

import pytest

from regad.runtime.desk.errors import LinkError
from regad.runtime.errors import InputError

from .challenge_doubles import Heard, begun_by_hand, service
from .learning_doubles import Recorded
from .test_challenge import JOB

pytestmark = pytest.mark.usefixtures("first_part")


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
    made, line = begun_by_hand(recorded)
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
