"""Several methods' result files on the same support sets, side by side, wins and losses alike.

Run as a program it prints the tables: ``side_by_side.py NAME=FILE[,FILE...]...``, the first being ours.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from regad.train.ablate import Ablation, effects
from regad.train.evaluate import Evaluation
from regad.train.results import MEASURES, Measure, read_results, summarise
from regad.train.tables import Table

__all__ = ["SHOWN", "Methods", "difference_table", "measure_table", "read_methods"]

Methods = Mapping[str, Sequence[Evaluation]]
SHOWN = ("image_auroc", "pixel_auroc", "aupro")
_BEST = " *"


def read_methods(files: Mapping[str, Sequence[Path]]) -> dict[str, list[Evaluation]]:
    """Read every method's rounds and keep those that all have. Exits with a line where the support sets differ."""
    rounds = {
        name: {(one.category, one.shot, one.seed): one for path in paths for one in read_results(path)}
        for name, paths in files.items()
    }
    first, *others = rounds
    common = [key for key in rounds[first] if all(key in rounds[other] for other in others)]
    for other in others:
        for key in common:
            if rounds[other][key].support != rounds[first][key].support:
                sys.exit(f"error: {other} was taught other images than {first} at {key}: judge it with --support-from")
    return {name: [found[key] for key in common] for name, found in rounds.items()}


def measure_table(methods: Methods, measure: Measure) -> Table:
    """Lay one measure out: a row for each category and shot, a column for each method, the best of a row marked."""
    summaries = {name: {(s.category, s.shot): s for s in summarise(results)} for name, results in methods.items()}
    rows, strong = [], set()
    for key in next(iter(summaries.values())):
        spreads = [found[key].values[measure.field] for found in summaries.values()]
        known = [spread.mean for spread in spreads if spread is not None]
        if not known:
            continue
        best = max(known) if measure.higher else min(known)
        cells = ["-" if s is None else s.percent() + (_BEST if s.mean == best else "") for s in spreads]
        if key[0] is None:
            strong.add(len(rows))
        rows.append((key[0] or "mean", str(key[1]), *cells))
    return Table(("category", "k", *methods), tuple(rows), 1, frozenset(strong))


def difference_table(methods: Methods) -> Table:
    """Lay out the paired differences, the first method less each other, and in how many categories it is ahead."""
    (ours, mine), *others = methods.items()
    titles = {measure.field: measure.title for measure in MEASURES}
    rows = []
    for name, theirs in others:
        by_key = {(one.category, one.shot, one.seed): one for one in theirs}
        pairs = Ablation(name, [(one, by_key[one.category, one.shot, one.seed]) for one in mine])
        for shot in sorted({one.shot for one in mine}):
            found = effects(pairs, shot)
            cells = []
            for field in SHOWN:
                e = found[field]
                ahead = _ahead(pairs, shot, field)
                interval = e.over_supports if e else None
                bounds = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
                cells.append("-" if e is None else f"{100 * e.mean:+.1f}{bounds}, ahead in {ahead}")
            rows.append((f"{ours} less {name}", str(shot), *cells))
    return Table(("difference", "k", *(titles[field] for field in SHOWN)), tuple(rows))


def _ahead(pairs: Ablation, shot: int, field: str) -> str:
    """In how many of the categories the first is ahead on average, like ``3 of 5``."""
    by_category: dict[str, list[float]] = {}
    for one, other in pairs.pairs:
        new, old = getattr(one, field), getattr(other, field)
        if one.shot == shot and new is not None and old is not None:
            by_category.setdefault(one.category, []).append(new - old)
    return f"{sum(statistics.mean(values) > 0 for values in by_category.values())} of {len(by_category)}"


def main() -> None:
    """Print the tables."""
    files = {}
    for word in sys.argv[1:]:
        name, _, paths = word.partition("=")
        files[name] = [Path(path) for path in paths.split(",")]
    if len(files) < 2:
        sys.exit("error: name two result files or more: side_by_side.py NAME=FILE[,FILE...]...")
    methods = read_methods(files)
    for measure in (measure for measure in MEASURES if measure.field in SHOWN):
        print(f"{measure.title} in percent, mean ± standard deviation over support sets; * is the best of the row")
        print(measure_table(methods, measure).text() + "\n")
    print("paired differences in percentage points, 95 % interval of Student's t over support sets")
    print(difference_table(methods).text())


if __name__ == "__main__":
    main()
