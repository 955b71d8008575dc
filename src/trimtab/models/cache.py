"""The user's cache: where a converted model is kept between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import InputError, Problem


def cache_folder() -> Path:
    """Return `$TRIMTAB_CACHE`, or `trimtab` in the user's cache folder."""
    named = os.environ.get("TRIMTAB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(named) if named else Path(base) / "trimtab"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over the names and SHA-256 of the files in `folder`, in order of name."""
    lines = [f"{file_digest(p)}  {p.name}" for p in sorted(folder.glob(pattern)) if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` at the end, or nothing if the work is cut short.

    Two processes may race: the first to finish wins, the other's copy is thrown away.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        fix = "Choose another folder with TRIMTAB_CACHE, or free space."
        raise InputError(Problem("cache.not-writable", str(target.parent), str(error), fix)) from error
    try:
        yield temporary
        if not target.exists():
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
