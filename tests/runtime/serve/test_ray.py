"""Ray on two nodes, one worker killed and one node: every row once and equal in every bit; the same evaluation.

Takes minutes, and 500 MB for its environment, so it runs where $REGAD_RAY_TESTS is ``required``, as in CI.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from regad.runtime.detector import Detector
from regad.runtime.formats.category import save_category

from ..plain import taught_plainly
from .ray_nodes import HEAD, Nodes, kill, ray_environment, wait_until

pytestmark = pytest.mark.skipif(
    os.environ.get("REGAD_RAY_TESTS") != "required", reason="needs REGAD_RAY_TESTS=required: root, 500 MB, minutes"
)
COUNT = 48
BATCH = "from regad.runtime.serve.batch.cli import main; main()"
EVAL = "from regad.train.entry import evaluate_main; evaluate_main()"
ROWS = """
import json, sys
from pathlib import Path
from regad.runtime.serve.batch.table import table_of
print(json.dumps(list(table_of(Path(sys.argv[1])).read())))
"""


class Scene(NamedTuple):
    """An environment with Ray, and what is judged in it."""

    python: Path
    folder: Path
    model: Path

    def run(self, code: str, *words: object) -> str:
        """Run a program here, without Ray."""
        line = [str(self.python), "-c", code, *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr and done.returncode in (0, 3), done.stderr
        return done.stdout

    def batch(self, out: str) -> tuple[object, ...]:
        """The arguments of regad-batch."""
        part = self.folder / "part.safetensors"
        return (
            *("--source", self.folder / "images", "--category", part, "--model", self.model, "--device", "cpu"),
            *("--threads", 1, "--out", self.folder / out, "--overlay", self.folder / f"{out}.pictures"),
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, artifact_dir: Path) -> Iterator[Scene]:
    assert os.getuid() == 0 and shutil.which("ip"), "network namespaces need root and iproute2"
    folder = tmp_path_factory.mktemp("ray")
    rng = np.random.default_rng(0)
    names = [f"images/{number}.png" for number in range(COUNT)]
    names += [
        f"sets/{kind}/{part}/{i}.png"
        for kind in "ab"
        for part in ("train/good", "test/good", "test/bad")
        for i in (1, 2, 3)
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize((320, 240)).save(folder / name)
    (folder / "images" / "none.png").write_bytes(b"no image")
    with ray_environment(folder) as python:
        with Detector.load(artifact_dir, threads=1) as detector:
            photos = [np.asarray(Image.open(path)) for path in sorted((folder / "sets/a/train/good").iterdir())]
            save_category(taught_plainly(detector.model, photos), folder / "part.safetensors")
        yield Scene(python, folder, artifact_dir)


def rows(scene: Scene, out: str) -> list[dict[str, Any]]:
    """The table, without what differs from run to run."""
    found = json.loads(scene.run(ROWS, scene.folder / out))
    return [{key: value for key, value in row.items() if key not in ("time", "ms")} for row in found]


def evaluated(path: Path) -> list[dict[str, Any]]:
    """The rounds and their sums of a result file, without their times."""
    found = json.loads(path.read_text())
    return [{key: value for key, value in one.items() if key != "ms"} for one in (*found["results"], *found["summary"])]


def test_two_nodes_make_the_same_tables_though_a_worker_and_a_node_are_killed(
    scene: Scene, small_artifact: Path
) -> None:
    folder = scene.folder
    part = folder / "ray.parquet.part"
    evaluation = (
        *("--model", small_artifact, "--data", folder / "sets", "--shot", "2,3", "--rounds", 2),
        *("--device", "cpu", "--register", "off"),
    )

    def kept() -> int:
        """Lines of the journal: its head, and one for each image that is judged."""
        return part.read_bytes().count(b"\n") if part.exists() else 0

    with Nodes(scene.python, folder) as nodes:
        judging = nodes.command("-c", EVAL, *evaluation, "--json", folder / "ray.json", "--ray", f"{HEAD}:6379")
        said, _ = judging.communicate()
        assert judging.returncode == 0, said
        run = nodes.command("-c", BATCH, *scene.batch("ray.parquet"), "--address", f"{HEAD}:6379")
        wait_until(lambda: kept() > 1 or run.poll() is not None, "the first rows")
        first = [*nodes.detectors(0), *nodes.detectors(1)][:1]
        for pid in first:
            kill(pid)
        wait_until(lambda: kept() > 17 or run.poll() is not None, "more rows")
        at_kill, ended = kept(), run.poll()
        nodes.kill_node(1)
        said, _ = run.communicate()
    assert first and ended is None and at_kill < COUNT, "both were killed in the midst of it"
    assert run.returncode == 3, said
    scene.run(BATCH, *scene.batch("here.parquet"))
    spread = rows(scene, "ray.parquet")
    assert len({row["source"] for row in spread}) == len(spread) == COUNT + 1
    assert sum("error" in row for row in spread) == 1
    assert spread == rows(scene, "here.parquet"), "every score in every bit, in the same order"
    pictures = [
        sorted(path.name for path in (folder / f"{one}.pictures").iterdir()) for one in ("ray.parquet", "here.parquet")
    ]
    assert pictures[0] == pictures[1] and len(pictures[0]) == COUNT
    scene.run(EVAL, *evaluation, "--json", folder / "here.json")
    assert evaluated(folder / "ray.json") == evaluated(folder / "here.json")
    assert len(evaluated(folder / "here.json")) > 4, "two kinds, two shots, and their sums"


def test_a_parquet_table_reads_back_as_the_rows_that_were_written(scene: Scene) -> None:
    line = [str(scene.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "reads_back and parquet"]
    tests = Path(__file__).with_name("test_batch.py")
    root = Path(__file__).parents[3]
    done = subprocess.run([*line, str(tests)], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
