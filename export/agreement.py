"""Do two artifacts decide alike? Each teaches and judges a labelled folder by itself; their verdicts are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.calib.folder import teach_folder
from regad.runtime.backends.table import open_backend
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.spec import Dtype
from regad.runtime.imaging.reading import read_picture
from regad.runtime.model import Model
from regad.runtime.text import Say, noted, shown, unsaid
from regad.train.data.layouts import list_categories, test_items

__all__ = ["LIMITS", "Agreement", "Limits", "agreement_table", "as_json", "compare_decisions", "require_agreement"]


@dataclass(frozen=True)
class Limits:
    """The least share of equal verdicts, and the most that the AUROC may fall; both over all categories."""

    agreement: float
    auroc_loss: float

    def __post_init__(self) -> None:
        if not 0 <= self.agreement <= 1:
            raise InputError(f"--min-agreement is {self.agreement}; expected a share between 0 and 1, like 0.995")
        if not 0 <= self.auroc_loss <= 1:
            raise InputError(f"--max-auroc-loss is {self.auroc_loss}; expected a number between 0 and 1, like 0.002")


LIMITS: dict[Dtype, Limits] = {"fp16": Limits(0.995, 0.002), "int8": Limits(0.95, 0.01)}
"""Where nothing else is asked for."""


@dataclass(frozen=True)
class Agreement:
    """One category judged by two detectors, each taught from the same images with its own statistics and threshold.

    ``agreed`` of ``images`` verdicts are equal; ``score_change`` is the largest relative difference of a score. An
    AUROC is None where the folder has one class only.
    """

    category: str
    shot: int
    images: int
    agreed: int
    score_change: float
    reference_auroc: float | None
    auroc: float | None


def compare_decisions(
    reference: Artifact,
    candidate: Artifact,
    data: Path,
    shot: int,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
    say: Say = unsaid,
) -> list[Agreement]:
    """Judge every category of ``data`` (MVTec layout; a single category's folder will do) with both artifacts.

    Runs on the CPU; ``say`` receives what is odd about the images. Raises InputError for a folder of another layout
    (before anything is judged), or too few good images for ``shot``.
    """
    # Here, since it takes scikit-learn, a second to import, which an export without --verify-data does not need.
    from regad.train.evaluation.metrics import auroc

    alone = (data / "train" / "good").is_dir()
    folders = [data] if alone else [data / name for name in list_categories(data, say)]
    tests = [test_items(folder, say) for folder in folders]
    results = []
    with _opened(reference) as one, _opened(candidate) as other:
        for folder, items in zip(folders, tests, strict=True):
            progress(f"comparing decisions on {shown(folder.name)}")
            labels = np.array([item.label for item in items], np.bool_)
            paths = [item.path for item in items]
            expected, verdicts = _judge(one, folder, paths, shot, seed, say)
            got, others = _judge(other, folder, paths, shot, seed)
            results.append(
                Agreement(
                    category=shown(folder.name),
                    shot=shot,
                    images=len(items),
                    agreed=int((verdicts == others).sum()),
                    score_change=_change(expected, got),
                    reference_auroc=auroc(labels, expected),
                    auroc=auroc(labels, got),
                )
            )
    return results


def _opened(artifact: Artifact) -> Model:
    return Model(artifact, open_backend(artifact, "cpu"))


def _judge(
    model: Model, folder: Path, paths: Sequence[Path], shot: int, seed: int, say: Say = unsaid
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Teach, then score and judge: float32 [N] and bool [N]."""
    results, notes = [], []
    detector = Detector(model)
    teach_folder(detector, folder / "train" / "good", shot=shot, seed=seed, say=say)
    for path in paths:
        picture = read_picture(path)
        notes += [(shown(path), note) for note in picture.notes]
        results.append(detector.predict(picture.image))
    for line in noted(notes):
        say(line)
    return (
        np.array([result.score for result in results], np.float32),
        np.array([result.anomalous for result in results], np.bool_),
    )


def _change(expected: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """The largest relative change of a score. Images that show no part, which both refuse, have none to change."""
    scored = np.isfinite(expected) | np.isfinite(got)
    return float(np.abs(got[scored] / expected[scored] - 1).max(initial=0.0))


def _totals(results: Sequence[Agreement]) -> tuple[float, float | None]:
    """Share of equal verdicts over all images, and the mean fall of the AUROC over the categories that have one."""
    share = sum(result.agreed for result in results) / sum(result.images for result in results)
    falls = [
        result.reference_auroc - result.auroc
        for result in results
        if result.reference_auroc is not None and result.auroc is not None
    ]
    return share, sum(falls) / len(falls) if falls else None


def agreement_table(results: Sequence[Agreement], dtype: Dtype) -> str:
    """Lay the comparison out, one row a category, then all of them."""
    lines = [f"{'category':<22}{'equal verdicts':>16}{'AUROC fp32':>12}{f'AUROC {dtype}':>12}{'score change':>14}"]
    for result in results:
        share = f"{result.agreed}/{result.images}"
        areas = ["-" if area is None else f"{area:.4f}" for area in (result.reference_auroc, result.auroc)]
        lines.append(f"{result.category:<22}{share:>16}{areas[0]:>12}{areas[1]:>12}{result.score_change:>14.1e}")
    share_of_all, fall = _totals(results)
    loss = "not measured (one class only)" if fall is None else f"{fall:+.4f}"
    lines.append(f"all: {share_of_all:.2%} of the verdicts equal, mean AUROC loss {loss}")
    return "\n".join(lines)


def as_json(results: Sequence[Agreement], limits: Limits) -> dict[str, Any]:
    """The comparison as it stands in the manifest."""
    share, fall = _totals(results)
    return {
        "agreement": share,
        "auroc_loss": fall,
        "limits": asdict(limits),
        "categories": [asdict(result) for result in results],
    }


def require_agreement(results: Sequence[Agreement], limits: Limits, dtype: Dtype) -> None:
    """Raise RegadError if too many verdicts changed or the AUROC fell too far."""
    share, fall = _totals(results)
    faults = []
    if share < limits.agreement:
        faults.append(f"{share:.2%} of the verdicts equal fp32's, {limits.agreement:.2%} are wanted (--min-agreement)")
    if fall is not None and fall > limits.auroc_loss:
        faults.append(f"the AUROC falls by {fall:.4f}, {limits.auroc_loss:.4f} are allowed (--max-auroc-loss)")
    if faults:
        raise RegadError(f"{dtype} changes the decisions: {'; '.join(faults)}; nothing was written")
