"""Writing detectors into a Triton model repository: versions whole or not at all, categories file by file."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ...backends.tensorrt.engines import FOLDER as ENGINES
from ...errors import CategoryError, InputError, OutputError
from ...formats.artifact import MANIFEST, Artifact
from ...formats.atomic import atomic_folder, atomic_write
from ...formats.category import load_category, save_category
from ...text import Say, shown, system_reason, unsaid
from ..shelf import SUFFIX
from .config import ARTIFACT, CATEGORIES, MARK, Settings, detector_config
from .golden import GOLDEN, golden_category

__all__ = ["check_own", "check_room", "named", "require_name", "write_config", "write_detector"]

CONFIG = "config.pbtxt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MODEL = '''"""Written by regad-triton. It needs regad in the server's Python: pip install 'regad[embed]'."""

from regad.runtime.serve.triton.adapter import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def require_name(name: str) -> None:
    """Raise InputError for a name that Triton's files and messages have no place for."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{shown(name)!r} is no name that can be served; use letters, digits, '.', '_' and '-'")


def named(files: Sequence[Path], artifact: Artifact) -> dict[str, Path]:
    """Return category files by their names, each read and checked.

    Raises CategoryError for one that cannot be used with the artifact, InputError for a name that Triton, or the
    repository, has no place for, or that is given twice.
    """
    found: dict[str, Path] = {}
    for file in files:
        name = file.name.removesuffix(SUFFIX)
        require_name(name)
        if name == GOLDEN:
            raise InputError(f"the category {file} has the name of the golden sample; give it another one")
        if name in found:
            raise InputError(f"{found[name]} and {file} are both the category {name}; give one another name")
        load_category(file, artifact.hash)
        found[name] = file
    return found


def check_room(categories: Mapping[str, Path], memory_mb: int) -> None:
    """Raise CategoryError for a category that does not fit into the memory that all may take."""
    for name, file in categories.items():
        if file.stat().st_size > memory_mb * 1_000_000:
            raise CategoryError(
                f"category {name} takes {file.stat().st_size / 1e6:.0f} MB, and all of them may take {memory_mb} MB",
                remedy="raise --memory-mb",
            )


def check_own(folder: Path) -> None:
    """Raise OutputError where ``folder`` is there, is not empty and is no model of regad-triton."""
    config = folder / CONFIG
    try:
        if (
            folder.exists()
            and any(folder.iterdir())
            and not config.read_text(encoding="utf-8", errors="replace").startswith(MARK)
        ):
            raise OutputError(f"{folder} is a model that regad-triton did not write; choose another --name or --out")
    except OSError as error:
        raise OutputError(
            f"{folder} exists and its {CONFIG} cannot be read ({system_reason(error)}); choose another --name or --out"
        ) from error


def write_config(folder: Path, text: str) -> bool:
    """Write a model's configuration, and say so, unless it stands there already. Raises OutputError."""
    with suppress(OSError):
        if (folder / CONFIG).read_text(encoding="utf-8") == text:
            return False
    atomic_write(folder / CONFIG, text.encode())
    return True


def write_detector(
    out: Path,
    name: str,
    artifact: Artifact,
    categories: Mapping[str, Path],
    settings: Settings,
    max_batch: int,
    say: Say = unsaid,
) -> bool:
    """Write the model ``name``, or bring it up to date; return whether a server has to load it again for that.

    Where its newest version has this artifact, categories are put into it, each by one rename, which a server that
    serves it notices. Else a new version is written as a whole, with the categories of the one before that this
    artifact can use. Raises OutputError, and CategoryError where that would end a category that is served.
    """
    folder = out / name
    check_own(folder)
    versions = sorted((int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()), reverse=True)
    newest = version = versions[0] if versions else 0
    if newest and _is_same(folder / str(newest), artifact):
        _place(folder / str(newest) / CATEGORIES, categories, say)
    else:
        kept = _kept(folder / str(newest) / CATEGORIES, artifact, categories) if newest else {}
        version = newest + 1
        if not newest:  # the mark first: what is left of a run that was cut off may be gone on with
            write_config(folder, detector_config(name, settings, max_batch))
        with atomic_folder(folder / str(version)) as temporary:
            _fill(temporary, artifact, {**kept, **categories})
        say(f"{folder / str(version)}: version {version}, categories {', '.join(sorted({**kept, **categories}))}")
    changed = write_config(folder, detector_config(name, settings, max_batch))
    return changed or version != newest


def _is_same(version: Path, artifact: Artifact) -> bool:
    with suppress(OSError):
        return (version / ARTIFACT / MANIFEST).read_bytes() == (artifact.path / MANIFEST).read_bytes()
    return False


def _kept(before: Path, artifact: Artifact, given: Mapping[str, Path]) -> dict[str, Path]:
    """The categories of a version that are not given again."""
    kept = {
        path.name.removesuffix(SUFFIX): path
        for path in sorted(before.glob(f"*{SUFFIX}"))
        if path.name.removesuffix(SUFFIX) not in (GOLDEN, *given)
    }
    for path in kept.values():
        _require_usable(path, artifact)
    return kept


def _require_usable(served: Path, artifact: Artifact) -> None:
    try:
        load_category(served, artifact.hash)
    except CategoryError as error:
        raise CategoryError(
            f"{served} is served and cannot be used with {artifact.path} ({error.message})",
            remedy=f"give {served.name} too, taught on this artifact, or choose another --name",
        ) from error


def _fill(version: Path, artifact: Artifact, categories: Mapping[str, Path]) -> None:
    """Write a version's files. Raises OSError."""
    (version / "model.py").write_text(_MODEL, encoding="utf-8")
    (version / ARTIFACT).mkdir()
    for file in (MANIFEST, *artifact.manifest["files"]):
        shutil.copyfile(artifact.path / file, version / ARTIFACT / file)
    if (artifact.path / ENGINES).is_dir():
        shutil.copytree(artifact.path / ENGINES, version / ARTIFACT / ENGINES)
    (version / CATEGORIES).mkdir()
    save_category(golden_category(artifact), version / CATEGORIES / f"{GOLDEN}{SUFFIX}")
    for name, file in categories.items():
        shutil.copyfile(file, version / CATEGORIES / f"{name}{SUFFIX}")


def _place(folder: Path, categories: Mapping[str, Path], say: Say) -> None:
    """Put category files into a folder that a server may be reading, each whole or not at all."""
    for name, file in categories.items():
        target = folder / f"{name}{SUFFIX}"
        if target.is_file() and filecmp.cmp(target, file, shallow=False):
            continue
        with file.open("rb") as source:
            atomic_write(target, partial(shutil.copyfileobj, source))
        say(f"{target}: placed")
