"""The training run: what is trained on, what is written after each epoch, and where a stopped run goes on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regad.runtime.text import Say, unsaid

from ..data.episodes import training_images
from ..data.store import ImageStore
from ..model.checkpoint import Checkpoint, save_checkpoint
from ..model.gains import scale_levels
from ..model.weights import Weights
from .config import TrainConfig
from .distributed import Group, check_batch, check_equal, join
from .folder import MODEL, STATE
from .resume import RunState, fingerprint, load_run, restore, save_run
from .runlog import RunLog, open_tensorboard
from .selection import Split, hold_back
from .steps import Progress, Trainer
from .trainee import SiameseModel, build_model, parameter_groups

__all__ = ["train"]

OnProgress = Callable[[Progress], None]


def train(config: TrainConfig, report: OnProgress = lambda progress: None, say: Say = unsaid) -> Path:
    """Train, and return the checkpoint's path, ``out/model.pt``; ``out/log.jsonl`` gets one line an epoch;
    ``say`` receives what is odd about the data.

    A run that was stopped goes on after its last finished epoch and ends with the weights it would have had. The
    checkpoint is the last epoch's, or with ``select`` that of the lowest held-out loss; with 0 epochs it is the initial
    model. Raises InputError (data, weights, another run in ``out``), DeviceError, OutputError, or RegadError when the
    loss is not finite.
    """
    paths = training_images(config.data, config.hold_out, config.shot, say)
    split = hold_back(paths, config.select, config.shot, config.seed)
    with ExitStack() as stack:
        group = stack.enter_context(join(config.device))
        check_batch(config.batch_size, group)
        model, weights = build_model(config)
        facts = _provenance(config, list(paths), weights, group)
        if config.epochs:
            _run(config, split, model, facts, fingerprint(config, split, weights), group, report, say, stack)
        elif group.first:
            RunLog(config.out, [], None)
            save_checkpoint(config.out / MODEL, _snapshot(model, config, {**facts, "epoch": 0}))
    return config.out / MODEL


def _run(
    config: TrainConfig,
    split: Split,
    model: SiameseModel,
    facts: Mapping[str, Any],
    run: Mapping[str, Any],
    group: Group,
    report: OnProgress,
    say: Say,
    stack: ExitStack,
) -> None:
    """Train the epochs that are left; the first process writes."""
    optimizer = torch.optim.SGD(parameter_groups(model.to(group.device), config), momentum=config.momentum)
    saved = load_run(config.out / STATE, run)
    state = RunState() if saved is None else restore(saved, model, optimizer)
    group.wait()
    writer = stack.enter_context(open_tensorboard(config.out / "tensorboard", config.tensorboard and group.first))
    log = RunLog(config.out, state.history, writer) if group.first else None
    if state.epoch == config.epochs:
        return
    stores = _stores(config, split, group, report, say, stack)
    trainer = Trainer(config, group, model, optimizer, *stores)
    for epoch in range(state.epoch + 1, config.epochs + 1):
        line = trainer.epoch(epoch, report)
        check_equal(model, group)
        if log is not None:
            # The checkpoint comes before the state: a kill between the two repeats the epoch, with the same result.
            if _advance(state, epoch, line):
                reached = {**facts, "epoch": epoch, "loss": line["loss"]}
                save_checkpoint(config.out / MODEL, _snapshot(model, config, reached))
            save_run(config.out / STATE, state, model, optimizer, run)
            log.add(line)
    group.wait()


def _advance(state: RunState, epoch: int, line: dict[str, Any]) -> bool:
    """Note a finished epoch, and say whether its model is the one to keep."""
    state.epoch = epoch
    state.history.append(line)
    held_out = line.get("held_out_loss")
    if held_out is None:
        return True
    if state.best is not None and held_out >= state.best["loss"]:
        return False
    state.best = {"epoch": epoch, "loss": held_out}
    return True


def _stores(
    config: TrainConfig, split: Split, group: Group, report: OnProgress, say: Say, stack: ExitStack
) -> list[ImageStore]:
    """Decode the images to train on and, with a selection, those to select by; the first process makes the files."""
    parts = {name: paths for name, paths in split._asdict().items() if paths}
    stores = [ImageStore(paths, config.spec, config.cache_mb, config.workers, say) for paths in parts.values()]
    total, done = sum(store.kept for store in stores), 0
    for name, store in zip(parts, stores, strict=True):
        stack.callback(store.close)

        def count(loaded: int, before: int = done) -> None:
            report(Progress("load", before + loaded, total))

        file = config.out / f"{name}.images" if config.cache == "disk" else None
        if file is not None and not group.first:
            group.wait()
        store.fill(file, count)
        if file is not None and group.first:
            group.wait()
        done += store.kept
    return stores


def _snapshot(model: SiameseModel, config: TrainConfig, provenance: Mapping[str, Any]) -> Checkpoint:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    encoder, head = scale_levels(model.encoder.state_dict(), model.head.state_dict(), config.level_gains)
    return Checkpoint(
        stn=encoder,
        enc=head,
        pred=model.predictor.state_dict(),
        stn_mode=config.stn_mode,
        spec=config.spec,
        normalization=config.normalization,
        provenance={**provenance, "created": now},
    )


_RECORDED = (
    "normalize", "shot", "epochs", "batch_size", "lr", "stn_lr", "head_lr", "momentum", "decay", "prior", "freeze",
    "freeze_bn", "augment", "select", "seed", "amp",
)  # fmt: skip
"""Settings that a checkpoint tells of."""


def _provenance(config: TrainConfig, categories: list[str], weights: Weights, group: Group) -> dict[str, Any]:
    settings = asdict(config)
    return {
        "categories": categories,
        "hold_out": list(config.hold_out),
        "weights": weights._asdict(),
        **{name: settings[name] for name in _RECORDED},
        "level_gains": list(config.level_gains),
        "normalization": config.normalization.to_json(),
        "processes": group.world,
        "software": {
            "regad": version("regad"),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
