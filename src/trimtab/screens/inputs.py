"""Inputs: the files that a name, a folder, a pattern or an address stands for, and what of it is left out, and why.

A file is called by its path from the folder that was named, or that the pattern begins in: two files of one name
in two folders differ.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.records._rows import os_error, unusable
from trimtab.records._tables import is_hub
from trimtab.screens.work import OUTPUTS, WORK, is_screened

LINES = (".jsonl", ".ndjson")
_PLAIN = (*LINES, ".json", ".csv")
KNOWN = (*_PLAIN, *(f"{suffix}.gz" for suffix in _PLAIN), ".parquet")
_SAVED = ("state.json", "dataset_dict.json")
_MAGIC = frozenset("*?[")
_OTHER_FOLDER = "Choose another folder with -o"


@dataclass(frozen=True)
class File:
    """A file or an address: what it is called, and where it is."""

    name: str
    path: str


@dataclass
class Listing:
    """Files in the order in which they are read; and by name, why something that was met is left out."""

    files: list[File] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def is_remote(path: str) -> bool:
    """Whether `path` is an address: nothing else uses the network."""
    return "://" in path


def is_dataset_of_hub(path: str) -> bool:
    """Whether `path` is read by the datasets library: `hf://ORG/NAME`, not a file in one."""
    return is_hub(path) and not path.startswith("hf://datasets/")


def suffix_of(path: str) -> str:
    """Return the known ending of a file's name in small letters; nothing when it is not known."""
    return next((suffix for suffix in KNOWN if path.lower().endswith(suffix)), "")


def printable(path: str) -> str:
    """Return a path as text: a name that is not UTF-8 has its bytes escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def list_files(data: str, out: Path | None = None) -> Listing:
    """Return the files of a local file, folder, folder that datasets saved or pattern (`*`, `?`, `[…]`, `**`).

    What lies under the folder `out`, which is to be written, is left out of folders and patterns; so is what other
    screens wrote. Raises InputError when nothing is left, and when a file that `out` will hold is named.
    """
    path, pattern = Path(data), _pattern(data)
    if pattern:
        walk = _Walk(pattern[0], out)
        walk.matches(data, pattern[1])
    elif path.is_dir() and not _is_saved(path):
        walk = _Walk(path, out)
        walk.folder(path)
    else:
        _refuse_own(path, out)
        try:
            path.stat()
        except OSError as error:
            raise os_error(error, printable(data)) from error
        return Listing([File(printable(path.absolute().name), str(path.absolute()))])
    if not walk.listing.files:
        code, message = (
            ("records.missing", "matches no file") if pattern else ("records.folder", "holds no file")
        )
        fix = f"Known are {', '.join(KNOWN)}, or a folder that datasets saved"
        raise unusable(code, data, f"{message} of a known extension{_but(walk.listing.left_out)}", fix)
    return walk.listing


def told_left_out(left_out: Mapping[str, str]) -> list[str]:
    """Return one line for each reason: how many were left out for it, and the first three."""
    reasons = Counter(left_out.values())
    lines = []
    for why, n in reasons.items():
        names = [name for name, reason in left_out.items() if reason == why][:3]
        lines.append(f"not read, {why}: {', '.join(names)}" + (f" and {n - 3} more" if n > 3 else ""))
    return lines


def _but(left_out: Mapping[str, str]) -> str:
    return f" ({'; '.join(told_left_out(left_out))})" if left_out else ""


def _pattern(data: str) -> tuple[Path, str] | None:
    """Return the folder that a pattern begins in, and the rest; None for a name that is there, or is none."""
    parts = Path(data).parts
    first = next(
        (i for i, part in enumerate(parts) if _MAGIC & set(part) and not _is_there(parts[: i + 1])), None
    )
    if first is None:
        return None
    return Path(*parts[:first]), str(Path(*parts[first:]))


def _is_there(parts: tuple[str, ...]) -> bool:
    return os.path.lexists(Path(*parts))


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SAVED)


def _refuse_own(path: Path, out: Path | None) -> None:
    if out and _written_by(_real(path), _real(out)):
        raise unusable("screen.own-output", path, "is what this screen would write itself", _OTHER_FOLDER)


def _written_by(path: Path, out: Path) -> bool:
    return (path.parent == out and path.name in OUTPUTS) or path.is_relative_to(out / WORK)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links go in a circle


class _Walk:
    """Looks at what is in a folder, and sorts it into files and what is left out."""

    def __init__(self, root: Path, out: Path | None) -> None:
        self.listing = Listing()
        self._root, self._out, self._trees = root, _real(out) if out else None, [_real(root)]

    def folder(self, folder: Path) -> None:
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self._leave(folder, f"a folder that cannot be read ({error.strerror})")
            return
        for path in paths:
            if why := self._why_not(path):
                self._leave(path, why)
            elif path.is_dir() and not _is_saved(path):
                self.folder(path)
            else:
                self._take(path)

    def matches(self, data: str, pattern: str) -> None:
        deep = pattern.endswith("**")
        try:
            paths = sorted(self._root.glob(f"{pattern}/*" if deep else pattern))
        except ValueError as error:
            raise unusable(
                "records.pattern", data, f"is no pattern ({error})", "Write ** alone, as in d/**/*.jsonl"
            ) from error
        for path in paths:
            if why := self._why_not_in(path):
                self._leave(path, why)
            elif not path.is_dir() or _is_saved(path):
                self._take(path)
            elif "**" not in pattern:
                self._leave(path, "a folder: name it, or end the pattern in **")

    def _take(self, path: Path) -> None:
        self.listing.files.append(File(self._name(path), str(path.absolute())))

    def _leave(self, path: Path, why: str) -> None:
        self.listing.left_out[self._name(path)] = why

    def _name(self, path: Path) -> str:
        return printable(str(path.relative_to(self._root)))

    def _why_not_in(self, path: Path) -> str:
        """As `_why_not`, of what a pattern found without looking at the folders between."""
        between = [parent for parent in path.parents if parent not in (self._root, *self._root.parents)]
        return self._why_not(path) or next((why for parent in between if (why := _why_no_folder(parent))), "")

    def _why_not(self, path: Path) -> str:
        real = _real(path)
        if self._out and real.is_relative_to(self._out) and not self._trees[0].is_relative_to(self._out):
            return "in the output folder"
        if self._out and _written_by(real, self._out):
            return "what a screen writes to the output folder"
        if not os.path.exists(path):
            return "a broken link"
        if path.is_dir():
            return (self._why_no_link(real) if path.is_symlink() else "") or _why_no_folder(path)
        if not path.is_file():
            return "not a file"
        return "" if suffix_of(path.name) else "an unknown extension"

    def _why_no_link(self, real: Path) -> str:
        """A linked folder is read once, so that no row repeats itself and no circle is walked."""
        if any(real.is_relative_to(tree) or tree.is_relative_to(real) for tree in self._trees):
            return "a link to a folder that is read already"
        self._trees.append(real)
        return ""


def _why_no_folder(folder: Path) -> str:
    return "the output of another screen" if folder.name == WORK or is_screened(folder) else ""
