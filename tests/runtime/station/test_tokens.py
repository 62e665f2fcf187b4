"""Tokens for machines: shown once, stored as hashes, for their owner's eyes, revocable."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from regad.runtime.errors import InputError
from regad.runtime.station import private_file, tokens
from regad.runtime.station.cli import command
from regad.runtime.station.tokens import PREFIX, Token, add_token, read_tokens, remove_token, token_of, tokens_path


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = tokens_path(tmp_path / "users.json")
    text = add_token(path, "mes", "operator", "anna")
    assert text.startswith(PREFIX) and len(text) > 45 and text not in path.read_text()
    assert path.name == "users-tokens.json" and path.stat().st_mode & 0o777 == 0o600
    found = token_of(read_tokens(path), text)
    assert found is not None and (found[0], found[1].role, found[1].made_by) == ("mes", "operator", "anna")
    for wrong in ("", PREFIX, text[:-1], text + "x", "\udcff"):
        assert token_of(read_tokens(path), wrong) is None
    assert add_token(path, "other", "viewer", "anna") != text


def test_a_revoked_token_is_gone_and_its_name_free(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    text = add_token(path, "mes", "viewer", "anna")
    with pytest.raises(InputError, match="there is a token 'mes' already; revoke it first"):
        add_token(path, "mes", "engineer", "anna")
    remove_token(path, "mes")
    assert read_tokens(path) == {} and token_of(read_tokens(path), text) is None
    with pytest.raises(InputError, match="there is no token 'mes'; there are: none"):
        remove_token(path, "mes")


def test_a_token_that_is_revoked_while_another_is_made_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page answers several engineers at once, and the command line is another process."""
    path = tmp_path / "t.json"
    add_token(path, "old", "engineer", "anna")
    read = private_file._read
    revoking = threading.Thread(target=remove_token, args=(path, "old"))

    def meanwhile(*given: Any) -> Any:
        found = read(*given)
        if not revoking.ident:
            revoking.start()
            revoking.join(0.2)  # it waits for the end of the change in hand
        return found

    monkeypatch.setattr(private_file, "_read", meanwhile)
    add_token(path, "new", "viewer", "berta")
    revoking.join()
    assert list(read_tokens(path)) == ["new"]


def test_a_time_that_no_calendar_has_is_refused_as_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tokens_path(tmp_path / "users.json")
    add_token(path, "mes", "viewer", "anna")
    file = json.loads(path.read_text())
    file["tokens"]["mes"]["made_at"] = 1e300
    path.write_text(json.dumps(file))
    done = CliRunner().invoke(command, ["token", "--users", str(tmp_path / "users.json")])
    assert isinstance(done.exception, InputError) and "is no list of tokens" in str(done.exception)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 49, "a\n"])
def test_a_name_that_cannot_stand_in_the_audit_trail_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a name of 1 to 48 letters"):
        add_token(tmp_path / "t.json", name, "viewer", "anna")


def test_a_list_that_others_may_read_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    add_token(path, "mes", "viewer", "anna")
    path.chmod(0o644)
    with pytest.raises(InputError, match="may be read by other users; forbid it: chmod 600"):
        read_tokens(path)
    path.write_text("{}")
    path.chmod(0o600)
    with pytest.raises(InputError, match=r"is no list of tokens .*make them again: regad-station token"):
        read_tokens(path)


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(command, ["token", *words, "--users", str(tmp_path / "users.json")])
        assert done.exit_code == 0, done.output
        return done.stdout

    text = run("mes", "--role", "operator").strip()
    path = tokens_path(tmp_path / "users.json")
    assert token_of(read_tokens(path), text) is not None
    listed = run()
    assert listed.split()[:2] == ["mes", "operator"] and text not in listed
    assert listed.endswith("(0 days ago) by regad-station, no end\n")
    assert "revoked" in run("mes", "--revoke")
    assert json.loads(path.read_text())["tokens"] == {}
    assert CliRunner().invoke(command, ["token", "--revoke"]).exit_code == 2


DAY = 86_400.0


def test_a_token_ends_after_its_days_by_the_stations_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.time, "time", lambda: 1.8e9)
    path = tmp_path / "t.json"
    add_token(path, "for ever".replace(" ", "-"), "viewer", "anna")
    assert json.loads(path.read_text())["version"] == 1, "an older program reads on"
    add_token(path, "mes", "viewer", "anna", days=30)
    assert json.loads(path.read_text())["version"] == 2, "an older program must not take it for one without an end"
    known = read_tokens(path)
    ends = known["mes"].ends_at
    assert ends == 1.8e9 + 30 * DAY and known["for-ever"].ends_at is None
    for now, over in ((1.8e9, False), (ends - 1, False), (ends, True), (ends + 1e9, True)):
        assert known["mes"].is_over(now) is over and not known["for-ever"].is_over(now)
    remove_token(path, "mes")
    assert json.loads(path.read_text())["version"] == 1


def test_a_clock_that_was_never_set_keeps_no_token_alive() -> None:
    token = Token("viewer", "0" * 64, "anna", 1.8e9, 1.8e9 + DAY)
    assert token.is_over(0.0) and token.is_over(1.8e9 - 2 * DAY)
    assert not token.is_over(1.8e9 - 60), "one that was set back a little after it was made"
    assert not Token("viewer", "0" * 64, "anna", 1.8e9).is_over(0.0)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_that_no_token_may_last_are_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(InputError, match=f"would last {days} days; expected 1 to 3650"):
        add_token(tmp_path / "t.json", "mes", "viewer", "anna", days)
    assert not (tmp_path / "t.json").exists()


def test_the_list_shows_age_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = str(tmp_path / "users.json")

    def run(*words: str) -> str:
        done = CliRunner().invoke(command, ["token", *words, "--users", users])
        assert done.exit_code == 0, done.output
        return done.output

    monkeypatch.setattr(tokens.time, "time", lambda: 1.8e9)
    assert "for 7 days; it is shown this once" in run("mes", "--days", "7")
    monkeypatch.setattr(tokens.time, "time", lambda: 1.8e9 + 5.5 * DAY)
    assert "made 2027-01-15 (5 days ago) by regad-station, ends 2027-01-22" in run()
    monkeypatch.setattr(tokens.time, "time", lambda: 1.8e9 + 8 * DAY)
    assert "(8 days ago) by regad-station, ended 2027-01-22" in run()
