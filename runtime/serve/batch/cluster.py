"""Judging on the nodes of a Ray cluster: a pool of detectors, each in a process of its own, fed by Ray Data.

Ray judges an image again where the process or node that had it died; so nothing is written there but pictures, each in
the place of the same one. Every node needs regad and the files under the same paths.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DeviceError, InputError
from ...text import reason_of, shown
from .inputs import Image
from .judging import Judge, Row, Task

__all__ = ["connected", "judge_by_ray"]

_BATCH = 8  # images that a detector takes at once, and that are judged again if it dies
_BLOCKS = 4096
_HELD = ("cuda", "tensorrt", "ort-tensorrt")


class Pooled:
    """A detector as Ray Data calls it; what goes wrong comes back as data, with its own words."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._judge: Judge | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Judge a batch of {path, name}, both bytes; returns {key, rows, failed}, texts."""
        keys, rows, failed = [], [], []
        for path, name in zip(batch["path"], batch["name"], strict=True):
            image = Image(Path(os.fsdecode(path)), os.fsdecode(name))
            keys.append(image.key)
            try:
                self._judge = self._judge or Judge(self._task)
                rows.append(json.dumps(self._judge.rows(image)))
                failed.append("")
            except Exception as error:
                rows.append("[]")
                failed.append(f"{shown(image.path)}: {reason_of(error)}")
        return {"key": keys, "rows": rows, "failed": failed}


def connected(address: str) -> Any:
    """Join a Ray cluster and return the module. Raises InputError without Ray, DeviceError where none answers."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError(
            "--address needs Ray, which is not installed; pip install 'regad[ray]', or leave it out to judge here"
        ) from None
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises what it likes
        raise DeviceError(
            f"no Ray cluster answers at {shown(address)} ({reason_of(error)})",
            remedy="start one: ray start --head, and set the same RAY_AUTH_TOKEN on every node",
        ) from error
    return ray


def judge_by_ray(
    task: Task, images: Sequence[Image], address: str, actors: int | None = None
) -> Iterator[tuple[str, list[Row]]]:
    """Yield the key and the rows of each image, in the order in which they are done.

    ``actors`` detectors are started (default: one a CPU of the cluster, or one a GPU where the device is one). Raises
    DeviceError where a detector fails; what was yielded stands.
    """
    ray = connected(address)
    try:
        yield from _judged(ray, task, images, actors)
    except ray.exceptions.RayError as error:
        raise DeviceError(f"Ray gave up ({reason_of(error)})", remedy="look at ray status, and run again") from error
    finally:
        ray.shutdown()


def _judged(ray: Any, task: Task, images: Sequence[Image], actors: int | None) -> Iterator[tuple[str, list[Row]]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    on_gpu = task.device in _HELD
    count = actors or max(1, int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1)))
    items = [{"path": os.fsencode(image.path), "name": os.fsencode(image.name)} for image in images]
    blocks = min(_BLOCKS, max(1, -(-len(items) // _BATCH)))
    found = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        Pooled,
        fn_constructor_args=(task,),
        batch_size=_BATCH,
        num_cpus=0 if on_gpu else 1,
        num_gpus=1 if on_gpu else None,
        concurrency=min(count, blocks),
    )
    for row in found.iter_rows():
        if row["failed"]:
            raise DeviceError(f"a detector failed at {row['failed']}", remedy="run again: what is judged is kept")
        yield row["key"], json.loads(row["rows"])
