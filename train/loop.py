"""The training loop: RegAD's recipe, plain (Huang et al., ECCV 2022)."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regad.runtime.errors import DeviceError, OutputError, RegadError

from .checkpoint import Checkpoint, save_checkpoint
from .config import TrainConfig
from .data import Episode, EpisodeSampler, load_images, to_input, training_images
from .heads import Encoder, Predictor
from .loss import registration_loss
from .model import RegistrationEncoder
from .weights import Weights, load_weights

__all__ = ["Model", "Progress", "build_model", "episode_loss", "learning_rate", "train"]

Images = Mapping[str, NDArray[np.uint8]]


class Progress(NamedTuple):
    """What the loop reports: ``stage`` load (images) or train (steps), ``done`` of ``total`` within it.

    ``epoch`` counts from 1, ``loss`` is the epoch's mean so far, ``rate`` images a second (queries and supports).
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    loss: float = math.nan
    rate: float = 0.0


class Model(nn.Module):
    """The three parts that are trained together."""

    def __init__(self, encoder: RegistrationEncoder, head: Encoder, predictor: Predictor) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.predictor = predictor


def build_model(config: TrainConfig) -> tuple[Model, Weights]:
    """Return a fresh model by the config's seed, with its backbone weights, and where these came from.

    Raises InputError when the weights cannot be had or do not fit. The caller's random state is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = RegistrationEncoder(config.stn_mode, config.spec.mean, config.spec.std)
        model = Model(encoder, Encoder(), Predictor())
    return model, load_weights(encoder, config.weights)


def learning_rate(base: float, epoch: int, epochs: int) -> float:
    """Return the rate of ``epoch`` (from 1): ``base`` * (1 + cos(pi * epoch / epochs)) / 2, as released.

    The last epoch's rate is 0, so it moves batch norm's averages only; a single epoch keeps ``base``.
    """
    return base if epochs == 1 else base * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def episode_loss(model: Model, queries: Tensor, supports: Tensor) -> Tensor:
    """Return the registration loss of queries [b, 3, 224, 224] against their supports [b, k, 3, 224, 224].

    The supports' registered features are averaged before the head.
    """
    batch, shot = supports.shape[:2]
    query = model.encoder.register(queries).x3
    support = model.encoder.register(supports.flatten(0, 1)).x3
    support = support.reshape(batch, shot, *support.shape[1:]).mean(1)
    z1, z2 = model.head(query), model.head(support)
    return registration_loss(model.predictor(z1), z1, model.predictor(z2), z2)


def train(config: TrainConfig, report: Callable[[Progress], None] = lambda progress: None) -> Path:
    """Train, and return the checkpoint's path, ``out/model.pt``; ``out/log.jsonl`` gets one line an epoch.

    The checkpoint is replaced after every epoch, so it is the last one finished; with 0 epochs it is the initial
    model. Raises InputError (data, weights), DeviceError, OutputError, or RegadError when the loss is not finite.
    """
    device = _device(config.device)
    paths = training_images(config.data, config.hold_out, config.shot)
    model, weights = build_model(config)
    path = config.out / "model.pt"
    facts = _provenance(config, list(paths), weights)
    with _open_log(config.out / "log.jsonl") as log:
        if config.epochs == 0:
            save_checkpoint(path, _snapshot(model, config, {**facts, "epoch": 0}))
            return path
        images = _load(paths, config, report)
        sampler = EpisodeSampler(
            {name: len(stack) for name, stack in images.items()}, config.batch_size, config.shot, config.seed
        )
        model.to(device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)
        for epoch in range(1, config.epochs + 1):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config.lr, epoch, config.epochs)
            line = _run_epoch(model, optimizer, sampler, images, epoch, report)
            save_checkpoint(path, _snapshot(model, config, {**facts, "epoch": epoch, "loss": line["loss"]}))
            log({"epoch": epoch, "lr": optimizer.param_groups[0]["lr"], **line})
    return path


def _run_epoch(
    model: Model,
    optimizer: torch.optim.Optimizer,
    sampler: EpisodeSampler,
    images: Images,
    epoch: int,
    report: Callable[[Progress], None],
) -> dict[str, float]:
    """Train one epoch; returns its mean loss (over queries), seconds and images a second."""
    started = time.perf_counter()
    total, queries, seen = 0.0, 0, 0
    for step, episode in enumerate(sampler.epoch(epoch), 1):
        loss = _step(model, optimizer, images[episode.category], episode)
        if not math.isfinite(loss):
            raise RegadError(
                f"the loss became {loss} in epoch {epoch}, step {step} ({episode.category}); "
                "the last finished epoch is kept: try a lower --lr"
            )
        total, queries = total + loss * len(episode.queries), queries + len(episode.queries)
        seen += len(episode.queries) + episode.supports.size
        rate = seen / (time.perf_counter() - started)
        report(Progress("train", step, len(sampler), epoch, total / queries, rate))
    seconds = time.perf_counter() - started
    return {"loss": total / queries, "seconds": seconds, "images_per_second": seen / seconds}


def _step(model: Model, optimizer: torch.optim.Optimizer, images: NDArray[np.uint8], episode: Episode) -> float:
    device = model.encoder.mean.device
    queries = to_input(images[episode.queries])
    supports = to_input(images[episode.supports.ravel()]).reshape(*episode.supports.shape, *queries.shape[1:])
    loss = episode_loss(model, queries.to(device), supports.to(device))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def _load(
    paths: Mapping[str, list[Path]], config: TrainConfig, report: Callable[[Progress], None]
) -> dict[str, NDArray[np.uint8]]:
    """Decode everything once: 147 KiB an image."""
    total, done = sum(len(files) for files in paths.values()), 0
    images = {}
    for name, files in paths.items():

        def count(loaded: int, before: int = done) -> None:
            report(Progress("load", before + loaded, total))

        images[name] = load_images(files, config.spec, count)
        done += len(files)
    return images


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: torch finds no CUDA device; use --device cpu or install torch with CUDA")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _snapshot(model: Model, config: TrainConfig, provenance: Mapping[str, Any]) -> Checkpoint:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Checkpoint(
        stn=model.encoder.state_dict(),
        enc=model.head.state_dict(),
        pred=model.predictor.state_dict(),
        stn_mode=config.stn_mode,
        spec=config.spec,
        provenance={**provenance, "created": now},
    )


def _provenance(config: TrainConfig, categories: list[str], weights: Weights) -> dict[str, Any]:
    return {
        "categories": categories,
        "hold_out": list(config.hold_out),
        "weights": weights._asdict(),
        "normalize": config.normalize,
        "shot": config.shot,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "momentum": config.momentum,
        "seed": config.seed,
        "software": {
            "regad": version("regad"),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


@contextmanager
def _open_log(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that appends one line and flushes it. Raises OutputError."""
    with ExitStack() as stack:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("w", encoding="utf-8"))

        def write(line: dict[str, Any]) -> None:
            with _writing(path):
                file.write(json.dumps(line) + "\n")
                file.flush()

        yield write


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error
