"""What a device's library raises while it works becomes one error of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import DeviceError

__all__ = ["device_errors"]

_MEMORY_FAILURE = re.compile(r"memory|alloc", re.IGNORECASE)


@contextmanager
def device_errors(
    name: str, is_theirs: Callable[[Exception], bool], reason: Callable[[Exception], str]
) -> Iterator[None]:
    """Turn what the library of the backend ``name`` raises into a DeviceError.

    ``is_theirs`` says whether an exception is the library's; ``reason`` gives its words in one line.
    """
    try:
        yield
    except Exception as error:
        if not is_theirs(error):
            raise
        why = reason(error)
        memory = _MEMORY_FAILURE.search(why)
        remedy = "close other programs or judge fewer images at once" if memory else "check it with regad-doctor"
        raise DeviceError(f"{name} failed: {why}", remedy=remedy, code="memory" if memory else "failed") from error
