"""Pictures and maps on the disk, and which full pictures are stored."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from regad.runtime.errors import InputError
from regad.runtime.station.trace.files import FileStore, map_of, pack_map, unpack_map, wants_full
from regad.runtime.station.trace.inspection import TracePolicy

from .parts import part, picture

FRAME = np.zeros((4, 6, 3), np.uint8)


@given(arrays(np.float32, (56, 56), elements=st.floats(0, 1e6, width=32)))
def test_a_map_keeps_its_peak_and_every_position_to_half_a_step(coarse: np.ndarray) -> None:
    packed = pack_map(np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1))
    assert packed is not None
    top, data = packed
    back = map_of(top, unpack_map(data))
    assert top == coarse.max()
    assert np.abs(back - coarse).max() <= top / 255 * 0.501


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_map_that_is_not_finite_is_not_stored(value: float) -> None:
    whole = np.zeros((224, 224), np.float32)
    whole[100, 7] = value
    assert pack_map(whole) is None


@given(data=st.binary(max_size=200) | st.binary(max_size=5000).map(zlib.compress))
def test_any_bytes_are_a_map_or_an_input_error(data: bytes) -> None:
    try:
        assert unpack_map(data).shape == (56, 56)
    except InputError as error:
        assert "stored map" in str(error)


@given(percent=st.floats(0, 100), count=st.integers(1, 400))
def test_of_goods_exactly_the_share_asked_for_is_stored(percent: float, count: int) -> None:
    policy = TracePolicy(full_goods_percent=percent)
    stored = sum(wants_full(part(seq, frame=FRAME), policy) for seq in range(1, count + 1))
    assert stored == math.floor(count * (percent / 100.0))


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": 2, "output": 2},
        {"verdict": 3, "output": 3},
        {"output": 5, "late": True},
        {"verdict": 4, "output": 4},
    ],
)
def test_of_all_but_goods_every_full_picture_is_stored(changes: dict[str, int]) -> None:
    policy = TracePolicy(full_goods_percent=0.0)
    assert wants_full(part(1, frame=FRAME, **changes), policy)
    assert not wants_full(part(1, **changes), policy), "there is no frame"
    assert not wants_full(part(1, frame=FRAME), policy)


@pytest.mark.parametrize("path", ["../x", "images/../../x", "/etc/passwd", "images/a/../../..", "trace.db", ""])
def test_a_path_that_leads_out_of_the_pictures_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="no path of a trace's pictures"):
        FileStore(tmp_path).locate(path)


def test_a_stored_picture_that_was_changed_is_not_used(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    stored = store.write(part(1, input=picture(1)), "input")
    assert store.read_input(stored.path, stored.sha256).tobytes() == picture(1).tobytes()
    other = store.write(part(2, input=picture(2)), "input")
    (tmp_path / stored.path).write_bytes((tmp_path / other.path).read_bytes())
    with pytest.raises(InputError, match="was changed after it was written"):
        store.read_input(stored.path, stored.sha256)
    store.remove(stored.path)
    with pytest.raises(InputError, match="cannot be read"):
        store.read_input(stored.path, stored.sha256)


def test_the_last_picture_of_a_folder_takes_the_folder_with_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    paths = [store.write(part(seq, input=picture(1)), "input").path for seq in (1, 2)]
    store.remove(paths[0])
    assert (tmp_path / paths[1]).is_file()
    store.remove(paths[1])
    assert not (tmp_path / paths[1]).parent.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"full": "some"}, "trace.full is 'some'; expected one of none, reject, all"),
        ({"on_disk_full": "panic"}, "trace.on_disk_full is 'panic'; expected one of ring, stop"),
        ({"full_goods_percent": 101.0}, "trace.full_goods_percent is 101.0; expected 0 to 100"),
        ({"max_gb": math.nan}, "trace.max_gb is nan; expected 0 to inf"),
        ({"keep_days": -1.0}, "trace.keep_days is -1.0; expected 0 to inf"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as refused:
        TracePolicy(**change)  # type: ignore[arg-type]
    assert str(refused.value) == said
