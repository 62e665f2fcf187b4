"""The CPU's backend as a process that may use some cores only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from regad.runtime.backends.table import open_backend
from regad.runtime.formats.artifact import Artifact
open_backend(Artifact.open(sys.argv[1]), "cpu").features(np.zeros((1, 224, 224, 3), np.uint8))
print(len(os.listdir("/proc/self/task")))
"""


def test_one_core_gets_one_thread_on_a_machine_of_many(small_artifact: Path) -> None:
    words = [sys.executable, "-c", ONE_CORE, str(small_artifact)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("1\n", "")
