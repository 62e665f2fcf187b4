"""Artifacts that are damaged, wrong or not to be read, and what is never replaced by one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from regad.runtime import Artifact, ArtifactError
from regad.runtime.formats.artifact import artifact_hash, is_artifact, write_artifact


@pytest.mark.parametrize("name", ["encoder.onnx", "scorer.onnx", "golden.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "altered"])
def test_a_damaged_artifact_is_refused(artifact_dir: Path, tmp_path: Path, name: str, damage: str) -> None:
    copy = tmp_path / "model.regad"
    shutil.copytree(artifact_dir, copy)
    file = copy / name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(raw if damage == "altered" else raw[:-1])
    with pytest.raises(ArtifactError) as caught:
        Artifact.open(copy)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": 1}, "version 1"),
        ({"format": "x"}, "not the manifest"),
        ({"epsilon": 0.1}, "another encoder"),
        ({"files": {}}, "incomplete"),
        ({"input": {}}, "incomplete"),
    ],
)
def test_a_wrong_manifest_is_refused(artifact_dir: Path, tmp_path: Path, changes: dict[str, object], word: str) -> None:
    manifest = json.loads((artifact_dir / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(ArtifactError, match=word):
        Artifact.open(tmp_path)


def test_a_manifest_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="nested too deeply"):
        Artifact.open(tmp_path)
    assert not is_artifact(tmp_path)
    assert not is_artifact("x" * 300)  # longer than a file system takes


@pytest.mark.parametrize("name", ["manifest.json", "encoder.onnx"])
def test_a_file_of_an_artifact_that_must_not_be_read_is_told(
    artifact_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    with pytest.raises(ArtifactError, match=f"{name} cannot be read.*Permission denied"):
        Artifact.open(artifact_dir)
    assert is_artifact(artifact_dir) is (name != "manifest.json")


def test_an_artifact_never_replaces_something_else(artifact_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    artifact = Artifact.open(artifact_dir)
    files = {name: (artifact_dir / name).read_bytes() for name in artifact.manifest["files"]}
    with pytest.raises(ArtifactError, match="not replaced"):
        write_artifact(tmp_path / "photos", artifact.manifest, files)
    assert is_artifact(artifact_dir)
    assert not is_artifact(tmp_path / "photos")
    again = write_artifact(tmp_path / "again", artifact.manifest, files)
    assert again.hash == artifact.hash == artifact_hash(artifact.manifest)
