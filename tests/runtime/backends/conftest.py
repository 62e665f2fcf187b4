"""What the tests of the backends compare with: the CPU, five images, and statistics of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.export.writer import scorer_model
from regad.runtime.backends.base import Backend
from regad.runtime.backends.table import open_backend
from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.encodings import Statistics, forms_of
from regad.runtime.formats.scoring import SCORINGS


@pytest.fixture(scope="session")
def reference(small_artifact: Path) -> Backend:
    """The small artifact on the CPU."""
    return open_backend(Artifact.open(small_artifact), "cpu", 1)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Noise, uint8 [5, 224, 224, 3]."""
    return np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), np.uint8)


@pytest.fixture(scope="session")
def statistics(reference: Backend, images: np.ndarray) -> Statistics:
    """Statistics of three of the images, in the gram form."""
    return fit_statistics(reference.features(images[:3]), "gram")


@pytest.fixture(scope="session")
def every_form(artifact_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact with a graph for every form; parts taught on it are scored by ``edge``."""
    artifact, edge = Artifact.open(artifact_dir), SCORINGS["edge"]
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    names = dict(artifact.manifest["scorers"])
    for form in forms_of(edge.groups):
        name = names.setdefault(form.name, f"scorer_{form.name}.onnx")
        if name not in files:
            files[name] = scorer_model(form).SerializeToString()
    path = tmp_path_factory.mktemp("forms") / "model.regad"
    write_artifact(path, {**artifact.manifest, "scorers": names, "scoring": edge.to_json()}, files)
    return path
