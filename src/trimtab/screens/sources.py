"""Sources: any number of files of any size, cut into units of whole lines that are read one at a time, anywhere.

A JSON lines file is cut where it lies. Everything else (gzip, CSV, Parquet, a JSON list, what Daft or the
datasets library read from far away) is first unpacked into JSON lines in the work folder, once, by whoever plans
the file. A unit knows the SHA-256 of its bytes: what changes between planning and reading is seen.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, cast

from trimtab.engine import load_daft, load_tables, spread_out
from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.records._rows import os_error, unusable
from trimtab.records._text import MAX_LINE, _json_line, _lines, _too_long
from trimtab.records.read import Item, Rejected, iter_rows
from trimtab.records.shapes import short
from trimtab.screens.inputs import (
    KNOWN,
    LINES,
    File,
    Listing,
    is_dataset_of_hub,
    is_remote,
    list_files,
    printable,
    suffix_of,
)

UNIT = 4 * 2**20
"""Bytes of a unit; a longer line is one of its own."""
MOST_UNPACKED, FREE_UNPACKED = 100, 2**30
"""A packed file may unpack to 1 GiB, or to a hundred times its size: text comes to ten times."""
_PIECE = 2**20


@dataclass(frozen=True)
class Unit:
    """A run of whole lines: bytes `start` to `stop` of `path`, shown as `file`, the first being number `line`.

    `items` says that each line is a place and a row, or a place and a reason, that another reader gave.
    """

    number: int
    file: str
    path: str
    start: int
    stop: int
    line: int
    digest: str
    items: bool = False

    def to_json(self) -> str:
        """Return the unit as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Source:
    """One file as it was when it was planned; size and time are 0 for what is far away."""

    file: str
    path: str
    size: int
    changed: int


def plan(files: Iterable[File], work: Path) -> tuple[list[Unit], list[Source]]:
    """Return the units of all files, in order, and the files as they are now; copies go to the folder `work`.

    Raises InputError for what cannot be read as a whole.
    """
    sources = [source_of(file) for file in files]
    items = [json.dumps([number, asdict(source)]) for number, source in enumerate(sources)]
    planned = dict(spread_out(partial(_plan_file, str(work)), items))
    rows = [row for number in range(len(items)) for row in json.loads(planned[number])]
    return [Unit(number=number, **row) for number, row in enumerate(rows)], sources


def check_unchanged(sources: Iterable[Source]) -> None:
    """Raise InputError that names every file that is not what it was when it was planned."""
    problems = []
    for source in sources:
        try:
            same = is_remote(source.path) or source_of(File(source.file, source.path)) == source
        except InputError:
            same = False
        if not same:
            problems.append(_changed(source.file))
    if problems:
        raise InputError(problems)


def _changed(file: str) -> Problem:
    fix = "Let what writes it end, and start again"
    return Problem("screen.changed", file, "was changed while it was read", fix)


def files_at(data: str, out: Path | None = None) -> Listing:
    """Return the files of whatever `data` names, here or far away, but for what `list_files` leaves out."""
    if is_dataset_of_hub(data):
        return Listing([File(data, data)])
    return _remote_files(data) if is_remote(data) else list_files(data, out)


def all_files(names: Iterable[str], out: Path) -> list[Listing]:
    """Return what each of `names` stands for; raises InputError with the problems of all of them."""
    listings, problems = [], []
    for name in names:
        try:
            listings.append(files_at(name, out))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return listings


def near_files(listing: Listing, folder: Path) -> Iterator[tuple[File, str]]:
    """Yield each file, and where `iter_rows` can read it: itself, or a copy in `folder`, made when it is its turn."""
    for number, file in enumerate(listing.files):
        yield file, _local(source_of(file), folder / f"{number:05}.jsonl")


def rows_of(listing: Listing, folder: Path) -> Iterator[Item]:
    """Yield every row of files as it stands, each with its file in its place; copies go to `folder`."""
    for file, path in near_files(listing, folder):
        with called({path: file.name}):
            yield from ((f"{file.name}, {place}", row) for place, row in iter_rows(path))


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """Let errors at paths, which may be those of copies, name the files that they are of."""
    try:
        yield
    except InputError as error:
        raise InputError([replace(p, place=names.get(p.place, p.place)) for p in error.problems]) from error


