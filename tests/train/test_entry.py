"""Without the packages of the train extra the commands say what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "{absent}":
            raise ModuleNotFoundError("No module named '{absent}'", name="{absent}")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(("name", "absent"), [("train_main", "torch"), ("evaluate_main", "sklearn")])
def test_a_missing_package_is_one_line(name: str, absent: str) -> None:
    code = f"{ABSENT.format(absent=absent)}from regad.train.entry import {name}; {name}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: regad-")
    assert "pip install 'regad[train,cpu]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_checkpoint_is_not_judged_without_torch(tmp_path: Path) -> None:
    for folder in ("train/good", "test/good"):
        (tmp_path / "part" / folder).mkdir(parents=True)
        for name in "abcde":
            Image.new("RGB", (32, 32)).save(tmp_path / "part" / folder / f"{name}.png")
    sets = f"sys.argv = ['regad-eval', '--ckpt', 'model.pt', '--data', {str(tmp_path)!r}]"
    code = f"{ABSENT.format(absent='torch')}from regad.train.entry import evaluate_main\n{sets}\nevaluate_main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: regad-eval needs torch; install it: pip install 'regad[train,cpu]'")
