"""Teaching from the trace: which parts are taken, what is refused, and that their pictures are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib import stored
from regad.calib.stored import teach_parts
from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, save_category, tensors_sha256
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.presence import measure
from regad.runtime.station.teach_command import numbers
from regad.runtime.station.trace.files import array_sha256
from regad.runtime.station.trace.writer import Trace

from ..runtime.formats.test_registration import registered
from ..runtime.run_doubles import category
from ..runtime.station.trace.parts import ROOMY, ask, part, picture

SPEC = InputSpec(roi=(1, 2, 30, 40))


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What teaching was called with: the encodings are not what is tested here."""
    calls: list[dict[str, Any]] = []

    def teach(model: object, frames: Any, spec: InputSpec, **given: Any) -> Category:
        calls.append({"frames": frames, "spec": spec, **given})
        return category(support=given["files"], spec=spec)

    monkeypatch.setattr(stored, "teach_prepared", teach)
    return calls


def recorded(folder: Path, made: Category, **changes: Any) -> Path:
    """A trace of four parts that a category judged."""
    save_category(made, folder / "part.safetensors")
    trace = Trace(folder / "trace", ROOMY)
    trace.open()
    trace.category(3, made, folder / "part.safetensors")
    for seq in range(1, 5):
        facts = {"category": made.hash, "input": picture(seq), "prepared": made.preparation, **changes}
        trace.add(part(seq, **facts))
    trace.close()
    return folder / "trace"


def test_good_parts_are_taught_from_as_they_were_cut_out_and_kept(tmp_path: Path, taught: list[dict[str, Any]]) -> None:
    folder = recorded(tmp_path, category(spec=SPEC))
    made = teach_parts(None, folder, [4, 2], validation=[1], target_frr=0.02)  # type: ignore[arg-type]
    (call,) = taught
    assert call["spec"] == SPEC and call["registration"] is None and call["target_frr"] == 0.02
    for frame, seq in zip((*call["frames"], *call["validation"]), (4, 2, 1), strict=True):
        assert np.array_equal(frame.image, picture(seq)) and frame.measures == measure(picture(seq))
    assert [(file.name, file.sha256) for file in made.support] == [
        (f"part {seq}", array_sha256(picture(seq))) for seq in (4, 2)
    ]
    assert ask(folder, "SELECT inspection FROM file WHERE keep = 1 ORDER BY 1") == [(2,), (4,)]


_POSE = {
    **{"mean": 90.0, "contrast": 30.0, "sharp": 4.0, "structure": 0.5, "quality": 0.9, "share": 0.97},
    **{"angle": 12.5, "shift_x": -3.0, "shift_y": 4.0, "scale": 1.01},
}


def test_registered_parts_are_taught_from_as_they_were_laid(tmp_path: Path, taught: list[dict[str, Any]]) -> None:
    made = registered()
    assert made.data_sha256 == tensors_sha256(made.tensors)
    folder = recorded(tmp_path, made, **_POSE)
    teach_parts(None, folder, [1, 2], job=3)  # type: ignore[arg-type]
    (call,) = taught
    assert call["registration"] is not None and call["tried"] == made.tried
    frame = call["frames"][0]
    assert tuple(frame.measures) == (90.0, 30.0, 4.0, 0.5) and frame.share == 0.97
    assert tuple(frame.located.pose) == (12.5, -3.0, 4.0, 1.01) and frame.located.quality == 0.9


def test_the_template_has_to_be_there(tmp_path: Path, taught: list[dict[str, Any]]) -> None:
    folder = recorded(tmp_path, registered(), **_POSE)
    save_category(category(), tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="that file was moved or changed; put it back"):
        teach_parts(None, folder, [1, 2])  # type: ignore[arg-type]
    assert taught == []


def test_parts_of_before_version_2_go_with_later_ones_of_the_same_region(
    tmp_path: Path, taught: list[dict[str, Any]]
) -> None:
    folder = recorded(tmp_path, category(spec=SPEC))
    ask(folder, "UPDATE inspection SET prepared = '', contrast = NULL, structure = NULL WHERE id = 1")
    teach_parts(None, folder, [1, 2])  # type: ignore[arg-type]
    assert [frame.measures for frame in taught[0]["frames"]] == [measure(picture(1)), measure(picture(2))]


@pytest.mark.parametrize(
    ("sql", "call", "message"),
    [
        ("", {"parts": [1, 2, 1]}, "part 1 is named 2 times"),
        ("", {"parts": [1], "validation": [1]}, "part 1 is named 2 times"),
        ("", {"parts": [1, 99]}, "no part of id 99"),
        ("", {"parts": []}, "no part is named"),
        ("", {"parts": [1, 2], "job": 4}, "part 1 is of job 3, not 4"),
        ("UPDATE inspection SET job = 4 WHERE id = 2", {"parts": [1, 2]}, "part 2 is of job 4, not 3"),
        ("UPDATE inspection SET prepared = 'x' WHERE id = 2", {"parts": [1, 2]}, "part 2 was registered to another"),
        ("DELETE FROM file WHERE inspection = 2", {"parts": [1, 2]}, "the input of part 2 is not stored any more"),
        (
            "INSERT INTO label (inspection, value) VALUES (2, 'defect')",
            {"parts": [1, 2]},
            "part 2 is labelled a defect",
        ),
        (
            "UPDATE category_version SET spec = NULL",
            {"parts": [1, 2]},
            "does not have the category and the region that part 1",
        ),
    ],
)
def test_parts_that_cannot_be_taught_from_are_named(
    tmp_path: Path, taught: list[dict[str, Any]], sql: str, call: dict[str, Any], message: str
) -> None:
    folder = recorded(tmp_path, category(spec=SPEC))
    if sql:
        ask(folder, sql)
    with pytest.raises(InputError, match=message):
        teach_parts(None, folder, **call)  # type: ignore[arg-type]
    assert taught == [] and ask(folder, "SELECT count(*) FROM file WHERE keep = 1") == [(0,)]


def test_parts_are_named_by_numbers_and_ranges() -> None:
    assert numbers("12,15, 20-23") == [12, 15, 20, 21, 22, 23]
    for text in ("", "1,", "0", "3-2", "a", "1--2", "1-99999", "-1", "9" * 30):
        with pytest.raises(InputError, match="expected a list like 12,15,20-30"):
            numbers(text)
