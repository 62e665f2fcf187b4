"""Arrays that the compiled scorer reads in place: aligned, with zeros behind their end; and keeping the heap small."""

from __future__ import annotations

import ctypes
import math
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["PADDING", "is_padded", "padded", "padded_empty", "share_heap", "trim"]

_ALIGNMENT = 64
PADDING = 64
"""Bytes behind an array's end that may be read (and are multiplied by zero)."""
_M_ARENA_MAX = -8  # glibc's malloc.h


def padded_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of ``shape`` with undefined values, on a cache line, with `PADDING` zero bytes behind it."""
    wanted = np.dtype(dtype)
    size = math.prod(shape) * wanted.itemsize
    memory = np.empty(size + PADDING + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    memory[start + size :] = 0
    return memory[start : start + size].view(wanted).reshape(shape)


def is_padded(array: NDArray[Any]) -> bool:
    """Whether an array is contiguous and has `PADDING` zero bytes of its own memory behind it."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not array.flags.c_contiguous or not owner.flags.c_contiguous:
        return False
    memory = owner.reshape(-1).view(np.uint8)
    end = array.ctypes.data + array.nbytes - owner.ctypes.data
    behind = memory[end : end + PADDING]
    return len(behind) == PADDING and not behind.any()


def padded(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself if it `is_padded`, else a copy that is."""
    if is_padded(array):
        return array
    copy = padded_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def trim() -> None:
    """Give freed memory back to the system where the C library can (glibc): loading leaves tens of megabytes behind."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def share_heap() -> None:
    """Let the threads that start from now on share one heap (glibc), for the rest of the process.

    Arrays that are made in one thread and freed in another leave holes in the first one's heap: with a heap for each
    thread the process grows for hours.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
