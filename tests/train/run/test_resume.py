from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regad.runtime.errors import InputError
from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import loop
from regad.train.run.command import command
from regad.train.run.config import TrainConfig, recipe
from regad.train.run.steps import Trainer

from ..helpers import make_data

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""Sums of other numbers of threads differ in their last bits; the tests of this folder compute with one."""


IMAGES = {"a": 2}
SHORT: dict[str, Any] = {"epochs": 1, "hold_out": ("b",)}


def config(tmp_path: Path, out: str, **changes: Any) -> TrainConfig:
    """Epochs of two steps, a query and its support each."""
    values = {"weights": "none", "shot": 1, "epochs": 3, "batch_size": 1, "device": "cpu", "augment": True}
    return TrainConfig(tmp_path / "data", tmp_path / out, **{**recipe("released"), **values, **changes})


def options(run: TrainConfig) -> list[str]:
    """The same run's options on a command line."""
    words = ["--recipe", "released", "--augment", "--device", "cpu"]
    for name in ("data", "out", "weights", "shot", "epochs", "batch_size", "seed"):
        words += [f"--{name.replace('_', '-')}", str(getattr(run, name))]
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_data(tmp_path / "data", IMAGES)
    return tmp_path


STOPS: dict[str, Any] = {"save_checkpoint": loop, "save_run": loop, "add": loop.RunLog}
"""What writes the three files of an epoch, in their order, and where it is called."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped, on the images of ``folder``.

    Beside it lies what a run holds that is stopped in epoch 2, just before one of `STOPS`.
    """
    place = tmp_path_factory.mktemp("whole")
    make_data(place / "data", IMAGES)

    def keeping(name: str, original: Callable[..., object]) -> Callable[..., object]:
        calls: list[object] = []

        def kept_before(*args: Any) -> object:
            calls.append(args)
            if len(calls) == 2:
                shutil.copytree(place / "out", place / name)
            return original(*args)

        return kept_before

    with pytest.MonkeyPatch.context() as patch:
        for name, owner in STOPS.items():
            patch.setattr(owner, name, keeping(name, getattr(owner, name)))
        return loop.train(config(place, "out")).parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch without b, in ``out`` beside its ``data``; not to be changed."""
    place = tmp_path_factory.mktemp("finished")
    make_data(place / "data", {**IMAGES, "b": 2})
    loop.train(config(place, "out", **SHORT))
    return place


def assert_same(first: Path, second: Path) -> None:
    """The two runs' weights are equal bit for bit, and so are their logs but for the times."""
    one, two = load_checkpoint(first / "model.pt"), load_checkpoint(second / "model.pt")
    for have, want in ((one.stn, two.stn), (one.enc, two.enc), (one.pred, two.pred)):
        assert all(torch.equal(have[name], want[name]) for name in want)
    assert one.provenance["epoch"] == two.provenance["epoch"]
    assert losses(first) == losses(second)


def losses(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["loss"]) for line in lines]


def test_a_killed_run_goes_on_and_ends_the_same(folder: Path, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Kill -9 in the second epoch, while it trains or writes; the same command ends with the same bits."""
    killed = config(folder, "killed")
    program = [sys.executable, "-m", "regad.train.cli", *options(killed)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=ONE_THREAD) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 2/3"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    # The kill may have come before the end of the second epoch's files; nothing is half-written all the same.
    left = {path.name for path in killed.out.iterdir()}
    assert {"state.pt", "model.pt", "log.jsonl"} <= left
    done = torch.load(killed.out / "state.pt", weights_only=True)["state"]["epoch"]
    assert done in (1, 2)
    command.main(options(killed), standalone_mode=False)
    said = capfd.readouterr().err
    assert f"epoch {done + 1}/3" in said
    assert f"epoch {done}/3" not in said
    assert_same(killed.out, whole)


@pytest.mark.parametrize("stop", STOPS)
def test_every_place_to_stop_is_a_place_to_go_on(folder: Path, whole: Path, stop: str) -> None:
    shutil.copytree(whole.parent / stop, folder / "stopped")
    with (folder / "stopped" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')  # a line that was cut short
    loop.train(config(folder, "stopped"))
    assert_same(folder / "stopped", whole)


def test_an_interrupt_ends_the_run_and_leaves_the_last_epoch(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = folder / "stopped"
    shutil.copytree(whole.parent / "save_checkpoint", stopped)
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.train(config(folder, "stopped"))
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
    assert losses(stopped) == losses(whole)[:1]


def test_a_finished_run_is_left_alone(finished: Path) -> None:
    path = finished / "out" / "model.pt"
    before = path.read_bytes()
    told: list[object] = []
    assert loop.train(config(finished, "out", **SHORT, cache="disk", workers=0), told.append) == path
    assert path.read_bytes() == before
    assert told == []
    assert len((finished / "out" / "log.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 0.5}, r"holds a run with lr 0\.0001, not 0\.5: choose another --out, or delete .*state\.pt"),
        ({"seed": 7}, "holds a run with seed 0, not 7"),
        ({"hold_out": ()}, r"holds a run with hold_out \['b'\], not \[\]"),
    ],
)
def test_another_run_is_not_overwritten(finished: Path, changes: dict[str, Any], said: str) -> None:
    before = (finished / "out" / "model.pt").read_bytes()
    with pytest.raises(InputError, match=said) as caught:
        loop.train(config(finished, "out", **{**SHORT, **changes}))
    assert "\n" not in str(caught.value)
    assert (finished / "out" / "model.pt").read_bytes() == before


def test_other_images_and_damaged_states_are_refused(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    make_data(folder / "data", {"a": 3})
    with pytest.raises(InputError, match="holds a run with other images"):
        loop.train(config(folder, "out", **SHORT))
    state = folder / "out" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"state\.pt is damaged; choose another --out, or delete"):
        loop.train(config(folder, "out", **SHORT))
    torch.save({"format": "regad-run", "version": 99}, state)
    with pytest.raises(InputError, match="not the state of a run of this version"):
        loop.train(config(folder, "out", **SHORT))
    state.unlink()
    loop.train(config(folder, "out", **SHORT))
