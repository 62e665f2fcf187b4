from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from regad.runtime.errors import InputError, OutputError
from regad.train.run.curve import draw_curve
from regad.train.run.runlog import RunLog, open_tensorboard

LINES: list[dict[str, Any]] = [
    {"epoch": epoch, "lr": 1e-3, "loss": -0.9 + 0.8 / epoch, "held_out_loss": -0.8 + 0.7 / epoch}
    for epoch in range(1, 9)
]


def decode(data: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def heights(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[float]:
    """Mean row of the pixels of a colour, at the left and at the right end of the plot."""
    rows, columns = np.nonzero((picture[60:] == colour).all(-1))
    return [float(rows[columns == end].mean()) for end in (columns.min(), columns.max())]


def test_the_curve_falls_where_the_loss_does() -> None:
    picture = decode(draw_curve(LINES))
    assert picture.shape == (540, 960, 3)
    for colour in ((170, 90, 30), (40, 110, 220)):
        left, right = heights(picture, colour)
        assert right > left + 200  # rows count downwards
    rising = decode(draw_curve([{**line, "loss": -line["loss"]} for line in LINES]))
    left, right = heights(rising, (170, 90, 30))
    assert right < left - 50
    without = decode(draw_curve([{"epoch": line["epoch"], "loss": line["loss"]} for line in LINES]))
    assert not (without[60:] == (40, 110, 220)).all(-1).any()


@pytest.mark.parametrize("losses", [[-0.5], [-0.5, -0.5], [0.0, -1.0], [1e-9, -1e-9], [3e4, -2e4], [-0.1] * 200])
def test_any_curve_can_be_drawn(losses: list[float]) -> None:
    picture = decode(draw_curve([{"epoch": n, "loss": loss} for n, loss in enumerate(losses, 1)]))
    assert (picture[60:] == (170, 90, 30)).all(-1).any()


def test_the_log_goes_on_where_its_history_ends(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "lo')
    log = RunLog(tmp_path, LINES[:1], None)
    log.add(LINES[1])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == LINES[:2]
    assert decode((tmp_path / "curve.png").read_bytes()).any()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl.*choose another --out"):
        RunLog(tmp_path / "file" / "run", [], None)


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        with open_tensorboard(tmp_path / "board", wanted=True) as writer:
            log = RunLog(tmp_path, [], writer)
            for line in LINES:
                log.add(line)
        events = EventAccumulator(str(tmp_path / "board"))
        events.Reload()
        assert set(events.Tags()["scalars"]) == {"lr", "loss", "held_out_loss"}
        got = [(event.step, event.value) for event in events.Scalars("loss")]
    assert got == [(line["epoch"], pytest.approx(line["loss"])) for line in LINES]


def test_tensorboard_is_not_touched_unless_wanted(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path / "board", wanted=False) as writer:
        assert writer is None
    assert not (tmp_path / "board").exists()


def test_a_missing_tensorboard_names_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with (
        pytest.raises(InputError, match=r"--tensorboard needs a package: pip install 'regad\[tensorboard\]'"),
        open_tensorboard(tmp_path / "board", wanted=True),
    ):
        pass
