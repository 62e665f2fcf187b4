"""What a reference names: a registry, a web server or a path, and nothing by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.serve.reference import Image, PlainPath, Web, parse_reference

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.plant.example/line3/plate:7", Image("registry.plant.example", "line3/plate", "7", None)),
        ("127.0.0.1:5000/plate", Image("127.0.0.1:5000", "plate", "latest", None)),
        ("localhost/plate", Image("localhost", "plate", "latest", None)),
        ("oci://harbor/line3/plate:a.b", Image("harbor", "line3/plate", "a.b", None)),
        ("[::1]:5000/plate", Image("[::1]:5000", "plate", "latest", None)),
        (f"r.example/p:7@{DIGEST}", Image("r.example", "p", "7", DIGEST)),
        ("https://plant.example/parts/model.regad/", Web("https://plant.example/parts/model.regad")),
        ("file:///srv/my%20parts/a.safetensors", PlainPath(Path("/srv/my parts/a.safetensors"))),
        ("./r.example/plate", PlainPath(Path("./r.example/plate"))),
        ("../a.b/plate", PlainPath(Path("../a.b/plate"))),
        ("parts/plate.safetensors", PlainPath(Path("parts/plate.safetensors"))),
        ("model.regad", PlainPath(Path("model.regad"))),
    ],
)
def test_a_reference_names_one_place(text: str, expected: object) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r.example/Plate", "small letters"),
        ("r.example/plate:", "no reference to a registry"),
        ("r.example/a/../b", "no reference to a registry"),
        ("user:secret@r.example/plate", "no reference to a registry"),
        ("https://user:secret@plant.example/a", "holds a user or password"),
        ("https://plant.example/a?token=secret", "not the address"),
        ("https://plant.example:port/a", "not the address"),
        ("s3://bucket/plate", "is unknown"),
        ("", "names no file"),
    ],
)
def test_what_is_malformed_or_holds_a_password_is_refused_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_reference(text)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_one_clear_line(text: str) -> None:
    try:
        found = parse_reference(text)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(found, Image | Web | PlainPath)


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
    ],
)
def test_only_this_machine_is_spoken_to_without_tls(registry: str, loopback: bool) -> None:
    assert Image(registry, "plate", "1", None).loopback is loopback
