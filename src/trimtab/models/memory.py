"""Keeps memory that a model frees for its next layer, where the C library would give it back each time, and gives it back now and then."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

# From glibc's malloc.h; see mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
KEPT, GROWN_BY = 1 << 30, 1 << 26  # bytes that may lie free at the end of the heap, and by which it grows


def keep_freed_memory() -> bool:
    """Let this process keep large blocks that it frees; returns whether it does so now.

    A block of logits is a hundred megabytes. Taken from the system anew it comes as pages of zeros, which is a tenth of
    the time of training on a processor. Only glibc is told, and only what the environment (`MALLOC_…_`) does not set.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    settings = {
        "MALLOC_MMAP_MAX_": (MMAP_MAX, 0),
        "MALLOC_TRIM_THRESHOLD_": (TRIM_THRESHOLD, KEPT),
        "MALLOC_TOP_PAD_": (TOP_PAD, GROWN_BY),
    }
    told = [mallopt(*pair) for name, pair in settings.items() if name not in os.environ]
    return all(answer == 1 for answer in told)


def give_back_memory() -> None:
    """Give the pages that lie free in this process back to the system, also those between blocks in use.

    What is kept for the next layer is cut up by what stays: without this, training holds more with every step.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
