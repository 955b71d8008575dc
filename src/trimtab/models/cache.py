"""The user's cache: where a converted model is kept between runs."""

from __future__ import annotations

import fcntl
import glob
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

    Two processes may race: the first to finish wins, the other's copy is thrown away. What a killed process left
    behind is removed by the next one. Raises InputError where nothing can be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        temporary, lock = _own_folder(target)
    except OSError as error:
        cached = target.parent.is_relative_to(cache_folder())
        code, other = ("cache.not-writable", "TRIMTAB_CACHE") if cached else ("folder.not-writable", "-o")
        fix = f"Choose another folder with {other}, or free space."
        raise InputError(Problem(code, str(target.parent), str(error), fix)) from error
    try:
        yield temporary
        _become(temporary, target)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def written(folder: Path, code: str, fix: str = "Free space there.") -> Iterator[None]:
    """Turn what the disk refuses while weights are written to `folder` into an InputError of this code."""
    from safetensors import SafetensorError  # what its writer raises for a full disk; it is no OSError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise InputError(Problem(code, str(folder), f"cannot be written ({error})", fix)) from error


def _own_folder(target: Path) -> tuple[Path, int]:
    """Make a folder and lock it; it gets the name by which others may sweep it when the lock is held."""
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    lock = os.open(new, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return new.rename(new.with_name(f".{target.name}{new.name.removeprefix('.new')}")), lock


def _sweep(target: Path) -> None:
    """Remove the temporary folders for `target` whose process is gone: the system freed their locks."""
    for left in target.parent.glob(f".{glob.escape(target.name)}-*"):
        try:
            lock = os.open(left, os.O_RDONLY)
        except OSError:
            continue  # another process removed it just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(lock)


def _become(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)
    except OSError:
        if not target.is_dir():
            raise
