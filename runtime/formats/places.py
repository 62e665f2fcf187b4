"""Where the commands look for things: the artifact, and the cache."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ArtifactError, OutputError

__all__ = ["DEFAULT_MODEL", "MODEL_VARIABLE", "cache_folder", "find_model"]

MODEL_VARIABLE = "REGAD_MODEL"
DEFAULT_MODEL = Path("model.regad")


def find_model(given: Path | None) -> Path:
    """Return the artifact to use: the one ``given``, else $REGAD_MODEL, else ./model.regad. Raises ArtifactError."""
    if given is not None:
        return given
    if named := os.environ.get(MODEL_VARIABLE):
        return Path(named)
    if DEFAULT_MODEL.is_dir():
        return DEFAULT_MODEL
    raise ArtifactError(
        f"no artifact: give --model FOLDER, set ${MODEL_VARIABLE}, or put one at ./{DEFAULT_MODEL}; "
        "make one with: regad-export --ckpt model.pt"
    )


def cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/regad, or ~/.cache/regad; it need not exist.

    Raises OutputError where there is no home folder: $HOME is unset and the user has no account.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "regad"
    try:
        return Path.home() / ".cache" / "regad"
    except RuntimeError:
        raise OutputError("there is no home folder to cache in; set $HOME or $XDG_CACHE_HOME") from None
