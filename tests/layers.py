"""The layers of the project: which room may import which. ``python tests/layers.py`` prints them, and fails on a fault.

Every import counts, also one inside a function or under TYPE_CHECKING. A module belongs to the room whose name is its
longest prefix; a room may import itself and the rooms of lower layers, never a neighbour.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime", "calib", "train", "export")

LAYERS: tuple[tuple[str, ...], ...] = (
    ("runtime.errors", "runtime.text"),
    ("runtime.formats",),
    ("runtime.kernels",),
    ("runtime.imaging", "runtime.scoring"),
    ("runtime.backends", "runtime.sources"),
    ("runtime.model", "runtime.result", "runtime.selftest"),
    ("runtime.judging",),
    ("runtime.detector",),
    ("runtime", "runtime.line", "runtime.cabi"),  # "runtime" itself is the public face, runtime/__init__.py
    ("runtime.commands", "runtime.native"),
    ("runtime.station", "runtime.serve"),
    ("calib",),
    ("runtime.desk",),  # above calib: an engineer teaches at the page
    ("train.model",),
    ("train.data",),
    ("train.run",),
    ("train.evaluation",),
    ("train",),
    ("export",),
)
"""From the ground up. Rooms of one layer do not import each other."""

TEACHING = {
    "runtime.detector": {"calib.teach"},  # Detector.fit, lazily
    "runtime.commands.teaching": {"calib.folder", "calib.support"},
    "runtime.station.teach_command": {"calib.stored"},
    "runtime.commands.bench_rows": {"calib.gaussian", "calib.teach"},
    "runtime.commands.pick": {"calib.support"},
}
"""The arrows that run up: a part is taught only when somebody asks for it. Each is an import inside a function."""


def modules() -> dict[str, Path]:
    """Every module of the project by its name without ``regad.``."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, bool]]:
    """Yield the modules of the project that a module imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("regad."):
                    yield alias.name.removeprefix("regad."), id(node) in top
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            elif node.module and f"{node.module}.".startswith("regad."):
                base = node.module.removeprefix("regad").removeprefix(".")
            else:
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                yield (inner if inner in known else base), id(node) in top


def room_of(module: str) -> str:
    """The room of a module: the longest name in `LAYERS` that it begins with. Raises KeyError for none."""
    rooms = {room for layer in LAYERS for room in layer}
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        room = ".".join(parts[:length])
        # "runtime" is a face, not a room for stray modules: each module of runtime/ is placed by name.
        if room in rooms and (room != "runtime" or module == "runtime"):
            return room
    raise KeyError(module)


def arrows() -> dict[str, set[tuple[str, bool]]]:
    """Every module with what it imports of the project."""
    known = modules()
    return {name: {pair for pair in imports(name, path, known) if pair[0] != name} for name, path in known.items()}


def faults() -> list[str]:
    """One line for each arrow that runs up or sideways, and each module without a room."""
    floor = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    found: list[str] = []
    for name, targets in arrows().items():
        try:
            mine = room_of(name)
        except KeyError:
            found.append(f"{name} has no room in LAYERS")
            continue
        for target, at_top in sorted(targets):
            try:
                theirs = room_of(target)
            except KeyError:
                found.append(f"{name} imports {target or 'regad'}, which has no room in LAYERS")
                continue
            if theirs == mine or floor[theirs] < floor[mine]:
                continue
            if target not in TEACHING.get(name, ()):
                found.append(f"{name} imports {target}: {mine} may not import {theirs}")
            elif at_top:
                found.append(f"{name} imports {target} at its top; only inside a function")
    return found


def circles() -> list[list[str]]:
    """The groups of modules that import each other, lazily or not, except through `TEACHING`."""
    graph = {name: {t for t, _ in pairs if t not in TEACHING.get(name, ())} for name, pairs in arrows().items()}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in graph.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    reached = {name: reach(name) for name in graph}
    groups = {tuple(sorted(o for o in reached[n] if n in reached.get(o, ()))) for n in graph if n in reached[n]}
    return [list(group) for group in sorted(groups)]


def main() -> int:
    """Print the layers, from the roof down, and the faults; 1 if there are any."""
    counts: dict[str, int] = {}
    wrong = faults()
    for name in modules():
        room = name if f"{name} has no room in LAYERS" in wrong else room_of(name)
        counts[room] = counts.get(room, 0) + 1
    for number, layer in reversed(list(enumerate(LAYERS))):
        print(f"{number:2}  " + "   ".join(f"{room} ({counts.get(room, 0)})" for room in layer))
    print(f"{sum(counts.values())} modules; up, inside a function: " + ", ".join(sorted(TEACHING)))
    wrong += [f"circle: {' <-> '.join(group)}" for group in circles()]
    for line in wrong:
        print(f"fault: {line}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
