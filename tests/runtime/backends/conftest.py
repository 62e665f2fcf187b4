"""What the tests of the backends compare with: the CPU, five images, and statistics of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.base import Backend
from regad.runtime.backends.table import open_backend
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics


@pytest.fixture(scope="session")
def reference(artifact_dir: Path) -> Backend:
    """The artifact on the CPU."""
    return open_backend(Artifact.open(artifact_dir), "cpu", 1)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Noise, uint8 [5, 224, 224, 3]."""
    return np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), np.uint8)


@pytest.fixture(scope="session")
def statistics(reference: Backend, images: np.ndarray) -> Statistics:
    """Statistics of three of the images, in the gram form."""
    return fit_statistics(reference.features(images[:3]), "gram")
