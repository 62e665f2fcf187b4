from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.backends.base import Inference
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.category import SupportImage
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import InputSpec
from regad.runtime.formats.threshold import Threshold
from regad.runtime.model import Model
from regad.train.data.masks import read_mask
from regad.train.evaluation import command as eval_cli
from regad.train.evaluation import evaluate
from regad.train.evaluation.prior import without_own
from regad.train.evaluation.results import read_draws, read_results
from regad.train.evaluation.rounds import plan, run_rounds

from ..helpers import draw, make_data, released, run_program

LIMIT = 0.5


class FakeBackend:
    """Calls every pixel as anomalous as it is bright, and an image as its brightest pixel."""

    name, device = "fake", "cpu"

    def prepare(self, statistics: Any, scoring: object = None, calibration: object = None) -> Any:
        return statistics

    def working(self) -> AbstractContextManager[None]:
        return nullcontext()

    def infer(self, images: NDArray[np.uint8], statistics: Any) -> Inference:
        heat = images[:, :, :, 0].astype(np.float32) / 255
        return Inference(heat, heat.max(axis=(1, 2)), np.zeros((len(images), 3, 2, 3), np.float32), 2.0, 3.0)

    def close(self) -> None: ...


def detector() -> Detector:
    artifact: Any = SimpleNamespace(hash="abc", spec=InputSpec(), scoring=Scoring())
    made = Detector(Model(artifact, FakeBackend()))  # type: ignore[arg-type]
    made.use = lambda category: None  # type: ignore[method-assign]
    return made


def fake_teach(model: Any, images: Any, spec: Any, *, files: Any, without: Any, registration: str) -> Any:
    return SimpleNamespace(
        threshold=Threshold(LIMIT, "leave-one-out", 0.01, (0.2, 0.3)),
        support=files,
        statistics=None,
        scoring=None,
        calibration=None,
        registration=None,
    )


