"""Tokens for machines: shown once, stored as hashes, for their owner's eyes, revocable."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from regad.runtime.errors import InputError
from regad.runtime.station import tokens
from regad.runtime.station.cli import command
from regad.runtime.station.tokens import PREFIX, add_token, read_tokens, remove_token, token_of, tokens_path


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
    read = tokens.read_tokens
    revoking = threading.Thread(target=remove_token, args=(path, "old"))

    def meanwhile(path: Path) -> dict[str, tokens.Token]:
        found = read(path)
        if not revoking.ident:
            revoking.start()
            revoking.join(0.2)  # it waits for the end of the change in hand
        return found

    monkeypatch.setattr(tokens, "read_tokens", meanwhile)
    add_token(path, "new", "viewer", "berta")
    revoking.join()
    assert list(read(path)) == ["new"]


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
    assert "revoked" in run("mes", "--revoke")
    assert json.loads(path.read_text())["tokens"] == {}
    assert CliRunner().invoke(command, ["token", "--revoke"]).exit_code == 2
