"""regad-bench --pick: what it measures, what it leaves out and says so, and what it chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from regad.runtime.commands import bench, pick
from regad.runtime.commands.console import run_cli
from regad.runtime.commands.pick import Candidate, Measured, Subject, drawn_subject, measure, picks
from regad.runtime.errors import DeviceError, InputError

PLAIN = Candidate(Path("a.regad"), "fp32", "cpu", "f32")
BF16 = replace(PLAIN, device="openvino", precision="bf16")
INT8 = replace(PLAIN, model=Path("b.regad"), dtype="int8")
SUBJECT = Subject("3 images", [np.zeros((4, 4, 3), np.uint8)] * 2, [np.zeros((4, 4, 3), np.uint8)] * 3, np.zeros(1))


class Fake:
    """A detector whose verdicts are given, and which fails where it is told to."""

    def __init__(self, scores: Sequence[float], error: Exception | None = None) -> None:
        self.scores, self.error, self.closed = list(scores), error, False
        self._next = 0

    def fit(self, images: Sequence[Any]) -> None:
        assert len(images) == 2

    def predict(self, image: Any) -> Any:
        if self.error is not None:
            raise self.error
        score = self.scores[self._next % len(self.scores)]
        self._next += 1
        return SimpleNamespace(score=score, anomalous=score > 1)

    def close(self) -> None:
        self.closed = True


Load = Callable[[dict[str, Fake]], None]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Put detectors in place of the candidates' own, by device and precision; one that is missing cannot be opened."""

    def put(fakes: dict[str, Fake]) -> None:
        def loaded(path: Path, device: str, threads: int | None, precision: str) -> Fake:
            if f"{device} {precision}" not in fakes:
                raise DeviceError(f"there is no {device}", remedy="plug it in")
            return fakes[f"{device} {precision}"]

        monkeypatch.setattr(pick.Detector, "load", loaded)
        monkeypatch.setattr(pick.Artifact, "open", lambda path, verify: SimpleNamespace(dtype="fp32"))

    return put


def test_verdicts_and_scores_are_compared_with_the_plain_cpu(load: Load) -> None:
    fakes = {"cpu f32": Fake([0.5, 1.5, np.inf]), "openvino bf16": Fake([0.55, 0.75, np.inf])}
    load(fakes)
    said: list[str] = []
    first, other = measure([Path("a.regad")], SUBJECT, 3, left_out=said.append)
    assert first.candidate == PLAIN
    assert (first.equal, first.score_change) == (3, 0.0)
    assert (other.candidate, other.equal, other.images) == (BF16, 2, 3)
    assert other.score_change == pytest.approx(0.5)
    assert min(first.ms, other.ms) > 0
    assert "--device openvino --model a.regad (fp32): there is no openvino" in said
    assert all(fake.closed for fake in fakes.values())


def test_a_device_that_fails_at_work_is_left_out_and_said(load: Load) -> None:
    load({"cpu f32": Fake([1.0]), "openvino f32": Fake([1.0], DeviceError("it broke"))})
    said: list[str] = []
    assert len(measure([Path("a.regad")], SUBJECT, 3, left_out=said.append)) == 1
    assert "--device openvino --model a.regad (fp32): it broke" in said


def test_without_the_plain_cpu_nothing_can_be_compared(load: Load) -> None:
    load({"openvino f32": Fake([1.0])})
    with pytest.raises(DeviceError, match="there is no cpu; plug it in"):
        measure([Path("a.regad")], SUBJECT, 3)


def chosen(*measured: Measured, least: float = 0.99) -> list[Candidate]:
    found = picks(measured, least)
    return [found["exact"].candidate, found["fastest"].candidate]


def test_exact_is_the_same_artifact_in_float32_and_fastest_may_cost_verdicts() -> None:
    first = Measured(PLAIN, 20, 100, 100, 0)
    vino = Measured(replace(PLAIN, device="openvino"), 18, 100, 100, 1e-6)
    bf16, int8 = Measured(BF16, 12, 99, 100, 0.02), Measured(INT8, 10, 98, 100, 0.1)
    assert chosen(first, vino, bf16, int8) == [vino.candidate, BF16]
    assert chosen(first, vino, bf16, int8, least=0.98) == [vino.candidate, INT8]
    assert chosen(first, vino, bf16, int8, least=1.0) == [vino.candidate, vino.candidate]


def test_a_gain_within_the_noise_is_no_reason_to_leave_the_cpu() -> None:
    first, vino = Measured(PLAIN, 20, 9, 9, 0), Measured(replace(PLAIN, device="openvino"), 19.8, 9, 9, 0)
    assert chosen(first, vino) == [PLAIN, PLAIN]


def test_drawn_parts_are_the_same_part_with_stronger_and_stronger_defects() -> None:
    subject = drawn_subject(6)
    assert [len(subject.support), len(subject.images)] == [4, 6]
    assert subject.frame.shape == (1080, 1920, 3)
    one, two = (image.astype(float) for image in subject.support[:2])
    assert 0 < np.abs(one - two).mean() < 20
    assert [image.tobytes() for image in drawn_subject(6).images] == [image.tobytes() for image in subject.images]


def photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (30, 20), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def test_photos_are_taught_and_judged(tmp_path: Path) -> None:
    subject = pick.photo_subject(photos(tmp_path / "good", 3), photos(tmp_path / "any", 5))
    assert [len(subject.support), len(subject.images), subject.frame.shape] == [3, 5, (20, 30, 3)]
    with pytest.raises(InputError, match="one has 1 image; --pick teaches from 2 or more"):
        pick.photo_subject(photos(tmp_path / "one", 1), tmp_path / "any")


def test_the_command_says_what_to_use_and_writes_it(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load({"cpu f32": Fake([0.5, 1.5, 1.5])})
    monkeypatch.setattr(bench, "drawn_subject", lambda: SUBJECT)
    monkeypatch.setattr(bench, "find_model", lambda path: Path(path))
    target = tmp_path / "pick.json"
    with pytest.raises(SystemExit) as stop:
        run_cli(bench.command, ["--pick", "--model", "a.regad", "--runs", "3", "--json", str(target)])
    said = capsys.readouterr()
    assert stop.value.code == 0
    assert "exact     --device cpu --model a.regad (fp32): 1.00 of the time, 0 of 3 verdicts differ" in said.out
    assert "auto      takes cpu, and never trades verdicts for speed" in said.out
    assert "left out --device openvino --precision bf16 --model a.regad (fp32): there is no openvino" in said.err
    data = json.loads(target.read_text())["pick"]
    assert data["exact"] == data["fastest"] == data["measured"][0]
    assert [data["exact"][name] for name in ("model", "device", "precision", "agreement")] == [
        "a.regad",
        "cpu",
        "f32",
        1.0,
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--also", "b.regad"], "--also has no effect without --pick"),
        (["--images", "b"], "--images has no effect without --pick"),
        (["--pick", "--images", "b"], "--support and --images go together"),
    ],
)
def test_usage(words: list[str], said: str, tmp_path: Path) -> None:
    model = tmp_path / "model.regad"
    model.mkdir()
    done = CliRunner().invoke(bench.command, ["--model", str(model), *words])
    assert done.exit_code == 2
    assert said in done.output
