"""A model that a station may judge by: one that computes, on this device, what the artifact says it should."""

from __future__ import annotations

from pathlib import Path

from ..errors import ArtifactError, RegadError
from ..model import Model
from ..selftest import self_test
from ..text import reason_of

__all__ = ["SelfTestError", "open_tested"]


class SelfTestError(ArtifactError):
    """The model was opened, and its self-test failed or could not be run: it may not judge."""


def open_tested(path: Path, device: str, threads: int | None) -> Model:
    """Open an artifact and run its golden self-test, about as long as judging six parts.

    Raises ArtifactError and DeviceError where it cannot be opened, SelfTestError where the test fails.
    """
    model = Model.load(path, device, threads)
    try:
        self_test(model.artifact, model.backend)
    except BaseException as error:
        model.close()
        if not isinstance(error, Exception):
            raise
        message = error.message if isinstance(error, RegadError) else f"{path} cannot be tried: {reason_of(error)}"
        remedy = getattr(error, "remedy", "") or "regad-doctor --model says more"
        raise SelfTestError(message, remedy=remedy, code="self-test") from error
    return model
