from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regad.runtime.errors import InputError, OutputError, RegadError
from regad.train import loop
from regad.train.checkpoint import load_checkpoint
from regad.train.config import NORMALIZE, TrainConfig
from regad.train.data import EpisodeSampler, good_images, load_images, to_input

from .helpers import make_data


def config(tmp_path: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "data": tmp_path / "data",
        "out": tmp_path / "out",
        "weights": "none",
        "shot": 2,
        "epochs": 2,
        "batch_size": 3,
        "device": "cpu",
    }
    return TrainConfig(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_data(tmp_path / "data", {"a": 3, "b": 3})
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shot": 0}, "shot is 0; expected 1 or more"),
        ({"epochs": -1}, "epochs is -1; expected 0 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"lr": 0.0}, "lr is 0.0; expected a number above 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"stn_mode": "warp"}, "stn mode is 'warp'"),
        ({"normalize": "mean"}, "normalize is 'mean'; expected one of none, imagenet"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_config_is_checked(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        config(tmp_path, **changes)


def test_the_defaults_are_the_released_recipe(tmp_path: Path) -> None:
    got = TrainConfig(data=tmp_path, out=tmp_path)
    assert (got.shot, got.epochs, got.batch_size, got.lr, got.momentum) == (2, 50, 32, 1e-4, 0.9)
    assert (got.stn_mode, got.weights, got.normalize) == ("rotation_scale", "imagenet", "none")


def test_cosine_decay() -> None:
    rates = [loop.learning_rate(2.0, epoch, 4) for epoch in range(1, 5)]
    assert rates == pytest.approx([1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0])
    assert loop.learning_rate(2.0, 1, 1) == 2.0


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1).mean()


def test_two_steps_equal_a_reference_written_out(folder: Path) -> None:
    """The loop's losses and weights against forward, loss and SGD with momentum, step by step."""
    run = config(folder, epochs=1, lr=0.01)
    lines: list[float] = []
    loop.train(run, lambda p: lines.append(p.loss) if p.stage == "train" else None)
    trained = load_checkpoint(folder / "out" / "model.pt")

    model, _ = loop.build_model(run)
    model.train()
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    images = {name: load_images(good_images(run.data, name), run.spec) for name in ("a", "b")}
    velocity: dict[str, Tensor] = {}
    losses = []
    for episode in EpisodeSampler({"a": 3, "b": 3}, 3, 2, run.seed).epoch(1):
        stack = to_input(images[episode.category])
        query = model.encoder.register(stack[torch.from_numpy(episode.queries)]).x3
        rows = model.encoder.register(stack[torch.from_numpy(episode.supports.ravel())]).x3
        support = (rows[0::2] + rows[1::2]) / 2
        z1, z2 = model.head(query), model.head(support)
        loss = -cosine(model.predictor(z1), z2.detach()) / 2 - cosine(model.predictor(z2), z1.detach()) / 2
        losses.append(loss.item())
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, value in model.named_parameters():
                if value.grad is not None:
                    velocity[name] = 0.9 * velocity.get(name, torch.zeros_like(value)) + value.grad
                    value -= 0.01 * velocity[name]
    assert lines == pytest.approx([losses[0], (losses[0] + losses[1]) / 2], abs=1e-5)
    parts = {"encoder": trained.stn, "head": trained.enc, "predictor": trained.pred}
    for name, want in model.state_dict().items():
        part, key = name.split(".", 1)
        moved, off = (want - initial[name]).float().norm(), (parts[part][key] - want).float().norm()
        assert off <= 0.01 * moved + 1e-6, name


def test_training_moves_all_three_parts_and_is_repeatable(folder: Path) -> None:
    options: dict[str, Any] = {"normalize": "imagenet", "fit": "letterbox", "hold_out": ("b",), "shot": 1}
    reports: list[loop.Progress] = []
    path = loop.train(config(folder, **options), reports.append)
    assert path == folder / "out" / "model.pt"
    first = load_checkpoint(path)
    initial, _ = loop.build_model(config(folder))
    for before, after in (
        (initial.encoder.stn1.fc[2].weight, first.stn["stn1.fc.2.weight"]),
        (initial.encoder.conv1.weight, first.stn["conv1.weight"]),
        (initial.head.conv1.weight, first.enc["conv1.weight"]),
        (initial.predictor.conv2.weight, first.pred["conv2.weight"]),
    ):
        assert not torch.equal(before, after)
    assert (first.spec.mean, first.spec.std) == NORMALIZE["imagenet"]
    assert first.spec.fit == "letterbox"
    facts = first.provenance
    assert (facts["categories"], facts["hold_out"], facts["epoch"], facts["epochs"]) == (["a"], ["b"], 2, 2)
    assert facts["weights"] == {"source": "none", "sha256": None}
    assert {"regad", "torch", "numpy", "python"} == set(facts["software"])

    lines = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(-1 <= line["loss"] <= 1 and line["images_per_second"] > 0 for line in lines)
    assert [(p.stage, p.done, p.total) for p in reports] == [
        *(("load", n, 3) for n in (1, 2, 3)),
        ("train", 1, 1),
        ("train", 1, 1),
    ]

    second = load_checkpoint(loop.train(config(folder, **options, out=folder / "again")))
    assert all(torch.equal(first.stn[name], second.stn[name]) for name in first.stn)


def test_no_epochs_writes_the_initial_model(folder: Path) -> None:
    got = load_checkpoint(loop.train(config(folder, epochs=0, stn_mode="affine")))
    model, _ = loop.build_model(config(folder, stn_mode="affine"))
    assert all(torch.equal(got.stn[name], value) for name, value in model.encoder.state_dict().items())
    assert got.provenance["epoch"] == 0
    assert torch.equal(got.stn["stn2.fc.2.bias"], torch.tensor([1.0, 0, 0, 0, 1, 0]))
    assert (folder / "out" / "log.jsonl").read_text() == ""


def test_building_keeps_the_callers_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    loop.build_model(config(tmp_path))
    assert torch.equal(torch.rand(1), want)


def test_a_loss_that_is_not_finite_stops_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_step", lambda *args: math.nan)
    with pytest.raises(RegadError, match=r"loss became nan in epoch 1, step 1 .*lower --lr"):
        loop.train(config(folder))
    assert not (folder / "out" / "model.pt").exists()


def test_an_output_folder_that_cannot_be_made(folder: Path) -> None:
    (folder / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl"):
        loop.train(config(folder, out=folder / "file" / "run"))
