"""A job of station.toml, and another version of it that can be installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from regad.runtime.formats.category import Category
from regad.runtime.station.installed import Installed, Wish, category_path, store_category
from regad.runtime.station.job_spec import JobSpec
from regad.runtime.station.jobs import Jobs

from ..run_doubles import category
from .station_doubles import Backend


class Bench:
    """A trace folder with one job of station.toml, `old`, and a version that can be installed, `new`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, []  # type: ignore[var-annotated]
        self.new = store_category(folder, replace(category(), created="new"))
        self.old = store_category(folder, replace(category(), created="old"))
        path = folder / "part.safetensors"
        category_path(folder, self.old).replace(path)
        self.spec = JobSpec(1, "part", path, self.old)

    def jobs(self, **changes: Any) -> Jobs:
        made = Jobs(Backend().model, [replace(self.spec, **changes)], self._loaded, Installed(self.folder))
        made.open()
        return made

    def _loaded(self, spec: JobSpec, category: Category) -> None:
        self.told.append((spec.sha256, category.threshold.value, spec.by))

    def wish(self, **changes: Any) -> Wish:
        return replace(Wish(1, self.new, None, None, "anna", "sharper", 1.8e9), **changes)
