"""The families of transforms that an STN predicts, as data; `regad.train.model.stn` computes them. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass

from regad.runtime.errors import InputError

__all__ = ["DEFAULT_MODE", "MATRIX", "STN_MODES", "StnMode", "stn_mode"]

DEFAULT_MODE = "rotation_scale"
MATRIX: dict[str, float] = {"xx": 1, "xy": 0, "tx": 0, "yx": 0, "yy": 1, "ty": 0}
"""The entries of ``theta``, row by row, and what they are where a mode does not predict them: the identity."""


@dataclass(frozen=True)
class StnMode:
    """One family of transforms: ``predicted`` names entries of the matrix, or "angle", in the order of the parameters.

    An angle multiplies the diagonal by its cosine and sets the other two entries to -sin and sin. Only the diagonal is
    scaled: the reference's definition, not the product of a rotation and a scale.
    """

    predicted: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Number of values the localisation network predicts."""
        return len(self.predicted)

    @property
    def identity(self) -> tuple[float, ...]:
        """The parameters of the identity: the last layer's first bias."""
        return tuple(MATRIX.get(name, 0) for name in self.predicted)


STN_MODES: dict[str, StnMode] = {
    "affine": StnMode(tuple(MATRIX)),
    "translation": StnMode(("tx", "ty")),
    "rotation": StnMode(("angle",)),
    "scale": StnMode(("xx", "yy")),
    "shear": StnMode(("xy", "yx")),
    "rotation_scale": StnMode(("angle", "xx", "yy")),
    "translation_scale": StnMode(("tx", "ty", "xx", "yy")),
    "rotation_translation": StnMode(("angle", "tx", "ty")),
    "rotation_translation_scale": StnMode(("angle", "tx", "ty", "xx", "yy")),
}
"""The nine modes. Parameters stand in the order angle, shift (x, y), scale or shear (x, y)."""


def stn_mode(name: str) -> StnMode:
    """Look a mode up. Raises InputError naming the nine modes."""
    if name not in STN_MODES:
        raise InputError(f"stn mode is {name!r}; expected one of {', '.join(STN_MODES)}")
    return STN_MODES[name]
