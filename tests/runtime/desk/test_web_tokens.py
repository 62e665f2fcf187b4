"""Machines at the API: a token instead of a login, with the role that it was given, its own name and its own pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regad.runtime.desk.service import Surroundings
from regad.runtime.desk.web import machines, page
from regad.runtime.desk.web.machines import Machines
from regad.runtime.station.tokens import tokens_path

from .web_doubles import Answer, Client, Desk, desk_of, part_with_pictures, recorded


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("tokens")
    recorded(folder, part_with_pictures(1, serial="A1"))
    with desk_of(folder) as desk:
        yield desk


def made(engineer: Client, name: str, role: str) -> str:
    answer = engineer.post("/api/v1/tokens", {"name": name, "role": role})
    assert answer.status == 200, answer
    return str(answer.json["token"])


def ask(desk: Desk, token: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """A request as a program sends it: no cookie, no Origin, no CSRF token."""
    return desk.client().send(method, f"/api/v1/{path}", body, {"Authorization": f"Bearer {token}", **headers})


def audits(desk: Desk) -> list[tuple[str, str, str, str]]:
    found = [one for one in desk.line.asked if one["command"] == "audit"]
    return [(one["by"], one["action"], one["before"], one["after"]) for one in found]


def test_a_token_reads_and_commands_by_its_role_and_is_audited_by_its_name(desk: Desk, engineer: Client) -> None:
    operator, viewer = made(engineer, "mes", "operator"), made(engineer, "board", "viewer")
    assert ask(desk, viewer, "GET", "parts").json["parts"][0]["serial"] == "A1"
    refused = ask(desk, viewer, "POST", "command/job", b'{"number": 1}')
    assert (refused.status, refused.json["code"]) == (403, "role")
    assert ask(desk, operator, "POST", "command/job", b'{"number": 1}').status == 200
    assert ("token mes", "job", "", "1") in audits(desk)
    assert ("engineer", "token made", "", "mes: operator") in audits(desk)
    listed = {(one["name"], one["role"]) for one in engineer.get("/api/v1/tokens")}
    assert {("mes", "operator"), ("board", "viewer")} <= listed
    assert all("token" not in one and "sha256" not in one for one in engineer.get("/api/v1/tokens"))


def test_a_revoked_token_is_refused_from_the_next_request_on(desk: Desk, engineer: Client) -> None:
    token = made(engineer, "gone", "viewer")
    assert ask(desk, token, "GET", "jobs").status == 200
    assert engineer.ask("DELETE", "/api/v1/tokens/gone").status == 200
    answer = ask(desk, token, "GET", "jobs")
    assert (answer.status, answer.json["code"]) == (401, "token")
    assert ("engineer", "token revoked", "gone", "") in audits(desk)
    assert engineer.ask("DELETE", "/api/v1/tokens/gone").status == 400


def test_a_token_that_has_ended_is_refused_in_one_line_and_audited_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[Machines] = []

    def clocked(around: Surroundings, users: Path) -> Machines:
        known.append(Machines(around, users, lambda: time.time() + later, lambda: later))
        return known[0]

    later = 0.0
    monkeypatch.setattr(page, "Machines", clocked)
    with desk_of(tmp_path) as desk:
        engineer = desk.client("engineer")
        answer = engineer.post("/api/v1/tokens", {"name": "short", "role": "viewer", "days": 2})
        token = str(answer.json["token"])
        assert ("engineer", "token made", "", "short: viewer, for 2 days") in audits(desk)
        assert ask(desk, token, "GET", "jobs").status == 200
        (listed,) = engineer.get("/api/v1/tokens")
        assert (listed["days"], listed["over"]) == (0, False)
        assert listed["ends_at"] - listed["made_at"] == 2 * 86_400 and known[0].still(f"Bearer {token}")
        later = 3 * 86_400.0
        for _ in range(5):
            refused = ask(desk, token, "GET", "jobs")
            assert (refused.status, refused.json["code"]) == (401, "expired")
            assert refused.json["error"] == "the token short has expired; an engineer makes one under System"
        assert not known[0].still(f"Bearer {token}"), "an answer without end ends, too"
        expired = ("token short", "expired token", "", "127.0.0.1")
        assert audits(desk).count(expired) == 1
        (listed,) = engineer.get("/api/v1/tokens")
        assert (listed["days"], listed["over"]) == (3, True)
        later += 3600
        assert ask(desk, token, "GET", "jobs").status == 401
        assert audits(desk).count(expired) == 2
        assert engineer.post("/api/v1/tokens", {"name": "never", "role": "viewer", "days": 0}).status == 400


def test_a_file_that_cannot_be_read_names_its_path_to_nobody_who_is_not_known(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        engineer = desk.client("engineer")
        token = made(engineer, "mes", "viewer")
        path = tokens_path(tmp_path / "users.json")
        path.chmod(0o644)
        for _ in range(3):
            answer = ask(desk, token, "GET", "jobs")
            assert (answer.status, answer.json["code"]) == (503, "users")
            assert str(tmp_path) not in answer.body.decode() and "its log says why" in answer.json["error"]
        said = [text for text in desk.said if str(path) in text]
        assert len(said) == 1 and "may be read by other users" in said[0]
        told = engineer.ask("GET", "/api/v1/tokens").json
        assert "chmod 600" in told["error"], "an engineer is told which file, and what to do"
        users = tmp_path / "users.json"
        users.write_text("{}")
        for stranger in (engineer.ask("GET", "/api/v1/jobs"), desk.client().login("engineer")):
            assert (stranger.status, stranger.json["code"]) == (503, "users")
            assert str(tmp_path) not in stranger.body.decode()
        assert sum("is no list of users" in text for text in desk.said) == 1


def test_what_needs_a_person_is_not_for_a_machine_of_any_role(desk: Desk, engineer: Client) -> None:
    token = made(engineer, "robot", "engineer")
    for method, path, body in (
        ("GET", "tokens", None),
        ("POST", "tokens", b'{"name": "more", "role": "engineer"}'),
        ("DELETE", "tokens/robot", None),
        ("POST", "password", b'{"password": "a new password"}'),
        ("POST", "command/mode", b'{"mode": "live", "confirm": "s1"}'),
        ("POST", "logout", b"{}"),
    ):
        answer = ask(desk, token, method, path, body)
        assert (answer.status, answer.json["code"]) == (403, "person"), path
    assert desk.client("operator").ask("GET", "/api/v1/tokens").status == 403


def test_a_header_that_is_no_token_opens_nothing(desk: Desk, engineer: Client) -> None:
    token = made(engineer, "header", "operator")
    assert ask(desk, "other", "GET", "jobs").json["code"] == "login", "not one of ours: a login is asked for"
    wrong_origin = ask(desk, token, "POST", "command/job", b'{"number": 1}', Origin="http://evil.example")
    assert wrong_origin.status == 403
    assert ask(desk, token, "GET", "jobs", Host="evil.example").status == 421
    client = desk.client("operator")
    crossed = client.send(
        "POST", "/api/v1/command/job", b'{"number": 1}', {"Cookie": client.cookie, "Authorization": "Bearer x"}
    )
    assert crossed.status == 403, "a cookie still needs its Origin, whatever else is sent along"
    text = tokens_path(desk.folder / "users.json").read_text()
    assert token not in text


def test_who_guesses_and_who_asks_too_often_is_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_RATE", 0.001)
    monkeypatch.setattr(machines, "_BURST", 3)
    with desk_of(tmp_path) as desk:
        token = made(desk.client("engineer"), "busy", "viewer")
        codes = [ask(desk, token, "GET", "jobs").status for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        found = [ask(desk, f"regad_{number}", "GET", "jobs") for number in range(4)]
        assert [one.status for one in found] == [401, 401, 401, 429] and found[-1].json["code"] == "slow"
        assert [one[:2] for one in audits(desk)].count(("nobody", "wrong token")) == 3
