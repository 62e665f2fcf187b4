"""How many convolutions and products are computed in which dtype: what is counted, and what each request must show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from regad.runtime.errors import RegadError
from regad.runtime.formats.encodings import ENCODINGS, Form
from regad.runtime.formats.spec import Dtype

__all__ = ["Counts", "describe", "encoder_counts", "require_counts", "scorer_counts"]

Counts = Mapping[str, Mapping[str, int]]
"""By kind of operation (``convolutions``, ``products``): how many are computed in each dtype."""

_LAYERS: Mapping[Dtype, Counts] = {
    "fp32": {"convolutions": {"fp32": 21}, "products": {"fp32": 6}},
    "fp16": {"convolutions": {"fp16": 21}, "products": {"fp16": 3, "fp32": 3}},
    "int8": {"convolutions": {"int8": 15, "fp32": 6}, "products": {"fp32": 6}},
}
"""What an encoder's layers must show: 15 convolutions of the backbone, two and two products in each STN."""
_BACKBONE = 15
"""Convolutions of the backbone, all that an encoder without STNs has."""
_MIXING: Mapping[str, int] = {"gather": 9, "gridsample": 0}
"""Products by sampler: each of the nine warps mixes the rows it has gathered with one, in the dtype of the rows."""


def encoder_counts(dtype: Dtype, sampler: str, registers: bool = True) -> Counts:
    """Return what an encoder of ``dtype`` written with ``sampler`` must show; without STNs if it does not register."""
    if not registers:
        return {"convolutions": {dtype: _BACKBONE}}
    layers, rows = _LAYERS[dtype], "fp16" if dtype == "fp16" else "fp32"
    products = Counter(layers["products"]) + Counter({rows: _MIXING[sampler]})
    return {**layers, "products": dict(products)}


def scorer_counts(form: Form) -> Counts:
    """Return what a scorer graph must show: float32 whatever the encoder's dtype and however statistics are stored.

    A product a tensor of the statistics, the transposed one of the hybrid form, two for the map, and two that bring f3
    to the grid of f2 where each has a Gaussian of its own.
    """
    groups = zip(form.encodings, form.groups, strict=True)
    tensors = [name for one, levels in groups for name in ENCODINGS[one](1, levels) if not name.startswith("mean")]
    again = 1 if form.first == "hybrid" else 0
    return {"products": {"fp32": len(tensors) + again + 2 * len(form.groups)}}


def describe(counts: Counts) -> str:
    """Lay counts out in one line: ``21 convolutions fp16; 3 products fp16, 3 fp32``."""
    return "; ".join(
        f"{kind} " + ", ".join(f"{count} {dtype}" for dtype, count in sorted(by_dtype.items()))
        for kind, by_dtype in sorted(counts.items())
    )


def require_counts(found: Counts, wanted: Counts, where: str) -> None:
    """Raise RegadError unless ``found`` is ``wanted``: what was asked for is not what ``where`` computes."""
    if found != wanted:
        raise RegadError(
            f"{where} is not of the dtype asked for: it has {describe(found) or 'no convolutions'}; expected "
            f"{describe(wanted)}; nothing was written: report it with the versions of constraints.txt"
        )
