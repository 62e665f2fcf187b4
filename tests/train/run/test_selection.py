from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regad.runtime.errors import InputError
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import read_image
from regad.train.data.episodes import EpisodeSampler, to_input
from regad.train.data.layouts import good_images
from regad.train.model.checkpoint import build_encoder, build_heads, load_checkpoint
from regad.train.run import loop, steps
from regad.train.run.config import TrainConfig, recipe
from regad.train.run.selection import hold_back
from regad.train.run.trainee import SiameseModel

from ..helpers import draw, make_data


def config(tmp_path: Path, **changes: Any) -> TrainConfig:
    values = {"weights": "none", "shot": 1, "epochs": 3, "batch_size": 4, "device": "cpu", "select": 0.4}
    return TrainConfig(tmp_path / "data", tmp_path / "out", **{**recipe("released"), **values, **changes})


def test_holding_back(tmp_path: Path) -> None:
    paths = {name: [tmp_path / f"{name}{index}" for index in range(count)] for name, count in (("a", 20), ("b", 5))}
    assert hold_back(paths, 0, 2, 0) == (paths, {})
    split = hold_back(paths, 0.2, 1, 0)
    assert {name: len(found) for name, found in split.held_out.items()} == {"a": 4, "b": 2}
    for name, files in paths.items():
        assert sorted(split.train[name] + split.held_out[name]) == sorted(files)
        assert split.train[name] == [path for path in files if path in split.train[name]]
    assert split == hold_back(paths, 0.2, 1, 0)
    assert split != hold_back(paths, 0.2, 1, 1)
    with pytest.raises(InputError, match="category b has 5 good images; --select and --shot 2 need 6 or more"):
        hold_back(paths, 0.2, 2, 0)


def test_the_epoch_kept_is_the_best_on_held_out_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path / "data", {"a": 4})
    losses = iter([-0.1, -0.4, -0.3])
    monkeypatch.setattr(steps, "held_out_loss", lambda *args: next(losses))
    got = load_checkpoint(loop.train(config(tmp_path)))
    assert got.provenance["epoch"] == 2
    assert got.provenance["categories"] == ["a"]
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)["state"]
    assert state["best"] == {"epoch": 2, "loss": -0.4}
    assert state["epoch"] == 3


def test_the_held_out_loss_is_the_models_on_images_it_was_not_trained_on(tmp_path: Path) -> None:
    """Compute it again from the checkpoint; test images, which do not even open, are never looked at."""
    root = make_data(tmp_path / "data", {"a": 5})
    for place in ("test/good", "test/crack"):
        draw(root / "a" / place / "0.png", 0)
        (root / "a" / place / "0.png").write_bytes(b"no image")
    run = config(tmp_path, epochs=1)
    loop.train(run)
    said = torch.load(run.out / "state.pt", weights_only=True)["state"]["history"][0]["held_out_loss"]
    held_out = hold_back({"a": good_images(root, "a")}, 0.4, 1, 0).held_out["a"]
    images = np.stack([preprocess(read_image(path), run.spec) for path in held_out])
    checkpoint = load_checkpoint(run.out / "model.pt")
    model = SiameseModel(build_encoder(checkpoint), *build_heads(checkpoint))
    (episode,) = EpisodeSampler({"a": 2}, 4, 1, 0).epoch(0)
    with torch.no_grad():
        got = model(to_input(images[episode.queries]), to_input(images[episode.supports.ravel()])[:, None])
    assert said == pytest.approx(float(got.registration), abs=1e-5)
