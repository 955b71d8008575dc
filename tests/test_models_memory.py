"""Memory: blocks that were freed are used again, where the C library can be told so."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from trimtab.models.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "kept" else False
for _ in range(8):
    block = b"x" * (64 << 20)
    del block
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(how: str, **environment: str) -> tuple[bool, int]:
    """Return whether memory is kept, and how many pages were asked of the system for eight blocks of 64 MB in turn."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    run = [sys.executable, "-c", FAULTS, how]
    out = subprocess.run(run, env=clean | environment, capture_output=True, text=True, check=True).stdout
    kept, count = out.split()
    return kept == "True", int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_blocks_that_were_freed_are_used_again() -> None:
    pages = (64 << 20) // os.sysconf("SC_PAGE_SIZE")
    kept, found = faults("kept")
    told, anew = faults("as it is")
    assert kept
    assert not told
    assert anew - found > 5 * pages  # seven of eight blocks, where pages are small


GIVEN_BACK = """
from trimtab.models.memory import give_back_memory, keep_freed_memory
def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
keep_freed_memory()
blocks = [b"x" * (1 << 20) for _ in range(256)]
del blocks[::2]
before = held()
give_back_memory()
print(before - held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_lies_free_between_blocks_is_given_back() -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    run = [sys.executable, "-c", GIVEN_BACK]
    kilobytes = int(subprocess.run(run, env=clean, capture_output=True, text=True, check=True).stdout)
    assert kilobytes > 100 << 10  # of 128 MB that are free


def test_what_the_environment_says_of_memory_stays() -> None:
    everything = {"MALLOC_MMAP_MAX_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_TOP_PAD_": "0"}
    told = faults("as it is", **everything)[1]
    assert faults("kept", **everything)[1] == pytest.approx(told, rel=0.2)
