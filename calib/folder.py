"""Teach a part from a folder of photos, and put it in force on a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regad.runtime.detector import Detector
from regad.runtime.formats.category import Category, SupportImage
from regad.runtime.formats.encodings import Encoding, StatisticsDtype
from regad.runtime.formats.registration import Register
from regad.runtime.formats.spec import InputSpec
from regad.runtime.text import Say, shown, unsaid

from .support import GoodImages, draw_support, list_images, read_good_images
from .teach import OnImage, teach

__all__ = ["teach_folder"]


def teach_folder(
    detector: Detector,
    folder: str | Path | Sequence[Path],
    *,
    shot: int | None = None,
    seed: int = 0,
    target_frr: float | None = None,
    warn_frr: float | None = None,
    validation: str | Path | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    encoding: Encoding | None = None,
    dtype: StatisticsDtype | None = None,
    spec: InputSpec | None = None,
    progress: OnImage | None = None,
    strict: bool = False,
    registration: Register = "auto",
    say: Say = unsaid,
) -> Category:
    """Teach a part from a folder of good images, or from the files that are given, and put it in force on ``detector``.

    ``shot`` images are drawn by ``seed``, or all are used. The part is taught with ``spec``, by default the detector's
    `teaching_spec`, whatever the part before it was taught with. ``validation`` is a folder of further good images for
    the threshold; it must not hold copies of the support images. ``say`` receives what is odd about the files, and
    what else is in the folders; see `teach` for the rest. Raises InputError.
    """
    photos = list_images(folder, say) if isinstance(folder, str | Path) else folder
    support = read_good_images(draw_support(photos, shot, seed), say)
    extra = None if validation is None else _read_validation(Path(validation), say)
    category = teach(
        detector.model,
        support.images,
        spec or detector.teaching_spec,
        files=support.files,
        target_frr=target_frr,
        warn_frr=warn_frr,
        validation=() if extra is None else extra.images,
        validation_files=None if extra is None else extra.files,
        threshold=threshold,
        warn_threshold=warn_threshold,
        encoding=encoding,
        dtype=dtype,
        progress=progress,
        strict=strict,
        registration=registration,
    )
    detector.use(category)
    return category


def _read_validation(folder: Path, say: Say) -> GoodImages:
    """Read a folder of further good images, under names that tell them from the support images."""
    images, files = read_good_images(list_images(folder, say), say)
    return GoodImages(images, tuple(SupportImage(shown(folder / file.name), file.sha256) for file in files))
