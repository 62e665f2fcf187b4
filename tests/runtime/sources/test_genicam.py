"""GenICam cameras against Aravis' fake one: one trigger is one frame, and a camera that is restarted comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.commands.checks import check_genicam
from regad.runtime.errors import InputError, SourceError
from regad.runtime.sources import aravis, genicam
from regad.runtime.sources.frame import Frame
from regad.runtime.sources.genicam import Address, GenicamCapture, TriggeredSource, follows, parse_address
from regad.runtime.sources.open import open_source

from .fake_genicam import NAME, FakeCamera, require_aravis

PATIENCE = 30.0


@pytest.fixture(scope="module")
def camera() -> Iterator[FakeCamera]:
    require_aravis()
    made = FakeCamera()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("genicam:", Address("", False, ())),
        ("genicam:Basler-2134?trigger=software", Address("Basler-2134", True, ())),
        (
            "genicam://10.0.0.7?ExposureTime=5000&Gain=-1.5",
            Address("10.0.0.7", False, (("ExposureTime", "5000"), ("Gain", "-1.5"))),
        ),
        (
            "GENICAM:The%20Imaging?PixelFormat=BayerRG8&trigger=off",
            Address("The Imaging", False, (("PixelFormat", "BayerRG8"),)),
        ),
    ],
)
def test_an_address_names_a_camera_its_trigger_and_features(uri: str, expected: Address) -> None:
    assert parse_address(uri) == expected


@pytest.mark.parametrize(
    "uri", ["genicam:a?trigger=line0", "genicam:a?Gain", "genicam:a?Gain=1 Width=2", "genicam:a?1=2"]
)
def test_a_malformed_address_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match="expected"):
        parse_address(uri)


@given(st.text(max_size=40))
def test_any_address_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_address(f"genicam:{text}")
    except SourceError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("last", "new", "next_one"), [(7, 8, True), (7, 9, False), (7, 7, False), (65535, 1, True), (65535, 65536, True)]
)
def test_frame_ids_follow_each_other_and_wrap(last: int, new: int, next_one: bool) -> None:
    assert follows(last, new) is next_one


def test_without_the_library_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aravis, "_LIBRARIES", ("libnone.so.0",))
    aravis.load_aravis.cache_clear()
    try:
        with pytest.raises(SourceError, match=r"sudo apt install libaravis-0\.8-0"):
            open_source("genicam:any")
        assert check_genicam()[0].level == "note"
    finally:
        aravis.load_aravis.cache_clear()


def test_the_doctor_lists_the_camera_and_one_that_is_not_there_is_told(camera: FakeCamera) -> None:
    assert any(f"genicam:{NAME}" in finding.text and finding.level == "ok" for finding in check_genicam())
    with pytest.raises(SourceError, match="GenICam camera nobody cannot be opened"):
        open_source("genicam:nobody")
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source(f"genicam:{NAME}?NoSuchFeature=1")


def test_one_trigger_is_one_frame(camera: FakeCamera) -> None:
    capture = GenicamCapture(parse_address(f"genicam:{NAME}?trigger=software"))
    try:
        assert not capture._wait(0.3), "no frame without a trigger"
        images = [capture.expose() for _ in range(4)]
        assert not capture._wait(0.3), "and none but those"
    finally:
        capture.release()
    assert all(image is not None and image.shape == (512, 512) and image.dtype == np.uint8 for image in images)


def test_a_triggered_source_exposes_when_it_is_asked(camera: FakeCamera) -> None:
    with open_source(f"genicam:{NAME}?trigger=software") as source:
        assert source.live and source.triggered, "the one before ran freely"
        for index in range(3):
            asked = time.monotonic()
            frame = next(source)
            assert frame.index == index and frame.image is not None and frame.image.shape == (512, 512, 3)
            assert asked <= frame.taken <= time.monotonic(), "exposed after it was asked for"
        source.stop()
        assert next(source, None) is None


def test_a_frame_that_another_trigger_exposed_is_an_error_and_the_camera_is_opened_again(camera: FakeCamera) -> None:
    with open_source(f"genicam:{NAME}?trigger=software") as source:
        assert isinstance(source, TriggeredSource)
        assert next(source).image is not None
        assert source._capture is not None and source._capture._last is not None
        source._capture._last += 1
        wrong = next(source)
        assert wrong.image is None and "not the one that this trigger exposed" in (wrong.error or "")
        assert next(source).image is not None, "opened again"


def test_an_incomplete_buffer_is_an_error_frame_and_the_camera_goes_on(
    camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_source(f"genicam:{NAME}?trigger=software") as source, monkeypatch.context() as patch:
        call = aravis.Aravis.call
        patch.setattr(
            aravis.Aravis,
            "call",
            lambda self, name, *args: 3 if name.endswith("get_status") else call(self, name, *args),
        )
        frame = next(source)
        assert frame.image is None and "packets are missing" in (frame.error or "")
        patch.undo()
        again = next(source)
        assert again.image is not None and again.index == 1


def test_an_incomplete_frame_of_a_running_camera_is_an_error_frame(
    camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genicam, "to_image", refuse)
    with open_source(f"genicam:{NAME}") as source:
        frame = next(source)
        assert frame.image is None and frame.error == "the frame is incomplete"


def refuse(*_: object) -> object:
    raise InputError("the frame is incomplete")


def test_a_running_camera_gives_its_newest_frames(camera: FakeCamera) -> None:
    with open_source(f"genicam:{NAME}?AcquisitionFrameRate=50") as source:
        frames = [next(source) for _ in range(3)]
    assert source.live and not source.triggered
    assert all(frame.image is not None and frame.image.shape == (512, 512, 3) for frame in frames)


@pytest.mark.parametrize("query", ["?trigger=software", ""])
def test_a_camera_that_is_killed_and_started_again_comes_back(
    camera: FakeCamera, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PATIENCE", "_LOOK", "_LET_GO"):
        monkeypatch.setattr(genicam, name, 0.5)
    with open_source(f"genicam:{NAME}{query}") as source:
        vars(source).update(_timeout=1.0, _patience=1.0)  # the silence of a free-running camera that is an error
        assert next(source).image is not None
        camera.kill()
        error = first(source, lambda frame: frame.image is None)
        assert error.error
        camera.start()
        assert first(source, lambda frame: frame.image is not None).index > error.index


def first(source: Iterator[Frame], wanted: object) -> Frame:
    end = time.monotonic() + PATIENCE
    for frame in source:
        assert time.monotonic() < end, frame.error
        if wanted(frame):  # type: ignore[operator]
            return frame
    raise AssertionError("the source ended")
