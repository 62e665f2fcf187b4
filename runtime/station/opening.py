"""A model that a station may judge by: one that computes, on this device, what the artifact says it should."""

from __future__ import annotations

from ..errors import ArtifactError, RegadError
from ..model import Model
from ..selftest import self_test
from ..text import reason_of
from .config import ModelConfig

__all__ = ["SelfTestError", "open_tested"]

_MORE = "regad-doctor --model says more"


class SelfTestError(ArtifactError):
    """The model was opened, and its self-test failed or could not be run: it may not judge."""


def open_tested(wanted: ModelConfig) -> Model:
    """Open the artifact of a station and run its golden self-test, which takes about as long as judging ten parts.

    Raises ArtifactError and DeviceError where it cannot be opened, SelfTestError where the test fails.
    """
    model = wanted.open()
    try:
        self_test(model.artifact, model.backend, batch=1)  # as parts are judged
    except Exception as error:  # whatever a device does: it may not judge
        model.close()
        if isinstance(error, RegadError):
            raise SelfTestError(error.message, remedy=error.remedy or _MORE, code="self-test") from error
        text = f"the self-test of {wanted.path} could not be run: {reason_of(error)}"
        raise SelfTestError(text, remedy=_MORE, code="self-test") from error
    return model
