"""Users: scrypt hashes in a file of mode 600, and a file that was tampered with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from regad.runtime.errors import InputError
from regad.runtime.station import users
from regad.runtime.station.users import is_password, read_users, remove_user, set_password


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap hashes: the cost is in the file, and checked once below."""
    monkeypatch.setattr(users, "_N", 16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


def test_a_password_is_known_and_another_one_is_not(path: Path) -> None:
    set_password(path, "anna", "correct horse", "engineer")
    set_password(path, "bob", "battery staple", "viewer")
    known = read_users(path)
    assert {name: user.role for name, user in known.items()} == {"anna": "engineer", "bob": "viewer"}
    assert is_password(known, "anna", "correct horse")
    assert not is_password(known, "anna", "battery staple")
    assert not is_password(known, "bob", "correct horse")
    assert not is_password(known, "carol", "correct horse")
    assert not is_password(known, "anna", "x" * 2000)


def test_the_file_is_for_its_owner_alone_and_holds_no_password(path: Path) -> None:
    set_password(path, "anna", "correct horse", "engineer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "correct" not in path.read_text()


def test_two_users_of_one_password_have_different_hashes(path: Path) -> None:
    for name in ("anna", "bob"):
        set_password(path, name, "correct horse", "viewer")
    first, second = read_users(path).values()
    assert first.hash != second.hash
    assert first.salt != second.salt


def test_a_new_password_takes_the_old_ones_place(path: Path) -> None:
    set_password(path, "anna", "correct horse", "viewer")
    set_password(path, "anna", "battery staple", "operator")
    known = read_users(path)
    assert known["anna"].role == "operator"
    assert is_password(known, "anna", "battery staple")
    assert not is_password(known, "anna", "correct horse")


def test_a_user_is_removed(path: Path) -> None:
    set_password(path, "anna", "correct horse", "viewer")
    remove_user(path, "anna")
    assert read_users(path) == {}
    with pytest.raises(InputError, match=r"there is no user 'anna'; there are: none"):
        remove_user(path, "anna")


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "../x", "a\n"])
def test_a_name_that_is_none_is_refused(path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected 1 to 64 letters"):
        set_password(path, name, "correct horse", "viewer")


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_too_short_or_too_long_is_refused(path: Path, password: str) -> None:
    with pytest.raises(InputError, match="expected 8 to 1024"):
        set_password(path, "anna", password, "viewer")
    assert not path.exists()


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    set_password(path, "anna", "correct horse", "viewer")
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"may be read by other users; forbid it: chmod 600"):
        read_users(path)


USER = {"role": "viewer", "salt": "00" * 16, "hash": "00" * 32, "n": 16, "r": 8, "p": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 10_000,
        b"\xff",
        json.dumps({"format": "other", "version": 1, "users": {}}).encode(),
        json.dumps({"format": "regad-users", "version": 2, "users": {}}).encode(),
        json.dumps({"format": "regad-users", "version": 1, "users": {"a": {**USER, "role": "root"}}}).encode(),
        json.dumps({"format": "regad-users", "version": 1, "users": {"a": {**USER, "salt": "zz"}}}).encode(),
        json.dumps({"format": "regad-users", "version": 1, "users": {"a": {**USER, "n": 1 << 40}}}).encode(),
        b" " * 1_000_001,
    ],
)
def test_a_file_that_is_no_list_of_users_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match=r"is no list of users \(.*move it away"):
        set_password(path, "anna", "correct horse", "viewer")
    assert path.read_bytes() == content


def test_a_file_whose_costs_scrypt_refuses_lets_nobody_in(path: Path) -> None:
    odd = {"a": {**USER, "n": 15}}
    path.write_text(json.dumps({"format": "regad-users", "version": 1, "users": odd}))
    path.chmod(0o600)
    with pytest.raises(InputError, match="is no list of users"):
        read_users(path)


def test_a_hash_costs_32_mebibytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    set_password(path, "anna", "correct horse", "viewer")
    user = read_users(path)["anna"]
    assert 128 * user.n * user.r == 32 << 20
    assert is_password(read_users(path), "anna", "correct horse")
