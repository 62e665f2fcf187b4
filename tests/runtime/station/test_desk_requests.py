"""What the desk asks over the command socket: checked strictly, recorded, and answered once it is on the disk."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError, RegadError
from regad.runtime.station.desk_requests import DeskRequests
from regad.runtime.station.installed import Wish
from regad.runtime.station.trace.entries import Remark
from regad.runtime.station.trace.inspection import TraceAlarm
from regad.runtime.station.trace.writer import Trace

from .trace.parts import ROOMY, Machine, ask, part


class Desk:
    """The requests, what they told the trace, and what they wished for."""

    def __init__(self) -> None:
        self.remarks: list[Remark] = []
        self.wishes: list[Wish] = []
        self.requests = DeskRequests(self.remarks.append, self.wishes.append, lambda: 1.8e9)

    def ask(self, **request: Any) -> Future[dict[str, Any]]:
        return self.requests.handlers[request["command"]](request)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": "label", "by": "anna", "value": "good"}, "names no part"),
        ({"command": "label", "by": "anna", "value": "good", "inspection": 1, "seq": 2}, "not both"),
        ({"command": "label", "by": "anna", "value": "bad", "seq": 1}, r"Invalid enum value 'bad' - at `\$\.value`"),
        ({"command": "label", "by": "", "value": "good", "seq": 1}, r"length >= 1 - at `\$\.by`"),
        ({"command": "label", "value": "good", "seq": 1}, "required field `by`"),
        (
            {"command": "label", "by": "anna", "value": "good", "seq": 1, "kin": ""},
            "unknown field `kin`; it takes by, ",
        ),
        ({"command": "label", "by": "anna", "value": "good", "seq": True}, r"got `bool` - at `\$\.seq`"),
        ({"command": "challenge", "by": "anna", "job": 1, "expected": "LATE", "ok": True}, "Invalid enum value 'LATE'"),
        ({"command": "challenge", "by": "anna", "job": 0, "expected": "PASS", "ok": True}, r"`\$\.job`"),
        ({"command": "audit", "by": "anna"}, "required field `action`"),
        ({"command": "acknowledge", "by": "anna", "event": 0}, r"`\$\.event`"),
        ({"command": "install", "by": "anna", "job": 1, "sha256": "../../etc/passwd"}, r"`\$\.sha256`"),
        ({"command": "install", "by": "anna", "job": 1, "sha256": "a" * 64, "threshold": 0}, r"`\$\.threshold`"),
        ({"command": "install", "by": "anna", "job": 1, "sha256": "a" * 64, "category": "x"}, "field `category`"),
        ({"command": "install", "by": "anna", "job": 7, "sha256": "a" * 64, "name": "x" * 201}, r"`\$\.name`"),
        (
            {"command": "install", "by": "a", "job": 7, "sha256": "a" * 64, "settings": {"deadline_ms": 0}},
            r"`\$\.settings\.deadline_ms`",
        ),
        ({"command": "drift", "by": "drift", "job": 1, "moved": True, "text": ""}, r"`\$\.text`"),
        ({"command": "drift", "by": "drift", "job": 1, "moved": "yes", "text": "x"}, r"`\$\.moved`"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_field(request_: dict[str, Any], message: str) -> None:
    desk = Desk()
    with pytest.raises(InputError, match=message):
        desk.ask(**request_)
    assert desk.remarks == [] and desk.wishes == []


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


@given(
    command=st.sampled_from(["label", "challenge", "audit", "acknowledge", "install", "drift"]),
    fields=st.dictionaries(
        st.sampled_from(
            [
                *("by", "inspection", "seq", "value", "job", "expected", "ok", "event", "sha256", "threshold"),
                *("moved", "text"),
            ]
        ),
        _VALUES,
    ),
)
def test_any_request_is_taken_or_refused_and_nothing_else(command: str, fields: dict[str, Any]) -> None:
    desk = Desk()
    try:
        desk.ask(command=command, id=3, **fields)
    except InputError:
        assert desk.remarks == [] and desk.wishes == []
    else:
        assert len(desk.remarks) + len(desk.wishes) == 1


@pytest.fixture
def trace(tmp_path: Path) -> Any:
    made = Trace(tmp_path, ROOMY, host=Machine().host)
    made.open()
    for seq in (1, 2):
        made.add(part(seq))
    yield made
    made.close()


def asked(trace: Trace, **request: Any) -> dict[str, Any]:
    desk = DeskRequests(trace.note, lambda wish: None, lambda: 1.8e9)
    return desk.handlers[request["command"]](request).result(20)


def test_a_label_takes_the_place_of_the_one_before_it(trace: Trace, tmp_path: Path) -> None:
    first = asked(trace, command="label", by="anna", value="good", inspection=2, kind="", note="looks fine")
    second = asked(trace, command="label", by="ben", value="defect", seq=2, kind="scratch")
    assert (first, second) == ({"label": 1}, {"label": 2})
    rows = ask(tmp_path, "SELECT inspection, value, kind, by, at, note, replaced_by FROM label ORDER BY id")
    assert rows == [
        (2, "good", "", "anna", 1.8e9, "looks fine", 2),
        (2, "defect", "scratch", "ben", 1.8e9, "", None),
    ]


def test_challenge_audit_and_acknowledgement_land_in_their_tables(trace: Trace, tmp_path: Path) -> None:
    trace.event("alarm", 10, "the camera is gone")
    assert asked(trace, command="challenge", by="anna", job=3, expected="REJECT", ok=False, seq=1) == {"challenge": 1}
    assert asked(trace, command="challenge", by="anna", job=3, expected="PASS", ok=False) == {"challenge": 2}
    assert asked(trace, command="audit", by="anna", action="login", after="page") == {"audit": 1}
    assert asked(trace, command="acknowledge", by="anna", event=1) == {"event": 1}
    assert asked(trace, command="acknowledge", by="ben", event=1) == {"event": 1}
    assert ask(tmp_path, "SELECT job, expected, inspection, ok, by, at FROM challenge") == [
        (3, 2, 1, 0, "anna", 1.8e9),
        (3, 1, None, 0, "anna", 1.8e9),
    ]
    assert ask(tmp_path, "SELECT user, action, before, after FROM audit") == [("anna", "login", None, "page")]
    assert ask(tmp_path, "SELECT acked_by, acked_at FROM event WHERE code = 10") == [("anna", 1.8e9)]


def test_what_drifts_is_an_event_and_so_is_its_end(trace: Trace, tmp_path: Path) -> None:
    said = {"command": "drift", "by": "drift", "job": 3}
    assert asked(trace, **said, moved=True, text="the light has changed") == {"event": 1}
    assert asked(trace, **said, moved=False, text="it is where it was") == {"event": 2}
    rows = ask(tmp_path, "SELECT severity, code, text, wall FROM event")
    assert rows == [
        ("warning", TraceAlarm.DRIFT, "job 3: the light has changed", 1.8e9),
        ("info", TraceAlarm.DRIFT, "job 3: it is where it was", 1.8e9),
    ]


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"command": "label", "value": "good", "inspection": 99}, "no part 99"),
        ({"command": "label", "value": "good", "seq": 99}, "no part of seq 99 since the start"),
        ({"command": "challenge", "job": 3, "expected": "PASS", "ok": True, "inspection": 99}, "no part 99"),
        ({"command": "acknowledge", "event": 99}, "no event 99"),
    ],
)
def test_what_names_an_unknown_row_is_a_warning_and_costs_nothing_else(
    trace: Trace, tmp_path: Path, request_: dict[str, Any], named: str
) -> None:
    with pytest.raises(RegadError, match=named) as error:
        asked(trace, by="anna", **request_)
    assert error.value.code == "unknown"
    assert asked(trace, command="label", by="anna", value="good", inspection=1) == {"label": 1}
    ((severity, code, text),) = ask(tmp_path, "SELECT severity, code, text FROM event")
    assert (severity, code) == ("warning", TraceAlarm.UNKNOWN) and named in text
    assert trace.lag.lost_rows == 0 and ask(tmp_path, "SELECT count(*) FROM challenge") == [(0,)]


def test_what_comes_after_the_end_is_answered_as_lost(tmp_path: Path) -> None:
    trace = Trace(tmp_path, ROOMY)
    trace.open()
    trace.close()
    with pytest.raises(RegadError, match="it was not recorded"):
        asked(trace, command="audit", by="anna", action="login")
