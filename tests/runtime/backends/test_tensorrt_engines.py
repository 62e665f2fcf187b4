"""Which engines the TensorRT backend takes: forged, damaged, outdated and foreign ones are refused, with the remedy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regad.runtime.backends.tensorrt.backend import TrtBackend
from regad.runtime.backends.tensorrt.engines import EngineKey, Gpu, look_up
from regad.runtime.backends.tensorrt.library import load_tensorrt
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact

from ..doubles import FakeCuda, write_engines

ORIN = Gpu("Double", "8.7")


@pytest.fixture
def artifact(built: Path, tmp_path: Path) -> Artifact:
    """A copy of its own, to be damaged."""
    shutil.copytree(built, tmp_path / "model.regad")
    return Artifact.open(tmp_path / "model.regad")


def edit(artifact: Artifact, change: Callable[[dict[str, object]], object], rename: bool = False) -> None:
    """Change the record of the encoder's engine; ``rename`` forges its digest too."""
    (path,) = (artifact.path / "engines").glob("encoder-*.json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    if rename:
        stem = f"encoder-{EngineKey(**data['key']).digest}"
        path.with_suffix(".plan").rename(path.with_name(f"{stem}.plan"))
        path.rename(path.with_name(f"{stem}.json"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gpu": "Other"}, r"built for Other \(8.7\)"),
        ({"compute_capability": "8.6"}, r"built for Double \(8.6\)"),
        ({"version": "10.4.0"}, "built by tensorrt 10.4.0"),
        ({"library": "tensorrt_rtx"}, "built by tensorrt_rtx"),
        ({"graph_sha256": "0" * 64}, "graph has changed"),
    ],
)
def test_an_engine_for_something_else_is_refused(
    cuda: FakeCuda, artifact: Artifact, changes: dict[str, str], reason: str
) -> None:
    shutil.rmtree(artifact.path / "engines")
    write_engines(artifact, **changes)
    with pytest.raises(DeviceError, match=f"{reason}.*regad-export --engine --artifact") as caught:
        TrtBackend(artifact)
    assert "\n" not in str(caught.value)


def test_a_forged_key_is_refused(cuda: FakeCuda, artifact: Artifact) -> None:
    edit(artifact, lambda data: data["key"].update(version="10.2.0"))  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match="its key was changed after it was built"):
        TrtBackend(artifact)


def test_a_whole_forgery_is_left_to_tensorrt_to_refuse(cuda: FakeCuda, artifact: Artifact) -> None:
    (plan,) = (artifact.path / "engines").glob("encoder-*.plan")
    plan.write_bytes(b"an engine of another GPU")
    size, digest = plan.stat().st_size, hashlib.sha256(plan.read_bytes()).hexdigest()
    edit(artifact, lambda data: data.update(plan_sha256=digest, plan_bytes=size))
    with pytest.raises(DeviceError, match=r"cannot open the engine encoder-.*not an engine of this library") as caught:
        TrtBackend(artifact)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_plan_is_refused(cuda: FakeCuda, artifact: Artifact, damage: str) -> None:
    (plan,) = (artifact.path / "engines").glob("encoder-*.plan")
    raw = bytearray(plan.read_bytes())
    raw[len(raw) // 2] ^= 1
    if damage == "missing":
        plan.unlink()
    else:
        plan.write_bytes(raw[:-7] if damage == "cut" else raw)
    with pytest.raises(DeviceError, match=r"build it again: regad-export --engine --artifact"):
        TrtBackend(artifact)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "regad-engine", "version": 2}'])
def test_a_malformed_record_is_refused(cuda: FakeCuda, artifact: Artifact, text: str) -> None:
    (record,) = (artifact.path / "engines").glob("encoder-*.json")
    record.write_text(text)
    with pytest.raises(DeviceError, match=r"record is malformed|version 2|not regad-engine|regad-engine 2"):
        TrtBackend(artifact)


def test_an_artifact_changed_after_its_engine_was_built(cuda: FakeCuda, artifact: Artifact) -> None:
    manifest = {**artifact.manifest, "files": {**artifact.manifest["files"]}}
    manifest["files"]["encoder.onnx"] = {"sha256": "1" * 64, "bytes": 1}
    with pytest.raises(DeviceError, match="the artifact's graph has changed since"):
        TrtBackend(dataclasses.replace(artifact, manifest=manifest))


def test_an_engine_with_other_tensors_is_refused(cuda: FakeCuda, artifact: Artifact) -> None:
    scorer = (artifact.path / "scorer_hybrid.onnx").read_bytes()
    (plan,) = (artifact.path / "engines").glob("encoder-*.plan")
    plan.write_bytes(scorer)
    digest = hashlib.sha256(scorer).hexdigest()
    edit(artifact, lambda data: data.update(plan_sha256=digest, plan_bytes=len(scorer)))
    with pytest.raises(DeviceError, match=r"has other tensors than encoder\.onnx \(.*w1 float32"):
        TrtBackend(artifact)


def test_which_engine_fits(artifact: Artifact, cuda: FakeCuda) -> None:
    library = load_tensorrt()
    newer = dataclasses.replace(library, version="10.9.1")
    thor = Gpu("Thor", "11.0")
    for changes, gpu, found, fits in (
        ({}, ORIN, library, True),
        ({}, thor, library, False),
        ({}, ORIN, newer, False),
        ({"portable": True}, ORIN, newer, True),
        ({"portable": True, "version": "10.11.0"}, ORIN, newer, False),
        ({"hardware": "ampere-plus"}, thor, library, True),
        ({"hardware": "ampere-plus"}, Gpu("Nano", "7.5"), library, False),
        ({"gpu": "any"}, Gpu("Another", "8.7"), library, True),
        ({"gpu": "any"}, thor, library, False),
    ):
        shutil.rmtree(artifact.path / "engines", ignore_errors=True)
        write_engines(artifact, **changes)
        record, reason = look_up(artifact, "encoder.onnx", gpu, found)
        assert (record is not None, reason == "") == (fits, fits), (changes, gpu, reason)
