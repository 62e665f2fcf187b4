"""The names of the STNs' modes, without PyTorch; `regad.train.model.stn` has the transforms."""

from __future__ import annotations

from regad.runtime.errors import InputError

__all__ = ["DEFAULT_MODE", "MODE_NAMES", "check_mode"]

DEFAULT_MODE = "rotation_scale"
MODE_NAMES = (
    "affine",
    "translation",
    "rotation",
    "scale",
    "shear",
    "rotation_scale",
    "translation_scale",
    "rotation_translation",
    "rotation_translation_scale",
)


def check_mode(name: str) -> None:
    """Raise InputError, naming the nine modes, for what is none of them."""
    if name not in MODE_NAMES:
        raise InputError(f"stn mode is {name!r}; expected one of {', '.join(MODE_NAMES)}")
