"""Several methods' result files on the same support sets, side by side, wins and losses alike.

Run as a program it prints the tables: ``side_by_side.py NAME=FILE[,FILE...]...``, the first being ours.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from regad.train.evaluation.ablate import Ablation, effects
from regad.train.evaluation.evaluate import Evaluation
from regad.train.evaluation.results import MEASURES, Measure, read_results, summarise
from regad.train.evaluation.tables import Table

__all__ = ["SHOWN", "Methods", "difference_table", "measure_table", "read_methods"]

Methods = Mapping[str, Sequence[Evaluation]]
SHOWN = ("image_auroc", "pixel_auroc", "aupro")
_BEST = " ★"


def read_methods(files: Mapping[str, Sequence[Path]]) -> dict[str, list[Evaluation]]:
    """Read every method's rounds. Exits with a line where two were taught other images at the same round."""
    methods = {name: [one for path in paths for one in read_results(path)] for name, paths in files.items()}
    taught: dict[tuple[str, int, int], tuple[str, object]] = {}
    for name, results in methods.items():
        for one in results:
            key = (one.category, one.shot, one.seed)
            first, support = taught.setdefault(key, (name, one.support))
            if support != one.support:
                sys.exit(f"error: {name} was taught other images than {first} at {key}: judge it with --support-from")
    return methods


def measure_table(methods: Methods, measure: Measure) -> Table:
    """Lay one measure out: a row for each category and shot, a column for each method, the best of a row marked.

    A dash is a category that a method was not run on; a mean is shown only of a method that was run on all of the
    first one's.
    """
    whole = [_categories(results) for results in methods.values()]
    found = [{(s.category, s.shot): s for s in summarise(results)} for results in methods.values()]
    rows, strong = [], set()
    for key in found[0]:
        spreads = [
            None if key not in one or (key[0] is None and own != whole[0]) else one[key].values[measure.field]
            for one, own in zip(found, whole, strict=True)
        ]
        known = [spread.mean for spread in spreads if spread is not None]
        if not known:
            continue
        best = (max(known) if measure.higher else min(known)) if len(known) > 1 else None
        cells = ["-" if s is None else s.percent() + (_BEST if s.mean == best else "") for s in spreads]
        if key[0] is None:
            strong.add(len(rows))
        rows.append((key[0] or "mean", str(key[1]), *cells))
    return Table(("category", "k", *methods), tuple(rows), 1, frozenset(strong))


def _categories(results: Sequence[Evaluation]) -> set[str]:
    return {one.category for one in results}


def difference_table(methods: Methods) -> Table:
    """Lay out the paired differences, the first method less each other, and in how many categories it is ahead.

    Only rounds that both have are paired.
    """
    (ours, mine), *others = methods.items()
    titles = {measure.field: measure.title for measure in MEASURES}
    rows = []
    for name, theirs in others:
        by_key = {(one.category, one.shot, one.seed): one for one in theirs}
        common = [one for one in mine if (one.category, one.shot, one.seed) in by_key]
        pairs = Ablation(name, [(one, by_key[one.category, one.shot, one.seed]) for one in common])
        for shot in sorted({one.shot for one in common}):
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
        print(f"{measure.title} in percent, mean ± standard deviation over support sets; ★ is the best of the row")
        print(measure_table(methods, measure).text() + "\n")
    print("paired differences in percentage points, 95 % interval of Student's t over support sets")
    print(difference_table(methods).text())


if __name__ == "__main__":
    main()
