"""Names and addresses as people may see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.sources.streams import ReadAhead
from regad.runtime.text import as_path, as_unicode, noted, reason_of, redact, shown, system_reason


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"part.jpg", "part.jpg"),
        ("prüf.jpg".encode(), "prüf.jpg"),
        (b"pr\xfcf.jpg", "pr\ufffdf.jpg"),
        (b"a\nb\x1b[31m.png", "a\ufffdb\ufffd[31m.png"),
    ],
)
def test_names_are_shown_on_one_line_with_replacement(raw: bytes, text: str) -> None:
    assert shown(raw.decode("utf-8", "surrogateescape")) == text
    assert shown(raw.decode("ascii", "surrogateescape")) == text  # as under LC_ALL=C


@given(st.text(st.characters(codec=None)))
def test_whatever_is_shown_can_be_stored(text: str) -> None:
    safe = shown(text)
    safe.encode()
    assert "\n" not in safe
    assert shown(safe) == safe


def test_the_reason_of_an_error_is_its_first_line_without_secrets_or_its_kind() -> None:
    assert reason_of(ValueError("  cannot open\t rtsp://u:p@h/1\nat line 3")) == "cannot open rtsp://***@h/1"
    assert reason_of(KeyError()) == "KeyError"
    assert reason_of(ValueError("\n")) == "ValueError"
    assert system_reason(OSError(28, "No space left on device", "/secret/path")) == "No space left on device"
    assert system_reason(OSError("odd")) == "odd"


def test_what_is_printed_keeps_its_lines_and_has_no_half_bytes() -> None:
    assert as_unicode("pr\udcfcf\nü\udcc3\udcbc") == "pr\ufffdf\nüü"
    assert as_unicode("\ud800") == "?"


def test_names_from_utf8_files_can_be_opened_where_the_locale_has_no_umlauts() -> None:
    code = "from regad.runtime.text import as_path; import os; print(os.fsencode(as_path('pr\\xfcf')))"
    fresh = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == str("prüf".encode())
    assert as_path("part") == "part"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("rtsp://me:pass@host/1", "rtsp://***@host/1"),
        ("rtsp://me:p@ss/w ord?@host/1", "rtsp://***@host/1"),
        ("rtsps:/me:pass@host/1", "rtsps:/***@host/1"),
        ("admin:pass@10.0.0.5/1", "***@10.0.0.5/1"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://host:8080/video?channel=1", "http://host:8080/video?channel=1"),
        ("rtsp://h/user=admin&password=x y&channel=1", "rtsp://h/user=***&password=***&channel=1"),
        ("http://h/s?access_token=a.b&n=1", "http://h/s?access_token=***&n=1"),
        ("http://h/s?n=1&api_key=abc", "http://h/s?n=1&api_key=***"),
        (
            'rtspsrc location="rtsp://u:p w@h/1" user-id=admin user-pw="a b" latency=0 ! appsink',
            'rtspsrc location="rtsp://***@h/1" user-id=*** user-pw=*** latency=0 ! appsink',
        ),
        (
            "rtspsrc user-pw=(string)geheim location=rtsp://h/1 ! x",
            "rtspsrc user-pw=(string)*** location=rtsp://h/1 ! x",
        ),
        ("cannot open rtsp://u:p@h/1: no route", "cannot open rtsp://***@h/1: no route"),
    ],
)
def test_secrets_of_addresses_are_hidden(uri: str, text: str) -> None:
    assert redact(uri) == text
    assert redact(text) == text


PASSWORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\"'&\\"), min_size=3)


@given(PASSWORDS)
def test_no_password_of_an_address_is_shown(password: str) -> None:
    secret = f"{password}§secret"
    for uri in (
        f"rtsp://user:{secret}@10.0.0.5/1",
        f"http://cam/s?pwd={secret}",
        f"http://cam/user=a&password={secret}",
    ):
        assert "§secret" not in redact(uri)
    assert "§secret" not in redact(f'rtspsrc location=rtsp://cam/1 user-pw="{secret}" ! appsink')


def test_a_thread_is_named_without_control_characters() -> None:
    source = ReadAhead("part\n1", iter(()))
    with source:
        names = [thread.name for thread in threading.enumerate()]
        list(source)
    assert source.uri == "part\ufffd1"
    assert not any("\n" in name for name in names)


def test_equal_notes_become_one_line() -> None:
    assert noted([("a", "dark"), ("b", "dark"), ("c", "large")]) == ["a and 1 more: dark", "c: large"]
    assert json.dumps(noted([])) == "[]"
