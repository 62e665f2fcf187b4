"""Put a state dict from a file into a module, or say in one line why it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from regad.runtime.errors import InputError

__all__ = ["load_state"]

_COUNTER = "num_batches_tracked"


def _listed(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    wanted: Callable[[str], bool] = lambda name: True,
    ignored: tuple[str, ...] = (),
) -> None:
    """Copy ``state`` into those tensors of ``module`` whose name is ``wanted``.

    ``source`` names the file in errors; keys of ``state`` that begin with one of ``ignored`` are skipped, as are
    the counters of batch norm, which old files lack. Raises InputError when a tensor is missing, has
    another shape or is not finite, and when ``state`` holds a tensor that the module lacks.
    """
    own = {name: tensor for name, tensor in module.state_dict().items() if wanted(name)}
    required = [name for name in own if not name.endswith(_COUNTER)]
    missing = [name for name in required if name not in state]
    if missing:
        raise InputError(f"{source} lacks {len(missing)} of {len(required)} tensors: {_listed(missing)}")
    unknown = [name for name in state if name not in own and not name.startswith(ignored)]
    if unknown:
        raise InputError(f"{source} holds tensors this model lacks: {_listed(unknown)}; is it another model?")
    for name in required:
        got, expected = tuple(state[name].shape), tuple(own[name].shape)
        if got != expected:
            raise InputError(f"{source}: {name} is {list(got)}; expected {list(expected)}")
        if not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"{source}: {name} holds values that are not finite; the file is damaged")
    with torch.no_grad():
        for name, tensor in own.items():
            if name in state:
                tensor.copy_(state[name])