def paint(path: Path, value: int, bright: int = 0) -> None:
    """Write a 224 x 224 picture of ``value`` whose first ``bright`` rows are white."""
    image = np.full((224, 224), value, np.uint8)
    image[:bright] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Category a: 2 good (one above the limit), 2 defective with masks, 1 defective without, below the limit."""
    root = make_data(tmp_path / "data", {"a": 4, "b": 2})
    test, truth = root / "a" / "test", root / "a" / "ground_truth"
    paint(test / "good" / "0.png", 100)
    paint(test / "good" / "1.png", 200)
    for name in ("0", "1"):
        paint(test / "dent" / f"{name}.png", 10, bright=50)
        paint(truth / "dent" / f"{name}_mask.png", 0, bright=100)
    paint(test / "stain" / "0.png", 120)
    monkeypatch.setattr(evaluate, "teach", fake_teach)
    return root


def trial(root: Path, **options: Any) -> evaluate.Trial:
    tests = evaluate.load_test(root, "a", InputSpec())
    return evaluate.evaluate(detector(), tests, evaluate.draw(root, "a", 2, 7), **options)


def test_measures(root: Path) -> None:
    counts: list[tuple[int, int]] = []
    got = trial(root, progress=lambda *c: counts.append(c)).evaluation
    assert [one.name for one in got.support] == ["a/train/good/000.png", "a/train/good/002.png"]
    assert all(len(one.sha256) == 64 for one in got.support)
    assert (got.good, got.defective, got.masked) == (2, 3, 2)
    # scores: good 100 and 200; defective 255, 255, 120: 5 of 6 pairs in the right order
    assert got.image_auroc == pytest.approx(5 / 6)
    assert got.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert got.f1_max == pytest.approx(6 / 7)
    assert got.false_alarm_at_full_recall == pytest.approx(1 / 2)
    assert (got.false_reject, got.escape) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    # defect pixels: half white, half 10; good pixels: 100, 200, and 10 below the masks (124 rows of two images)
    below = 2 * 124 / (2 * 224 + 2 * 124)
    assert got.pixel_auroc == pytest.approx(0.5 + 0.5 * below / 2)
    # half of each region is found at no cost; the other half needs the pixels of value 10: a rate of 1
    assert got.aupro == pytest.approx(0.5, abs=1e-6)
    assert got.scores == pytest.approx([1, 1, 100 / 255, 200 / 255, 120 / 255])
    assert got.ms > 5
    assert counts == [(n, 5) for n in range(1, 6)]


def test_without_masks_there_is_no_pixel_measure(root: Path) -> None:
    for mask in (root / "a" / "ground_truth" / "dent").iterdir():
        mask.unlink()
    got = trial(root).evaluation
    assert (got.masked, got.pixel_auroc, got.aupro) == (0, None, None)
    assert got.image_auroc is not None


def test_masks_take_the_geometry_of_the_image(tmp_path: Path) -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[:, 100:] = 1
    Image.fromarray(mask).save(tmp_path / "m.png")
    got = read_mask(tmp_path / "m.png", (100, 200, 3), InputSpec())
    assert got.shape == (224, 224)
    assert not got[:, :112].any()
    assert got[:, 112:].all()
    assert read_mask(tmp_path / "m.png", (100, 200, 3), InputSpec(fit="letterbox")).sum() == 112 * 112


def test_a_mask_of_another_size_is_named(root: Path) -> None:
    draw(root / "a" / "ground_truth" / "dent" / "1_mask.png", 0)
    with pytest.raises(InputError, match=r"1_mask\.png is 48x40 pixels; its image is 224x224"):
        evaluate.load_test(root, "a", InputSpec())


def test_an_unknown_category_names_the_known(root: Path) -> None:
    with pytest.raises(InputError, match=r"category 'c' is not in .*; it holds a, b"):
        plan(root, ["c"], [2], 1, 0)


def test_a_support_image_that_changed_is_named(root: Path) -> None:
    tests, drawn = evaluate.load_test(root, "a", InputSpec()), evaluate.draw(root, "a", 2, 7)
    again = evaluate.Draw("a", 2, 7, (SupportImage(drawn.support[0].name, "0" * 64), drawn.support[1]))
    with pytest.raises(InputError, match=r"000\.png is not the image of the recorded run"):
        evaluate.evaluate(detector(), tests, again)


def test_rounds_come_by_shot_and_seed(root: Path) -> None:
    draws = plan(root, ["a"], [2, 3], 2, 5)
    assert [(d.shot, d.seed) for d in draws] == [(2, 5), (3, 5), (2, 6), (3, 6)]
    seen: list[tuple[int, ...]] = []
    results, items = run_rounds(detector(), root, draws, look=lambda trial: seen.append(trial.maps.shape))
    assert [(r.shot, r.seed) for r in results] == [(2, 5), (2, 6), (3, 5), (3, 6)]
    assert [len(r.support) for r in results] == [2, 2, 3, 3]
    assert seen == [(5, 224, 224)] * 4
    assert [item.defect for item in items["a"]] == ["dent", "dent", "good", "good", "stain"]


def test_a_category_without_test_images_is_named_before_another_is_taught(root: Path) -> None:
    seen: list[object] = []
    with pytest.raises(InputError, match=r"b/test does not exist"):
        run_rounds(detector(), root, plan(root, [], [2], 1, 0), look=seen.append)
    assert seen == []


run = partial(run_program, eval_cli.main)


def test_the_command_and_its_repetition(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eval_cli, "remembering", lambda opened: opened)
    monkeypatch.setattr(Detector, "load", lambda model, **opening: detector())
    out = root.parent / "result.json"
    args = ["--model", "m", "--data", str(root), "--category", "a"]
    assert run(monkeypatch, *args, "--shot", "2,3", "--rounds", "2", "--seed", "5", "--json", str(out)) == 0
    lines = capfd.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith("a "))
    assert row[:5] == ["a", "2", "2/3", "83.3", "±0.0"]
    content = json.loads(out.read_text())
    assert (content["format"], content["version"], len(content["results"])) == ("regad-evaluation", 2, 4)
    assert content["model"] == {"kind": "artifact", "name": "m", "hash": "abc", "device": "cpu (fake)"}
    assert content["test_images"]["a"][0] == {"file": "a/test/dent/0.png", "label": 1}
    assert content["summary"][0]["values"]["escape"] == [pytest.approx(1 / 3), 0.0]
    assert [d.seed for d in read_draws(out)] == [5, 6, 5, 6]

    again = root.parent / "again.json"
    assert run(monkeypatch, *args, "--support-from", str(out), "--json", str(again)) == 0
    first, second = content["results"], json.loads(again.read_text())["results"]
    assert [(r["support"], r["scores"]) for r in first] == [(r["support"], r["scores"]) for r in second]


def test_the_command_learns_a_prior_and_judges_each_category_by_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eval_cli, "remembering", lambda opened: opened)
    monkeypatch.setattr(Detector, "load", lambda model, **opening: detector())
    monkeypatch.setattr(evaluate, "teach", fake_teach)
    root, prior, out = tmp_path / "data", tmp_path / "prior.json", tmp_path / "out.json"
    make_data(root, dict.fromkeys("abcd", 4))
    for name in "abcd":
        for index, value in enumerate((50, 60, 70)):
            draw(root / name / "test" / "good" / f"{index}.png", value)
        draw(root / name / "test" / "dent" / "0.png", 200)
    args = ["--model", "m", "--data", str(root), "--shot", "2", "--learn-prior", str(prior), "--json", str(out)]
    assert run(monkeypatch, *args, "--category", "a", "--category", "b") == 1
    assert "2 categories" in capfd.readouterr().err
    assert not prior.exists()
    assert run(monkeypatch, *args) == 0
    assert sorted(json.loads(prior.read_text())["shots"]) == ["2"]
    results = read_results(out)
    labels = {name: [one["label"] == 1 for one in json.loads(out.read_text())["test_images"][name]] for name in "abcd"}
    assert [one.threshold for one in results] == [one.threshold for one in without_own(results, labels)]


def test_a_checkpoint_is_judged_in_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = make_data(tmp_path / "data", {"a": 3})
    draw(root / "a" / "test" / "good" / "0.png", 50)
    draw(root / "a" / "test" / "dent" / "0.png", 51)
    torch.save(released("rotation_scale"), tmp_path / "model.pt")
    out = tmp_path / "out.json"
    args = ["--ckpt", str(tmp_path / "model.pt"), "--data", str(root), "--shot", "2", "--json", str(out)]
    assert run(monkeypatch, *args) == 0
    content = json.loads(out.read_text())
    assert content["model"]["kind"] == "checkpoint"
    assert content["results"][0]["image_auroc"] in (0.0, 1.0)
    assert "100.0" in capfd.readouterr().out


@pytest.mark.parametrize("shots", ["x", "1", "", "2,"])
def test_wrong_shots_are_wrong_usage(
    shots: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", "m", "--data", str(root), "--shot", shots) == 2
    assert "expected numbers of 2 or more" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "give one of --model ARTIFACT, --ckpt FILE and --train-each FOLDER"),
        (["--model", "m", "--ckpt", "c"], "give one of --model ARTIFACT, --ckpt FILE and --train-each FOLDER"),
        (["--model", "m", "--ablate", "stn"], "an artifact's graph is fixed"),
        (["--train-each", "f", "--ablate", "stn"], "--ablate needs one model"),
        (["--ckpt", "c", "--train-args", "--epochs 1"], "--train-args is for --train-each"),
        (["--model", "m", "--support-from", "r.json", "--shot", "2"], "brings its own shots"),
        (["--model", "m", "--learn-prior", "p.json", "--register", "on"], "parts that are not registered"),
        (["--ckpt", "c", "--ray", "auto"], "--ray takes --model only"),
        (["--ckpt", "c", "--precision", "bf16"], "a checkpoint computes in float32"),
        (["--train-each", "f", "--force"], "a checkpoint computes in float32"),
        (["--model", "m", "--ray", "auto", "--html", "r.html"], "--ray takes --model only"),
    ],
)
def test_wrong_usage(
    args: list[str], said: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--data", str(root), *args) == 2
    assert said in capfd.readouterr().err


def test_a_support_image_whose_name_could_not_be_stored_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is stored of it leads to no file."""
    monkeypatch.setattr(eval_cli, "remembering", lambda opened: opened)
    monkeypatch.setattr(Detector, "load", lambda model, **opening: detector())
    for path in (root / "a" / "train" / "good").iterdir():
        path.rename(path.with_name(os.fsdecode(b"pr\xfcf") + path.name))
    out = root.parent / "result.json"
    args = ["--model", "m", "--data", str(root), "--category", "a"]
    assert run(monkeypatch, *args, "--shot", "2", "--json", str(out)) == 0
    capfd.readouterr()
    assert run(monkeypatch, *args, "--support-from", str(out)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {out} has the support image a/train/good/pr\ufffdf00")
    assert line.endswith("rename the file in the data set and evaluate again")


def test_a_model_that_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", str(root / "absent"), "--data", str(root), "--category", "a", "--shot", "2") == 1
    assert capfd.readouterr().err.startswith("error: ")
