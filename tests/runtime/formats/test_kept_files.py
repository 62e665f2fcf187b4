"""A file that one version wrote is read by every later one: ``kept`` holds one of each version, never written again.

Tensors are constant, so that a category packs to a few kilobytes; the files of an artifact hold their own names.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.errors import ArtifactError
from regad.runtime.formats.artifact import VERSION as ARTIFACT_VERSION
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import VERSION as CATEGORY_VERSION
from regad.runtime.formats.category import load_category
from regad.runtime.formats.limits import Limit
from regad.runtime.formats.scoring import Scoring

KEPT = Path(__file__).parent / "kept"
FIRST_CATEGORY, FIRST_ARTIFACT = 3, 2
"""What was written before is refused: the part is taught, or the artifact exported, again."""


def unpacked(version: int, folder: Path) -> Path:
    path = folder / "part.safetensors"
    path.write_bytes(gzip.decompress((KEPT / f"category-{version}.safetensors.gz").read_bytes()))
    return path


def artifact_of(version: int, folder: Path) -> Path:
    text = (KEPT / f"artifact-{version}.json").read_text(encoding="utf-8")
    path = folder / "model.regad"
    path.mkdir()
    for name in json.loads(text)["files"]:
        (path / name).write_bytes(name.encode())
    (path / "manifest.json").write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("version", range(FIRST_CATEGORY, CATEGORY_VERSION + 1))
def test_a_category_of_every_version_is_read(version: int, tmp_path: Path) -> None:
    category = load_category(unpacked(version, tmp_path), "ab" * 32)
    assert (category.shot, category.encoding, category.statistics[0].rank) == (2, "gram", 2)
    assert (category.tensors["mean2"] == np.float32(0.5)).all()
    assert category.threshold.value == 5.5
    assert category.limits["brightness"] == Limit(5.5, 240.625, (88.0, 140.0))
    assert category.scoring == Scoring()
    assert [item.name for item in category.support] == ["a.png", "b.png"]


@pytest.mark.parametrize("version", range(FIRST_ARTIFACT, ARTIFACT_VERSION + 1))
def test_an_artifact_of_every_version_is_opened(version: int, tmp_path: Path) -> None:
    artifact = Artifact.open(artifact_of(version, tmp_path))
    assert artifact.hash == "48de7e0637a0bcdca7d0ef96a49f902f2be43bfb1f962e1b6ae4c0ef961ea2e1"
    assert artifact.dtype == "fp32"
    assert set(artifact.manifest["scorers"]) == {"gram", "hybrid", "cholesky"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 1}, "artifact version 1; .* export it again"),
        ({"requires": ["prior"]}, "requires prior, which this version does not provide; update regad"),
        ({"scoring": {**Scoring().to_json(), "share": 0.02}}, "scoring has share, which this version does not know"),
    ],
)
def test_an_artifact_that_asks_for_more_is_refused(change: dict[str, object], word: str, tmp_path: Path) -> None:
    path = artifact_of(FIRST_ARTIFACT, tmp_path)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    (path / "manifest.json").write_text(json.dumps({**manifest, **change}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=word):
        Artifact.open(path)
