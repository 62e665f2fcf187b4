from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regad.runtime.errors import DeviceError, InputError, OutputError, RegadError
from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import read_image
from regad.train.data import augment
from regad.train.data.episodes import EpisodeSampler, to_input
from regad.train.data.layouts import good_images
from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import loop, steps, trainee
from regad.train.run.config import DEFAULT_RECIPE, NORMALIZE, RECIPES, TrainConfig, recipe
from regad.train.run.distributed import Group

from ..helpers import make_data, released


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
    return TrainConfig(**{**recipe("released"), **values, **changes})


SHORT: dict[str, Any] = {"epochs": 1, "shot": 1, "hold_out": ("b",)}
"""One step in `small`: two queries and their supports."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_data(tmp_path / "data", {"a": 3, "b": 3})
    return tmp_path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    make_data(tmp_path / "data", {"a": 2, "b": 2})
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shot": 0}, "shot is 0; expected 1 or more"),
        ({"epochs": -1}, "epochs is -1; expected 0 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"lr": -1.0}, "lr is -1.0; expected a number of 0 or more"),
        ({"stn_lr": math.inf}, "stn_lr is inf"),
        ({"head_lr": -0.1}, "head_lr is -0.1"),
        ({"lr": 0.0, "stn_lr": 0.0}, "lr and stn_lr are both 0: nothing would be trained"),
        ({"prior": -1.0}, "prior is -1.0"),
        ({"level_gains": (1.0, 0.0, 8.0)}, r"level gains are \(1.0, 0.0, 8.0\); expected three numbers above 0"),
        ({"feature_exponents": (0.0, 2.0, 0.0)}, r"feature exponents are \(0.0, 2.0, 0.0\); expected three numbers in"),
        ({"feature_gains": (0.0, 1.0, 1.0)}, "feature gains are"),
        ({"freeze": "layer3"}, "freeze is 'layer3'; expected one of none, layer1, layer2"),
        ({"decay": "never"}, "decay is 'never'; expected one of epoch, step"),
        ({"select": 0.6}, "select is 0.6; expected a fraction"),
        ({"workers": -1}, "workers is -1"),
        ({"cache": "tape"}, "cache is 'tape'; expected one of memory, disk"),
        ({"cache_mb": -1}, "cache_mb is -1"),
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


def test_the_released_recipe(tmp_path: Path) -> None:
    got = TrainConfig(data=tmp_path, out=tmp_path, **recipe("released"))
    assert (got.shot, got.epochs, got.batch_size, got.momentum, got.decay) == (2, 50, 32, 0.9, "epoch")
    assert got.lr == got.stn_lr == got.head_lr == 1e-4
    assert (got.freeze, got.freeze_bn, got.augment, got.prior, got.select) == ("none", False, False, 0, 0)
    assert (got.stn_mode, got.weights, got.normalize) == ("rotation_scale", "imagenet", "none")
    assert got.level_gains == (1, 1, 1)


def test_the_recipes(tmp_path: Path) -> None:
    for name in RECIPES:
        TrainConfig(data=tmp_path, out=tmp_path, **recipe(name))
    assert TrainConfig(tmp_path, tmp_path) == TrainConfig(tmp_path, tmp_path, **recipe("deep"))
    assert recipe(DEFAULT_RECIPE)["epochs"] == 0
    with pytest.raises(InputError, match="recipe is 'best'; expected one of"):
        recipe("best")


def test_what_is_random_is_not_kept_as_it_is(tmp_path: Path) -> None:
    """Frozen batch norm or layers make no sense from scratch, and are never switched off in silence."""
    for changes in ({"freeze_bn": True}, {"freeze": "layer1"}):
        with pytest.raises(InputError, match=r"weights none are random, .* use --recipe released"):
            config(tmp_path, **changes)
        config(tmp_path, **changes, epochs=0)
        config(tmp_path, **changes, weights="imagenet")


def test_settings_of_transforms_that_are_not_trained_are_refused(tmp_path: Path) -> None:
    for changes, said in (({"stn_mode": "affine"}, "stn mode affine"), ({"prior": 1.0}, "prior 1.0")):
        with pytest.raises(InputError, match=rf"{said} changes nothing while stn_lr is 0.* --recipe register"):
            config(tmp_path, stn_lr=0.0, **changes)
        config(tmp_path, stn_lr=0.0, epochs=0, **changes)
        config(tmp_path, **changes)


def test_cosine_decay() -> None:
    rates = [steps.learning_rate(2.0, epoch, 4) for epoch in range(1, 5)]
    assert rates == pytest.approx([1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0])
    assert steps.learning_rate(2.0, 1, 1) == 2.0


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1).mean()


def written_out_loss(model: trainee.Model, query: Tensor, rows: Tensor, prior: float) -> tuple[Tensor, Tensor]:
    """The registration loss of queries and their supports (one or two each, in turn), and the whole loss."""
    first, second = model.encoder.register(query), model.encoder.register(rows)
    support = second.x3 if len(rows) == len(query) else (second.x3[0::2] + second.x3[1::2]) / 2
    z1, z2 = model.head(first.x3), model.head(support)
    loss = -cosine(model.predictor(z1), z2.detach()) / 2 - cosine(model.predictor(z2), z1.detach()) / 2
    away = torch.zeros(())
    for level in range(3):
        both = torch.cat([first.thetas[level], second.thetas[level]])
        away = away + (both - torch.eye(2, 3)).square().sum() / len(both)
    return loss, loss + prior * away


REFERENCES: dict[str, dict[str, Any]] = {
    "released": {"lr": 1e-3, "stn_lr": 1e-3, "head_lr": 1e-3, "shot": 1},
    "three rates": {
        "lr": 1e-3, "stn_lr": 2e-3, "head_lr": 5e-3, "prior": 0.3, "freeze": "layer1", "freeze_bn": True,
        "augment": True, "decay": "step", "normalize": "imagenet", "weights": "given", "shot": 2,
    },
}  # fmt: skip
SIZES = {"released": {"a": 2, "b": 2, "c": 2}, "three rates": {"a": 5}}
"""Images by category, in three batches: of 2 queries each; of 2, 2 and 1."""


@pytest.mark.parametrize("name", REFERENCES)
def test_three_steps_equal_a_reference_written_out(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's losses and weights against forward, loss and SGD with momentum, step by step.

    With transforms away from the identity, which sits on a kink of the bilinear sampler: there the last bit of a sum
    decides between two gradients, and the processor between the last bits.
    """
    build = trainee.build_model

    def away_from_the_identity(run: TrainConfig) -> tuple[trainee.Model, Any]:
        model, weights = build(run)
        for stn in (model.encoder.stn1, model.encoder.stn2, model.encoder.stn3):
            bias = stn.fc[2].bias
            bias.data += torch.linspace(0.05, 0.15, len(bias))
        return model, weights

    for module in (loop, trainee):
        monkeypatch.setattr(module, "build_model", away_from_the_identity)
    sizes, options = SIZES[name], dict(REFERENCES[name])
    make_data(tmp_path / "data", sizes)
    if options.get("weights") == "given":
        options["weights"] = str(tmp_path / "backbone.pt")
        state = released("rotation_scale")["STN"]
        torch.save({n: v for n, v in state.items() if not n.startswith("stn")}, tmp_path / "backbone.pt")
    run = config(tmp_path, epochs=1, batch_size=2, **options)
    lines: list[float] = []
    loop.train(run, lambda p: lines.append(p.loss) if p.stage == "train" else None)
    trained = load_checkpoint(tmp_path / "out" / "model.pt")

    model, _ = trainee.build_model(run)
    model.train()
    if run.freeze_bn:
        for path, module in model.encoder.named_modules():
            if "stn" not in path:
                module.training = False
    initial = {n: value.clone() for n, value in model.state_dict().items()}
    images = {n: np.stack([preprocess(read_image(p), run.spec) for p in good_images(run.data, n)]) for n in sizes}
    velocity: dict[str, Tensor] = {}
    losses, counts = [], []
    for step, episode in enumerate(EpisodeSampler(sizes, 2, run.shot, run.seed).epoch(1)):
        stack = to_input(images[episode.category])
        query, rows = (stack[torch.from_numpy(index.ravel())] for index in (episode.queries, episode.supports))
        if run.augment:
            draws = augment.draw(np.random.default_rng([run.seed, 1, step]), len(query) + len(rows), 224)
            query, rows = augment.augment(torch.cat([query, rows]), draws).split([len(query), len(rows)])
        registration, loss = written_out_loss(model, query, rows, run.prior)
        losses.append(registration.item())
        counts.append(len(query))
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        decay = (1 + math.cos(math.pi * step / 3)) / 2 if run.decay == "step" else 1.0
        with torch.no_grad():
            for n, value in model.named_parameters():
                kept = n.startswith(("encoder.conv1", "encoder.bn1", "encoder.layer1"))
                if value.grad is None or (run.freeze == "layer1" and kept):
                    continue
                rate = run.head_lr if not n.startswith("encoder") else run.stn_lr if ".stn" in n else run.lr
                velocity[n] = 0.9 * velocity.get(n, torch.zeros_like(value)) + value.grad
                value -= rate * decay * velocity[n]
    assert sorted(counts) == [[2, 2, 2], [1, 2, 2]][run.shot - 1]
    means = np.cumsum(np.multiply(losses, counts)) / np.cumsum(counts)
    assert lines == pytest.approx(means.tolist(), abs=1e-5)
    parts = {"encoder": trained.stn, "head": trained.enc, "predictor": trained.pred}
    for n, want in model.state_dict().items():
        part, key = n.split(".", 1)
        moved, off = (want - initial[n]).float().norm(), (parts[part][key] - want).float().norm()
        assert off <= 0.01 * moved + 1e-6, n


