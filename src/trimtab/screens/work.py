"""The folder that a screen writes: what it holds when it ends, and the parts that it works on until then.

Nothing that a screen did not write is ever deleted or overwritten.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from trimtab.errors import InputError, Problem

REPORT = "report.json"
ROWS = ("kept.parquet", "excluded.parquet", "findings.jsonl")
OUTPUTS = (*ROWS, REPORT, "report.html")
WORK = ".trimtab-parts"
"""Unfinished work, under the output folder; a folder of that name without the mark is somebody else's."""
_MARK = "written-by-trimtab-screen"
_PARTS = ("rows", "unpacked", "against", "reference")
_REPORT_KEYS = {"data", "findings", "outcome", "policy"}


def open_work(out: Path) -> Path:
    """Return the absolute folder for unfinished work under `out`, made or found; what an earlier call left stays.

    Absolute, since the processes of a cluster run in folders of their own. Raises InputError when something else
    has its name, and when the path of `out` is not UTF-8.
    """
    work = out.absolute() / WORK
    _refuse_other_bytes(out)
    marked = (work / _MARK).is_file()
    if work.is_symlink() or (work.exists() and not work.is_dir()) or (_holds_any(work) and not marked):
        message = "holds something that no screen wrote"
        raise InputError(
            Problem("screen.work", str(work), message, "Move it, or choose another folder with -o")
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / _MARK).touch()
    except OSError as error:
        fix = "Choose another folder with -o"
        raise InputError(
            Problem("screen.work", str(work), f"cannot be made ({error.strerror})", fix)
        ) from error
    return work


def _holds_any(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def _refuse_other_bytes(out: Path) -> None:
    try:
        str(out.absolute()).encode()
    except UnicodeEncodeError as error:
        place = ascii(str(out))
        fix = "Choose another folder with -o"
        raise InputError(Problem("screen.output-name", place, "has a name that is not UTF-8", fix)) from error


def close_work(work: Path, *files: str) -> None:
    """Remove the work folder: the parts, `files` and the mark, and the folder if nothing else is in it."""
    for name in _PARTS:
        shutil.rmtree(work / name, ignore_errors=True)
    for name in files:
        (work / name).unlink(missing_ok=True)
    if [path.name for path in work.iterdir()] == [_MARK]:
        (work / _MARK).unlink()
        work.rmdir()


def remove_old(out: Path) -> None:
    """Remove what an earlier screen left in `out`, so that no old verdict stands when a new one fails.

    Raises InputError, before anything is removed, for files of the names of OUTPUTS that no screen wrote.
    """
    there = [name for name in OUTPUTS if (out / name).exists()]
    foreign = REPORT in there and not _is_report(out / REPORT)
    # A screen that was cut off leaves some of its files, and its mark.
    ours = is_screened(out) or REPORT in there or (out / WORK / _MARK).is_file()
    if there and (foreign or not ours):
        place = str(out / (REPORT if foreign else there[0]))
        fix = "Move it, or choose another folder with -o"
        raise InputError(
            Problem("screen.not-ours", place, "would be overwritten, and no screen wrote it", fix)
        )
    for name in there:
        (out / name).unlink()


def _is_report(path: Path) -> bool:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.keys() >= _REPORT_KEYS


def screened_before(out: Path) -> str:
    """Return the data that the report in `out` is of; nothing where there is none."""
    report = out / REPORT
    return str(json.loads(report.read_bytes())["data"]) if _is_report(report) else ""


def is_screened(folder: Path) -> bool:
    """Whether a screen wrote its rows and findings to `folder`."""
    return all((folder / name).is_file() for name in ROWS)
