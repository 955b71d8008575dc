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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from trimtab.engine import load_daft, spread_out
from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.records._rows import os_error, unusable
from trimtab.records._tables import is_hub
from trimtab.records._text import MAX_LINE, _json_line, _lines, _too_long
from trimtab.records.read import Item, Rejected, iter_rows
from trimtab.records.shapes import short

UNIT = 4 * 2**20
"""Bytes of a unit; a longer line is one of its own."""
MOST_UNPACKED, FREE_UNPACKED = 100, 2**30
"""A gzip file may unpack to 1 GiB, or to a hundred times its size: text comes to ten times."""
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")
_SAVED = ("state.json", "dataset_dict.json")
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


def plan(data: str, work: Path) -> tuple[list[Unit], list[Source]]:
    """Return the units of everything at `data`, in order, and its files.

    `data` is a file, a folder of files, a pattern with `*`, a folder that datasets saved, or an address that Daft
    or the datasets library reads (`s3://…`, `hf://…`). Raises InputError for what cannot be read as a whole.
    """
    sources = [_source(path) for path in _files(data)]
    items = [json.dumps([number, asdict(source)]) for number, source in enumerate(sources)]
    planned = dict(spread_out(partial(_plan_file, str(work)), items))
    rows = [row for number in range(len(items)) for row in json.loads(planned[number])]
    return [Unit(number=number, **row) for number, row in enumerate(rows)], sources


def check_unchanged(sources: Iterable[Source]) -> None:
    """Raise InputError that names every file that is not what it was when it was planned."""
    problems = []
    for source in sources:
        try:
            same = is_remote(source.path) or _source(source.path) == source
        except InputError:
            same = False
        if not same:
            problems.append(_changed(source.file))
    if problems:
        raise InputError(problems)


def _changed(file: str) -> Problem:
    fix = "Let what writes it end, and start again"
    return Problem("screen.changed", file, "was changed while it was read", fix)


def is_remote(path: str) -> bool:
    """Whether `path` is an address: nothing else uses the network."""
    return "://" in path


def _files(data: str) -> list[str]:
    if is_hub(data) and not data.startswith("hf://datasets/"):
        return [data]
    if is_remote(data):
        return _remote_files(data)
    path = Path(data)
    if not path.exists() and any(c in path.name for c in "*?["):
        found = [p for p in path.parent.glob(path.name) if p.is_file()]
        if not found:
            raise unusable("records.missing", data, "matches no file", "Check the pattern")
    elif path.is_dir() and not any((path / name).is_file() for name in _SAVED):
        found = [p for p in path.rglob("*") if p.is_file() and p.name.endswith(_SUFFIXES)]
        if not found:
            fix = f"Known are {', '.join(_SUFFIXES)}, or a folder that datasets saved"
            raise unusable("records.folder", data, "holds no file of a known extension", fix)
    else:
        found = [path]
    return [str(p) for p in sorted(found)]


def _remote_files(data: str) -> list[str]:
    daft = load_daft()
    with _far_away(data):
        try:
            found = daft.from_glob_path(data).to_pydict()["path"]
        except daft.exceptions.DaftCoreException as error:
            if "Need at least 1 MicroPartition" not in str(error):  # how Daft says that nothing matches
                raise
            found = []
    known = sorted(p for p in found if p.endswith(_SUFFIXES))
    if not known:
        raise unusable("records.missing", data, "holds no file of a known extension", ", ".join(_SUFFIXES))
    return known


def _source(path: str) -> Source:
    if is_remote(path):
        return Source(path, path, 0, 0)
    try:
        about = Path(path).stat()
    except OSError as error:
        raise os_error(error, path) from error
    folder = Path(path).is_dir()
    return Source(
        Path(path).name, str(Path(path).absolute()), 0 if folder else about.st_size, about.st_mtime_ns
    )


def _plan_file(work: str, item: str) -> str:
    """Return the units of one file as JSON; unpacks it first where it is not JSON lines on a disk."""
    number, fields = json.loads(item)
    source = Source(**fields)
    path, items = Path(source.path), False
    if not source.path.endswith(".jsonl") or is_remote(source.path):
        path = Path(work) / "unpacked" / f"{number:05}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        items = _unpack(source, path)
    try:
        with path.open("rb") as file:
            cut = list(_cut(file))
    except OSError as error:
        raise os_error(error, source.path) from error
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
    items = not source.path.endswith((".jsonl", ".jsonl.gz"))
    mark = json.dumps(asdict(source))
    if not is_remote(source.path) and done.is_file() and done.read_text() == mark:
        return items
    done.unlink(missing_ok=True)
    with path.open("wb") as out:
        if items:
            out.writelines(_item_lines(_local(source, path)))
        else:
            _copy_lines(source, out)
    done.write_text(mark)
    return items


def _local(source: Source, path: Path) -> str:
    """Return where a file lies on a disk; one from far away is fetched, since its readers seek in it."""
    if not is_remote(source.path) or (is_hub(source.path) and not source.path.startswith("hf://datasets/")):
        return source.path
    near = path.with_suffix("".join(Path(source.path).suffixes[-1:]))
    with near.open("wb") as out, _opened(source.path) as file:
        while piece := file.read(_PIECE):
            out.write(piece)
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
        value = [place, row.code, row.reason] if isinstance(row, Rejected) else [place, row]
        yield json.dumps(value, default=str).encode() + b"\n"


def _copy_lines(source: Source, out: IO[bytes]) -> None:
    limit = max(FREE_UNPACKED, MOST_UNPACKED * source.size) if source.path.endswith(".gz") else None
    written = 0
    try:
        with _opened(source.path) as file:
            lines = gzip.GzipFile(fileobj=file) if limit else file
            while piece := lines.read(_PIECE):
                written += len(piece)
                if limit and written > limit:
                    message = f"unpacks to more than {limit / 2**30:.1f} GiB from {source.size:,} bytes"
                    fix = "If it is no bomb, unpack it yourself and name the .jsonl file"
                    raise unusable("screen.unpacks-too-far", source.file, message, fix)
                out.write(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"is not whole gzip data ({error})"
        raise unusable("records.gzip", source.file, message, "Copy or compress it again") from error
    except OSError as error:
        raise os_error(error, source.path) from error


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
    """Yield line, (place, row or reason) and the bytes of every row of a unit that is not blank."""
    try:
        with Path(unit.path).open("rb") as file:
            for offset, line in _lines(_window(file, unit), Path(unit.file)):
                number = unit.line + offset - 1
                place = f"line {number}"
                if line is None:
                    yield number, (place, _too_long(place)), None
                elif unit.items:
                    yield number, _item(line), line
                elif line.strip():
                    yield number, (place, _json_line(line, place)), line
    except OSError as error:
        raise os_error(error, unit.file) from error


def _item(line: bytes) -> Item:
    place, *rest = json.loads(line)
    return place, (rest[0] if len(rest) == 1 else Rejected(place, *rest))
