"""Keeps memory that a model frees for its next layer, where the C library would give it back to the system each time."""

from __future__ import annotations

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
