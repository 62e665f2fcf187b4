"""A model is opened to judge only if its golden self-test passes on this device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from regad.runtime.errors import ArtifactError, DeviceError
from regad.runtime.model import Model
from regad.runtime.station import opening
from regad.runtime.station.config import ModelConfig
from regad.runtime.station.opening import SelfTestError, open_tested

from ..run_doubles import ARTIFACT
from .station_doubles import Backend

PATH = Path("model.regad")


class Opened(Backend):
    """A backend that says whether it was closed, and what was asked of its model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, test: Callable[..., object]) -> None:
        super().__init__()
        self.closed = False
        self.asked: list[object] = []

        def load(*what: object) -> Model:
            self.asked.append(what)
            return self.model()

        monkeypatch.setattr(opening.Model, "load", load)
        monkeypatch.setattr(opening, "self_test", test)

    def close(self) -> None:
        self.closed = True


def test_a_model_that_passes_is_opened_as_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    backend = Opened(monkeypatch, lambda *what, batch: tried.append((*what, batch)))
    model = open_tested(ModelConfig(path=PATH, device="openvino", precision="bf16", threads=2))
    assert backend.asked == [(PATH, "openvino", 2, "bf16")]
    assert tried == [(ARTIFACT, backend, 1)] and model.backend is backend and not backend.closed


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ArtifactError("m fails its self-test on fake: theta is off", remedy="export it again"),
            "m fails its self-test on fake: theta is off; export it again",
        ),
        (DeviceError("the GPU is out of memory"), "the GPU is out of memory; regad-doctor --model says more"),
        (
            RuntimeError("bus error\nat 0x1"),
            "the self-test of model.regad could not be run: bus error; regad-doctor --model says more",
        ),
    ],
)
def test_a_model_that_fails_is_closed_and_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    def fail(*_what: object, batch: int) -> None:
        raise error

    backend = Opened(monkeypatch, fail)
    with pytest.raises(SelfTestError) as raised:
        open_tested(ModelConfig(path=PATH))
    assert (str(raised.value), raised.value.code) == (text, "self-test")
    assert backend.closed


def test_a_model_that_cannot_be_opened_is_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_what: object) -> Model:
        raise DeviceError("there is no GPU")

    monkeypatch.setattr(opening.Model, "load", missing)
    with pytest.raises(DeviceError, match="there is no GPU"):
        open_tested(ModelConfig(path=PATH, device="cuda"))
