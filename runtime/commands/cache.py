"""The cache of taught parts: the same photos on the same artifact are not taught twice.

An entry is a category file named by a hash of all it depends on. A broken entry is taught again; a cache that cannot be
written is a note, never a failure. It is bounded in number and in bytes, the oldest entries go first.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ..detector import Detector
from ..errors import InputError, OutputError, RegadError
from ..formats.digest import sha256_of
from ..formats.places import cache_folder
from ..formats.registration import Register
from ..text import Say, shown, system_reason

__all__ = ["MAX_BYTES", "MAX_FILES", "SOURCES", "cache_key", "prune", "recall", "remember"]

MAX_FILES = 8
MAX_BYTES = 2 * 1024**3
SOURCES = ("regad.runtime", "regad.calib")
"""The packages in which everything that decides a part's statistics is written."""
_PACKAGES = ("regad", "numpy", "pillow")
_SUFFIX = ".safetensors"
_ABANDONED = 3600.0  # seconds after which a temporary file belongs to nobody any more


def cache_key(
    detector: Detector,
    photos: Iterable[Path],
    *,
    target_frr: float | None,
    warn_frr: float | None,
    by_hand: bool,
    register: Register = "auto",
) -> str:
    """Return the name of an entry: a hash of all that decides what the photos teach.

    That is the model, the device with its library, the preprocessing, the photos, the rates aimed at, the prior,
    whether the part is registered, and the software: the versions of the packages that read, resize and compute, and
    every line of `SOURCES`, since a version may stay where a line has changed. ``by_hand``: the threshold is set apart
    from the photos. Raises InputError for a photo that cannot be read.
    """
    prior = detector.model.info.prior
    facts = {
        "model": detector.model.info.hash,
        "device": detector.device,
        "statistics_dtype": detector.model.info.statistics_dtype,
        "input": detector.teaching_spec.to_json(),
        "photos": [(path.name, _photo_sha256(path)) for path in photos],
        "target_frr": target_frr,
        "warn_frr": warn_frr,
        "prior": prior and prior.to_json(),
        "by_hand": by_hand,
        "register": register,
        "packages": {name: version(name) for name in _PACKAGES},
        "sources": sources_sha256(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def sources_sha256() -> str:
    """One hash over every Python module and compiled library of `SOURCES`, names included."""
    digest = hashlib.sha256()
    for package in SOURCES:
        spec = find_spec(package)  # where it is, without running it
        assert spec is not None
        (folder,) = spec.submodule_search_locations or [""]
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".py", ".so"):
                digest.update(f"{package}/{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _photo_sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {system_reason(error)}; expected a photo") from error


def recall(detector: Detector, key: str, say: Say) -> bool:
    """Load an entry into ``detector`` and return whether there was a sound one; a broken one is reported by ``say``."""
    try:
        path = cache_folder() / f"{key}{_SUFFIX}"
        if not path.is_file():
            return False
    except (OutputError, OSError):  # no home, or a folder that may not be entered: `remember` says so
        return False
    try:
        detector.load_category(path)
    except RegadError as error:
        say(f"the cached part cannot be used and is taught again ({error})")
        return False
    with suppress(OSError):  # a cache that may only be read
        os.utime(path)
    return True


def remember(detector: Detector, key: str, say: Say) -> None:
    """Store the category in force as an entry, and remove the oldest ones; ``say`` gets the reason if it cannot."""
    try:
        folder = cache_folder()
        detector.save_category(folder / f"{key}{_SUFFIX}")
        prune(folder)
    except (RegadError, OSError) as error:
        say(f"the part was not cached and will be taught again next time ({error})")


def prune(folder: Path, *, files: int = MAX_FILES, size: int = MAX_BYTES) -> None:
    """Keep the newest ``files`` entries within ``size`` bytes (the newest in any case); drop abandoned temporaries."""
    entries = sorted(_found(folder, f"[!.]*{_SUFFIX}"), key=lambda entry: entry[1].st_mtime, reverse=True)
    total = 0
    for place, (path, state) in enumerate(entries):
        total += state.st_size
        if place > 0 and (place >= files or total > size):
            path.unlink(missing_ok=True)
    for path, state in _found(folder, f".*{_SUFFIX}.*"):
        if time.time() - state.st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)


def _found(folder: Path, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what a pattern matches; another process may remove some of it meanwhile."""
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):
            yield path, path.stat()