def _remote_files(data: str) -> Listing:
    daft = load_tables()
    with _far_away(data):
        try:
            found = sorted(daft.from_glob_path(data).to_pydict()["path"])
        except daft.exceptions.DaftCoreException as error:
            if "Need at least 1 MicroPartition" not in str(error):  # how Daft says that nothing matches
                raise
            found = []
    known = [File(path, path) for path in found if suffix_of(path)]
    if not known:
        raise unusable("records.missing", data, "holds no file of a known extension", ", ".join(KNOWN))
    return Listing(known, {path: "an unknown extension" for path in found if not suffix_of(path)})


def source_of(file: File) -> Source:
    """Return a file as it is now. Raises InputError when the system does not tell."""
    if is_remote(file.path):
        return Source(file.name, file.path, 0, 0)
    try:
        about = Path(file.path).stat()
    except OSError as error:
        raise os_error(error, printable(file.path)) from error
    folder = Path(file.path).is_dir()
    return Source(file.name, file.path, 0 if folder else about.st_size, about.st_mtime_ns)


def _plan_file(work: str, item: str) -> str:
    """Return the units of one file as JSON; unpacks it first where it is not JSON lines on a disk."""
    number, fields = json.loads(item)
    source = Source(**fields)
    path, items = Path(source.path), False
    if suffix_of(source.path) not in LINES or is_remote(source.path):
        path = Path(work) / "unpacked" / f"{number:05}.jsonl"
        items = _unpack(source, path)
    try:
        with path.open("rb") as file:
            cut = list(_cut(file))
    except OSError as error:
        raise os_error(error, source.file) from error
    shown = {"file": source.file, "path": str(path), "items": items}
    names = ("start", "stop", "line", "digest")
    return json.dumps([{**shown, **dict(zip(names, values, strict=True))} for values in cut])


def _cut(file: IO[bytes]) -> Iterator[tuple[int, int, int, str]]:
    """Yield start, stop, first line and digest of each run of whole lines."""
    start, line = 0, 1
    while piece := file.read(UNIT):
        digest, size, lines = hashlib.sha256(), 0, 0
        while piece:
            digest.update(piece)
            size, lines = size + len(piece), lines + piece.count(b"\n")
            piece = b"" if piece.endswith(b"\n") else file.readline(_PIECE)
        yield start, start + size, line, digest.hexdigest()
        start, line = start + size, line + lines


def _unpack(source: Source, path: Path) -> bool:
    """Write a source as JSON lines; return whether they are items of another reader. Not done twice."""
    done = path.with_suffix(".done")
    items = suffix_of(source.path).removesuffix(".gz") not in LINES
    mark = json.dumps(asdict(source))
    if not is_remote(source.path) and done.is_file() and done.read_text() == mark:
        return items
    done.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if items:
        _write_items(source, path)
    else:
        _copy(source, path)
    done.write_text(mark)
    return items


def _write_items(source: Source, path: Path) -> None:
    near = _local(source, path)
    with path.open("wb") as out, called({near: source.file}):
        size = (
            0 if is_dataset_of_hub(near) or Path(near).is_dir() else source.size or Path(near).stat().st_size
        )
        lines = _item_lines(near)
        # What the datasets library holds is not packed.
        out.writelines(_bounded(lines, source.file, lambda: size) if size else lines)


def _local(source: Source, path: Path) -> str:
    """Return where a file lies as `iter_rows` reads it; else a copy beside `path`: readers seek, and know endings."""
    suffix = suffix_of(source.path)
    packed = suffix.endswith(".gz") and suffix.removesuffix(".gz") not in LINES
    if is_dataset_of_hub(source.path) or not (is_remote(source.path) or packed):
        return source.path
    near = path.with_suffix(suffix.removesuffix(".gz"))
    near.parent.mkdir(parents=True, exist_ok=True)
    _copy(source, near)
    return str(near)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if not is_remote(path):
        with Path(path).open("rb") as near:
            yield near
        return
    with _far_away(path), load_daft().File(path).open() as file:
        yield file


