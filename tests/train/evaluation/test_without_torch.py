"""``regad-eval --model`` on a machine without PyTorch: it judges an artifact, and says what a checkpoint needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ..helpers import draw, make_data

_EVALUATE = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
from regad.train.entry import evaluate_main
evaluate_main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_data(tmp_path_factory.mktemp("data"), {"a": 2})
    for name, seed in (("good", 7), ("dent", 8)):
        draw(root / "a" / "test" / name / "0.png", seed)
    (root / "a" / "ground_truth" / "dent").mkdir(parents=True)
    Image.new("L", (48, 40), 255).save(root / "a" / "ground_truth" / "dent" / "0_mask.png")
    return root


def evaluate(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _EVALUATE, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_artifact_is_judged(artifact_dir: Path, data: Path, tmp_path: Path) -> None:
    done = evaluate("--model", artifact_dir, "--data", data, "--shot", 2, "--json", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert (result["category"], result["good"], result["defective"], len(result["scores"])) == ("a", 1, 1, 2)


@pytest.mark.parametrize("model", ["--ckpt", "--train-each"])
def test_a_checkpoint_needs_it_and_says_so(model: str, data: Path, tmp_path: Path) -> None:
    done = evaluate(model, tmp_path / "model.pt", "--data", data, "--shot", 2)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == ("error: regad-eval needs torch; install it: pip install 'regad[train,cpu]'")
