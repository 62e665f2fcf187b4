"""Without PyTorch the commands say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["train_main", "evaluate_main"])
def test_a_missing_package_is_one_line(name: str) -> None:
    code = f"import sys; sys.modules['torch'] = None; from regad.train.entry import {name}; {name}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: regad-")
    assert "pip install 'regad[train,cpu]'" in done.stderr
    assert done.stderr.count("\n") == 1