@contextmanager
def _far_away(address: str) -> Iterator[None]:
    """Turn what a store or the network refuses into one error, which Daft would log as well."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    except (TrimtabError, EOFError, zlib.error, gzip.BadGzipFile):
        raise
    except Exception as error:  # every store has its own; its words are passed on
        causes = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        why = short(causes[0] if len(causes) == 1 else f"{causes[0]}: {causes[-1]}", 240)
        fix = "Check the address, your rights there (AWS_… variables for s3://) and the network"
        raise unusable("records.unreadable", address, f"cannot be read ({why})", fix) from error
    finally:
        logging.getLogger().removeHandler(handler)


def _item_lines(path: str) -> Iterator[bytes]:
    for place, row in iter_rows(path):
        # An open quote swallows lines, all of which the row's own place names.
        value = [row.place, row.code, row.reason, row.text] if isinstance(row, Rejected) else [place, row]
        yield json.dumps(value, default=_no_text).encode() + b"\n"


def _no_text(value: object) -> dict[str, str]:
    """Return what stands for bytes, dates and the like: as a string they would pass for text."""
    return {"type": type(value).__name__}


def _copy(source: Source, path: Path) -> None:
    """Copy a file, from wherever it is, and unpack it if it is gzip."""
    try:
        with path.open("wb") as out, _opened(source.path) as file:
            if source.path.lower().endswith(".gz"):
                pieces = iter(partial(gzip.GzipFile(fileobj=file).read, _PIECE), b"")
                # How large a file far away is shows when it is read.
                out.writelines(_bounded(pieces, source.file, lambda: source.size or file.tell()))
            else:
                out.writelines(iter(partial(file.read, _PIECE), b""))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"is not whole gzip data ({error})"
        raise unusable("records.gzip", source.file, message, "Copy or compress it again") from error
    except OSError as error:
        raise os_error(error, source.file) from error


def _bounded(pieces: Iterable[bytes], name: str, size: Callable[[], int]) -> Iterator[bytes]:
    """Yield `pieces` of what is unpacked; an error when they become more than a file of `size()` bytes may hold."""
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > max(FREE_UNPACKED, MOST_UNPACKED * size()):
            message = f"unpacks to more than {written / 2**30:.1f} GiB from {size():,} bytes"
            fix = "If it is no bomb, unpack it yourself and name the .jsonl file"
            raise unusable("screen.unpacks-too-far", name, message, fix)
        yield piece


def _window(file: IO[bytes], unit: Unit) -> IO[bytes]:
    """Return the bytes of one unit as a file to read lines from; an error when they are not what was planned."""
    if unit.stop - unit.start > MAX_LINE:
        return cast("IO[bytes]", _Window(file, unit))
    file.seek(unit.start)
    data = file.read(unit.stop - unit.start)
    if hashlib.sha256(data).hexdigest() != unit.digest:
        raise InputError(_changed(unit.file))
    return io.BytesIO(data)


class _Window:
    """A unit that is one line, too long to be held: it is read piece by piece."""

    def __init__(self, file: IO[bytes], unit: Unit) -> None:
        self._file, self._unit, self._left = file, unit, unit.stop - unit.start
        self._digest = hashlib.sha256()
        file.seek(unit.start)

    def readline(self, size: int) -> bytes:
        """Return the next line, or `size` bytes of it."""
        line = self._file.readline(min(size, self._left))
        self._left -= len(line)
        self._digest.update(line)
        if not line and (self._left or self._digest.hexdigest() != self._unit.digest):
            raise InputError(_changed(self._unit.file))
        return line


def unit_rows(unit: Unit) -> Iterator[tuple[int, Item, bytes | None]]:
    """Yield line, (place, row or reason) and the bytes of every row of a unit that is not blank.

    The bytes are those of the row as JSON where another reader gave it; it gave the text of what it rejected, if it had it.
    """
    try:
        with Path(unit.path).open("rb") as file:
            for offset, line in _lines(_window(file, unit), Path(unit.file)):
                number = unit.line + offset - 1
                place = f"line {number}"
                if line is None:
                    yield number, (place, _too_long(place)), None
                elif unit.items:
                    place, row = _item(line)
                    yield number, (place, row), None if isinstance(row, Rejected) else _row_alone(line, place)
                elif line.strip():
                    yield number, (place, _json_line(line, place)), line
    except OSError as error:
        raise os_error(error, unit.file) from error


def _row_alone(line: bytes, place: str) -> bytes:
    """Return an item without its place: the row as JSON."""
    return line.removeprefix(f"[{json.dumps(place)}, ".encode()).removesuffix(b"]\n") + b"\n"


def _item(line: bytes) -> Item:
    place, *rest = json.loads(line)
    return place, (rest[0] if len(rest) == 1 else Rejected(place, *rest))
