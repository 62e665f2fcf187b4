"""Push and pull against Debian's docker-registry on loopback."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from regad.runtime.errors import ArtifactError, CategoryError, InputError, OutputError, SourceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.serve.offer import Offer, require_artifact
from regad.runtime.serve.plain import offer_of_path
from regad.runtime.serve.pull import pull
from regad.runtime.serve.reference import Image
from regad.runtime.serve.registry import Registry

from ...needs import absent, require
from .places import DockerRegistry, make_artifact, make_category, names

HTPASSWD = "line3:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"
MOST = 1 << 30


def started(folder: Path, users: Path | None = None) -> DockerRegistry:
    require("docker-registry")
    if find_spec("oras") is None:
        absent("needs oras: pip install 'regad[oras]'")
    program = shutil.which("docker-registry")
    assert program is not None
    return DockerRegistry(program, folder, users)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    server = started(tmp_path_factory.mktemp("registry"))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials of the machine's user are read."""
    for name in ("ORAS_USER", "ORAS_PASS", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return make_artifact(tmp_path / "model.regad")


def push(host: str, name: str, path: Path, tag: str = "1") -> str:
    with Registry(Image(host, name, tag, None)) as place:
        return place.push(offer_of_path(path), path)


def look(host: str, name: str, tag: str = "1", digest: str | None = None) -> Offer:
    with Registry(Image(host, name, tag, digest)) as place:
        return place.look()


def fetch(host: str, name: str, out: Path, tag: str = "1", digest: str | None = None) -> bool:
    with Registry(Image(host, name, tag, digest)) as place:
        return pull(place.look(), out, max_bytes=MOST)


def test_what_is_pushed_is_pulled_in_every_bit(registry: DockerRegistry, artifact: Artifact, tmp_path: Path) -> None:
    category = make_category(tmp_path / "plate.safetensors", artifact.hash)
    digest = push(registry.host, "line3/model", artifact.path)
    push(registry.host, "line3/plate", category)
    out = tmp_path / "to"
    assert fetch(registry.host, "line3/model", out / "model.regad")
    assert fetch(registry.host, "line3/plate", out / "plate.safetensors")
    for file in artifact.path.iterdir():
        assert (out / "model.regad" / file.name).read_bytes() == file.read_bytes()
    assert (out / "plate.safetensors").read_bytes() == category.read_bytes()
    assert not fetch(registry.host, "line3/model", out / "model.regad"), "it is there already"
    assert not fetch(registry.host, "line3/plate", out / "plate.safetensors")
    assert push(registry.host, "line3/model", artifact.path) == digest, "the same thing has the same digest"
    assert names(out) == ["model.regad", "plate.safetensors"]


def test_engines_and_other_files_beside_an_artifact_are_not_pushed(
    registry: DockerRegistry, artifact: Artifact, tmp_path: Path
) -> None:
    (artifact.path / "engines").mkdir()
    (artifact.path / "notes.txt").write_text("mine")
    push(registry.host, "bare", artifact.path)
    names = {piece.name for piece in look(registry.host, "bare").pieces}
    assert names == {"manifest.json", *artifact.manifest["files"]}


def test_a_new_version_takes_the_place_of_the_old_one_and_a_digest_pins_one(
    registry: DockerRegistry, artifact: Artifact, tmp_path: Path
) -> None:
    out = tmp_path / "to.safetensors"
    first = push(registry.host, "swap", make_category(tmp_path / "one.safetensors", artifact.hash, "one"))
    push(registry.host, "swap", make_category(tmp_path / "two.safetensors", artifact.hash, "two"))
    assert fetch(registry.host, "swap", out) and out.read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert fetch(registry.host, "swap", out, digest=first)
    assert out.read_bytes() == (tmp_path / "one.safetensors").read_bytes()


def test_a_category_of_another_artifact_is_known_before_a_byte_of_it_is_asked_for(
    registry: DockerRegistry, artifact: Artifact, tmp_path: Path
) -> None:
    path = make_category(tmp_path / "plate.safetensors", "e" * 64)
    push(registry.host, "wrong", path)
    offer = look(registry.host, "wrong")
    assert offer.kind == "category" and offer.pieces[0].size == path.stat().st_size
    registry.blob(str(offer.pieces[0].sha256)).unlink()
    with pytest.raises(CategoryError, match=f"taught on artifact {'e' * 12}, but .* is {artifact.hash[:12]}"):
        require_artifact(offer, artifact.path, artifact.hash)


def test_an_annotation_that_lies_is_found_before_the_category_is_placed(
    registry: DockerRegistry, artifact: Artifact, tmp_path: Path
) -> None:
    path = make_category(tmp_path / "plate.safetensors", "e" * 64)
    offer = offer_of_path(path)
    with Registry(Image(registry.host, "liar", "1", None)) as place:
        place.push(Offer(offer.kind, offer.where, artifact.hash, offer.pieces), path)
    assert look(registry.host, "liar").artifact == artifact.hash
    with pytest.raises(CategoryError, match=f"liar@sha256:[0-9a-f]+ was taught on artifact {'e' * 12}"):
        fetch(registry.host, "liar", tmp_path / "to" / "plate.safetensors")
    assert names(tmp_path / "to") == []


@pytest.mark.parametrize(("change", "words"), [(b"!", "was altered"), (b"", "broke off|cannot be reached")])
def test_a_tampered_blob_is_refused_and_nothing_is_left(
    registry: DockerRegistry, tmp_path: Path, change: bytes, words: str
) -> None:
    made = make_artifact(tmp_path / "model.regad", f"tampered{change!r}")
    push(registry.host, f"tampered{len(change)}", made.path)
    blob = registry.blob(made.manifest["files"]["encoder.onnx"]["sha256"])
    blob.write_bytes(blob.read_bytes()[:-1] + change)
    with pytest.raises(SourceError, match=words):
        fetch(registry.host, f"tampered{len(change)}", tmp_path / "to" / "model.regad")
    assert names(tmp_path / "to") == []


def test_a_tampered_manifest_is_refused(registry: DockerRegistry, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "model.regad", "manifest")
    digest = push(registry.host, "manifest", made.path)
    blob = registry.blob(digest.removeprefix("sha256:"))
    blob.write_text(blob.read_text().replace(made.hash, "f" * 64))
    with pytest.raises((SourceError, ArtifactError)):
        look(registry.host, "manifest", digest=digest)
    with pytest.raises((SourceError, ArtifactError)):
        look(registry.host, "manifest")


def test_what_is_not_there_or_of_another_kind_is_one_clear_line(registry: DockerRegistry, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="says 404"):
        look(registry.host, "never/pushed")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(SourceError, match="cannot be reached"):
        look(nowhere, "plate")


def test_credentials_come_from_dockers_configuration_or_the_environment(
    tmp_path: Path, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "htpasswd"
    users.write_text(HTPASSWD)
    server = started(tmp_path, users)
    try:
        path = make_category(tmp_path / "plate.safetensors", "a" * 64)
        with pytest.raises(OutputError, match=r"says 401.*docker login .*\$ORAS_USER"):
            push(server.host, "plate", path)
        monkeypatch.setenv("ORAS_USER", "line3")
        monkeypatch.setenv("ORAS_PASS", "wrong")
        with pytest.raises(OutputError, match="says 401") as caught:
            push(server.host, "plate", path)
        assert "wrong" not in str(caught.value)
        monkeypatch.setenv("ORAS_PASS", "open sesame")
        push(server.host, "plate", path)
        monkeypatch.delenv("ORAS_USER")
        nobody.joinpath(".docker").mkdir(parents=True)
        auth = base64.b64encode(b"line3:open sesame").decode()
        (nobody / ".docker" / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
        assert fetch(server.host, "plate", tmp_path / "to.safetensors")
    finally:
        server.close()


def test_a_transfer_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    server = started(tmp_path)
    try:
        made = make_artifact(tmp_path / "model.regad", "big" * 100)
        push(server.host, "model", made.path)
        with Registry(Image(server.host, "model", "1", None)) as place:
            offer = place.look()
            began = threading.Event()

            def end(text: str) -> None:
                if not began.is_set():
                    began.set()
                    server.close()

            with pytest.raises(SourceError, match="cannot be reached or broke off"):
                pull(offer, tmp_path / "to" / "model.regad", max_bytes=1 << 40, say=end)
        assert began.is_set() and names(tmp_path / "to") == []
    finally:
        server.close()


def test_without_oras_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "oras.auth", None)
    with pytest.raises(InputError, match=r"pip install 'regad\[oras\]'"):
        Registry(Image("127.0.0.1:1", "plate", "1", None))