def test_training_moves_all_three_parts_and_is_repeatable(small: Path) -> None:
    options: dict[str, Any] = {"normalize": "imagenet", "fit": "letterbox", "hold_out": ("b",), "shot": 1}
    reports: list[steps.Progress] = []
    path = loop.train(config(small, **options), reports.append)
    assert path == small / "out" / "model.pt"
    first = load_checkpoint(path)
    initial, _ = trainee.build_model(config(small))
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

    lines = [json.loads(line) for line in (small / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(-1 <= line["loss"] <= 1 and line["images_per_second"] > 0 for line in lines)
    assert [(p.stage, p.done, p.total) for p in reports] == [
        *(("load", n, 2) for n in (1, 2)),
        ("train", 1, 1),
        ("train", 1, 1),
    ]

    second = load_checkpoint(loop.train(config(small, **options, out=small / "again")))
    assert all(torch.equal(first.stn[name], second.stn[name]) for name in first.stn)


def test_no_epochs_writes_the_initial_model(folder: Path) -> None:
    got = load_checkpoint(loop.train(config(folder, epochs=0, stn_mode="affine")))
    model, _ = trainee.build_model(config(folder, stn_mode="affine"))
    assert all(torch.equal(got.stn[name], value) for name, value in model.encoder.state_dict().items())
    assert got.provenance["epoch"] == 0
    assert torch.equal(got.stn["stn2.fc.2.bias"], torch.tensor([1.0, 0, 0, 0, 1, 0]))
    assert (folder / "out" / "log.jsonl").read_text() == ""


def test_edge_is_the_backbone_with_its_features_normalised(folder: Path) -> None:
    options = {**recipe("edge"), "weights": "none", "normalize": "imagenet"}
    got = load_checkpoint(loop.train(config(folder, **options)))
    model, _ = trainee.build_model(config(folder))
    assert all(torch.equal(got.stn[name], value) for name, value in model.encoder.state_dict().items())
    assert got.normalization == FeatureNormalization((0.0, 0.5, 0.5), (1.0, 3.0, math.sqrt(10) * 4))
    assert got.provenance["normalization"] == got.normalization.to_json()


def test_a_normalization_changes_nothing_in_training(small: Path) -> None:
    root = {"feature_exponents": (0.0, 0.5, 0.5), "feature_gains": (1.0, 3.0, 4.0)}
    plain = load_checkpoint(loop.train(config(small, **SHORT)))
    scored = load_checkpoint(loop.train(config(small, **SHORT, out=small / "root", **root)))
    assert all(torch.equal(plain.stn[name], scored.stn[name]) for name in plain.stn)
    assert (plain.normalization, scored.normalization.exponents) == (PLAIN, (0.0, 0.5, 0.5))


def test_building_keeps_the_callers_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    trainee.build_model(config(tmp_path))
    assert torch.equal(torch.rand(1), want)


def test_a_loss_that_is_not_finite_stops_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan = trainee.Losses(torch.tensor(math.nan), torch.tensor(0.0))
    monkeypatch.setattr(steps.Trainer, "step", lambda *args: nan)
    with pytest.raises(RegadError, match=r"loss became nan in epoch 1, step 1 .*lower --lr"):
        loop.train(config(folder))
    assert not (folder / "out" / "model.pt").exists()


def test_an_output_folder_that_cannot_be_made(folder: Path) -> None:
    (folder / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl"):
        loop.train(config(folder, out=folder / "file" / "run"))


def test_amp_computes_in_bfloat16_and_keeps_float32_weights(small: Path) -> None:
    losses = []
    for amp in (False, True):
        got = load_checkpoint(loop.train(config(small, **SHORT, amp=amp, out=small / f"{amp}")))
        assert got.provenance["amp"] is amp
        assert {value.dtype for value in got.stn.values()} == {torch.float32, torch.int64}
        losses.append(got.provenance["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)


def test_a_gpu_without_bfloat16_is_no_place_for_amp(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    run = config(folder, amp=True)
    model, _ = trainee.build_model(run)
    optimizer = torch.optim.SGD(trainee.parameter_groups(model, run))
    with pytest.raises(DeviceError, match="--amp computes in bfloat16, which this GPU lacks"):
        steps.Trainer(run, Group(0, 1, torch.device("cuda")), model, optimizer, store=None)  # type: ignore[arg-type]


def test_parts_whose_rate_is_zero_stay_as_they_are(small: Path) -> None:
    """Weights and batch norm statistics; the frozen layers too."""
    run = config(small, **SHORT, stn_lr=0.0, freeze="layer1", weights=str(small / "backbone.pt"), freeze_bn=True)
    state = released("rotation_scale")["STN"]
    torch.save({n: v for n, v in state.items() if not n.startswith("stn")}, small / "backbone.pt")
    before = trainee.build_model(run)[0].encoder.state_dict()
    after = load_checkpoint(loop.train(run)).stn
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith(("layer2", "layer3")) for name in moved)
    assert not any("running" in name or "num_batches" in name for name in moved)
    assert all(torch.equal(state[name], after[name]) for name in state if name.startswith(("conv1", "bn1", "layer1")))
