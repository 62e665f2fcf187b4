"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from .needs import DATA, header

settings.register_profile("regad", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("regad")


def pytest_report_header() -> list[str]:
    """What will be skipped on this machine, before the first test."""
    return header()


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Close a folder for this test as ``chmod 0`` does, also for root: it is there, what is in it cannot be known."""
    locked: set[Path] = set()
    stat, iterdir, scandir = Path.stat, Path.iterdir, os.scandir

    def refuse(folders: Iterable[Path], path: object) -> None:
        if not locked.isdisjoint(folders):
            raise PermissionError(13, "Permission denied", str(path))

    def checked_stat(path: Path, **options: bool) -> os.stat_result:
        refuse(path.parents, path)
        return stat(path, **options)

    def checked_iterdir(path: Path) -> Iterator[Path]:
        refuse((path, *path.parents), path)
        return iterdir(path)

    def checked_scandir(path: str | Path = ".") -> Iterator[os.DirEntry[str]]:
        refuse((Path(path), *Path(path).parents), path)
        return scandir(path)

    monkeypatch.setattr(Path, "stat", checked_stat)
    monkeypatch.setattr(Path, "iterdir", checked_iterdir)
    monkeypatch.setattr(os, "scandir", checked_scandir)
    return locked.add


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and ImageNet weights beside the checkout."""
    if not DATA.is_dir():
        pytest.skip("needs the folder ../shared/data (real images and ImageNet weights), which is absent")
    return DATA


@pytest.fixture(scope="session")
def imagenet_artifact(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with ImageNet weights, the default level gains and identity transforms, made by our commands."""
    from regad.export.cli import command as export
    from regad.train.run.command import command as train

    run = tmp_path_factory.mktemp("imagenet")
    words = ["--data", data_dir / "parts", "--weights", data_dir / "resnet18_imagenet.npz", "--epochs", 0, "--out", run]
    train.main([str(word) for word in words], standalone_mode=False)
    export.main(["--ckpt", str(run / "model.pt"), "--out", str(run / "model.regad")], standalone_mode=False)
    return run / "model.regad"


@pytest.fixture(scope="session")
def export_artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Export a model with random or given backbone weights and lively transforms (thetas differ between images)."""
    import torch

    from regad.export.cli import command
    from regad.runtime.formats.spec import InputSpec
    from regad.train.model.checkpoint import Checkpoint, save_checkpoint
    from regad.train.model.heads import Predictor, SiameseEncoder
    from regad.train.model.registration import RegistrationEncoder
    from regad.train.model.weights import load_weights

    def export(weights: Path | None = None) -> Path:
        torch.manual_seed(0)
        encoder = RegistrationEncoder("rotation_scale").eval()
        if weights is not None:
            load_weights(encoder, str(weights))
        with torch.no_grad():
            for stn in (encoder.stn1, encoder.stn2, encoder.stn3):
                stn.fc[2].weight.normal_(0, 0.05)
        folder = tmp_path_factory.mktemp("artifact")
        states = (encoder.state_dict(), SiameseEncoder().state_dict(), Predictor().state_dict())
        save_checkpoint(folder / "model.pt", Checkpoint(*states, "rotation_scale", InputSpec()))
        command.main(["--ckpt", str(folder / "model.pt"), "--out", str(folder / "model.regad")], standalone_mode=False)
        return folder / "model.regad"

    return export


@pytest.fixture(scope="session")
def artifact_dir(export_artifact: Callable[..., Path]) -> Path:
    """An artifact exported from a model with random weights and lively transforms.

    $REGAD_TEST_ARTIFACT names one that an earlier run left, for quick repetitions of a few tests.
    """
    kept = os.environ.get("REGAD_TEST_ARTIFACT")
    return Path(kept) if kept else export_artifact()


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose encoder is three convolutions, in the same formats: for tests of all that surrounds an encoder.

    Parts are scored by ``edge``. Teaching and judging take a quarter of the time of `artifact_dir`, which is for what
    the encoder itself has a part in.
    """
    from standin import write_standin

    from regad.runtime.formats.scoring import SCORINGS

    folder = tmp_path_factory.mktemp("small") / "model.regad"
    write_standin(folder, scoring=SCORINGS["edge"])
    return folder


def pytest_configure() -> None:
    """Compute with one thread, in child processes too: on a busy machine threads wait for each other, at full load."""
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Keep what collecting has made out of all garbage collections to come, which would look through it each time."""
    gc.collect()
    gc.freeze()
