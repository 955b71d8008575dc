"""Rows of text files: JSON lines, a JSON list, CSV.

JSON lines are parsed here, byte by byte, not by Daft or pyarrow: their readers change data silently (lone
surrogates, numbers into text, keys given twice) and let one broken line fail the file.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from trimtab.records._rows import Item, Rejected, checked, not_utf8, unusable
from trimtab.records.shapes import Row, has_shape, parse_flawless, parse_json, short

MAX_LINE = 32 * 2**20
MOST_RAW = 64 * 1024
"""Bytes (of CSV, characters) of a row that was not taken which are held and shown."""
_SKIP = 2**20
# What an object names the list of its rows.
_HOLDERS = ("data", "rows", "examples", "records", "samples", "instances", "train", "validation", "test")

Stream = IO[bytes] | gzip.GzipFile


def text_rows(path: Path) -> Iterator[Item]:
    """Yield the rows of a .jsonl or .ndjson (.gz), .json or .csv file."""
    with path.open("rb") as file:
        if is_packed(path):
            yield from _unpacked(file, path)
        else:
            yield from _READERS[path.suffix.lower()](file, path)


def is_packed(path: Path) -> bool:
    """Whether a file is JSON lines under gzip, by its name."""
    return path.name.lower().endswith((".jsonl.gz", ".ndjson.gz"))


def _unpacked(file: IO[bytes], path: Path) -> Iterator[Item]:
    try:
        with gzip.open(file, "rb") as stream:
            yield from _json_lines(stream, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"is not whole gzip data ({error})"
        raise unusable("records.gzip", path, message, "Copy or compress it again") from error


def _lines(stream: Stream, path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and bytes of each line; None for a line over MAX_LINE, of which no more is held."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            # Without its mark, UTF-16 has a zero in one of the first two bytes, which no text of these formats has.
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or line[:2].count(0) == 1:
                raise not_utf8(path)
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while not line.endswith(b"\n") and (line := stream.readline(_SKIP)):
                pass
            yield number, None
        else:
            yield number, line


def _json_lines(stream: Stream, path: Path) -> Iterator[Item]:
    for number, line in _lines(stream, path):
        place = f"line {number}"
        if line is None:
            yield place, _too_long(place)
        elif line.strip():
            yield place, _json_line(line, place)


def _too_long(place: str) -> Rejected:
    return Rejected(place, "records.line-too-long", f"the line is over {MAX_LINE // 2**20} MiB")


def _json_line(line: bytes, place: str) -> Row | Rejected:
    try:
        text = line.decode()
        if isinstance(row := parse_flawless(text), dict):
            return row
        return checked(parse_json(text), place)
    except UnicodeDecodeError as error:
        return Rejected(place, "records.not-utf8", f"byte {error.start + 1} of the line is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Rejected(place, "records.json", f"not JSON ({short(str(error), 120)})")


def _json_file(stream: Stream, path: Path) -> Iterator[Item]:
    """A list of rows, an object that holds one, or one row over several lines; else JSON lines, as is usual on the hub."""
    head = stream.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    stream.seek(0)
    if head.startswith(b"["):
        found: Iterable[object] | None = _whole(stream, path)
    else:
        found = _wrapped(stream, path) if head.startswith(b"{") else None
    if found is None:
        stream.seek(0)
        yield from _json_lines(stream, path)
        return
    for number, row in enumerate(found, start=1):
        yield f"row {number}", checked(row, f"row {number}")


def _whole(stream: Stream, path: Path) -> Any:
    try:
        return parse_json(stream.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except (ValueError, RecursionError) as error:
        message = f"is not JSON ({short(str(error), 120)})"
        raise unusable(
            "records.json", path, message, "Repair it, or write one row a line as .jsonl"
        ) from error


def _wrapped(stream: Stream, path: Path) -> list[object] | None:
    """Return the rows of a file that is one object: those of its list, or itself; None where it is none, or one a line.

    Raises InputError for an object with several lists of rows.
    """
    first = next(line for line in iter(partial(stream.readline, MAX_LINE + 1), b"") if line.strip())
    alone = not any(line.strip() for line in iter(partial(stream.readline, MAX_LINE + 1), b""))
    stream.seek(0)
    try:
        value = parse_json(first.decode("utf-8-sig"))
        if not alone:
            return None
    except (ValueError, RecursionError):
        if not first.rstrip().endswith((b"{", b"[", b",")):
            return None  # a broken line: each is told by itself
        try:
            value = parse_json(stream.read().decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
    return _rows_in(value, path) if isinstance(value, dict) else [value]


def _rows_in(value: Row, path: Path) -> list[object]:
    """Return the rows of an object that holds a list of them, and is none itself; else the object."""
    if has_shape(value) or not any(isinstance(value.get(key), list) for key in _HOLDERS):
        return [value]
    lists = [key for key, held in value.items() if isinstance(held, list) and (key in _HOLDERS or held)]
    if len(lists) > 1:
        message = f"holds several lists of rows ({', '.join(short(key) for key in lists)})"
        raise unusable("records.json", path, message, "Write each as a file of its own")
    return list(value[lists[0]])


def _csv(stream: Stream, path: Path) -> Iterator[Item]:
    # The limit belongs to the module, not to a reader; its default of 128 KiB is less than a long text.
    csv.field_size_limit(MAX_LINE)
    long: list[int] = []
    raw = _Raw()
    first, lines = _begun(raw.seen(_csv_lines(stream, path, long)))
    table = csv.reader(lines, strict=True, delimiter=_delimiter(first))
    header = _header(table, path)
    if long:
        message = f"has a line over {MAX_LINE // 2**20} MiB before or in its header"
        raise unusable("records.csv", path, message, "Repair its first line")
    while True:
        place = f"line {table.line_num + 1}"
        raw.clear()
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            long.clear()
            yield (
                place,
                Rejected(_span(place, table.line_num), "records.csv", f"not CSV ({error})", raw.text()),
            )
            continue
        if long:
            # A row that lost a line must not pass as whole.
            long.clear()
            yield place, _too_long(place)
        elif cells:
            row = _csv_row(header, cells, _span(place, table.line_num))
            yield place, replace(row, text=raw.text()) if isinstance(row, Rejected) else row


def _begun(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the first line that is not blank, and all lines."""
    start: list[str] = []
    for line in lines:
        start.append(line)
        if line.strip():
            break
    return start[-1] if start else "", chain(start, lines)


def _delimiter(header: str) -> str:
    """Return the comma, or where the header has none what parts its names: spreadsheets of many countries write semicolons."""
    return "," if "," in header else max(",;\t", key=header.count)


class _Raw:
    """The lines of the row that a CSV reader is at, of a long one the beginning: an open quote may swallow a whole file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0

    def clear(self) -> None:
        """Begin a row."""
        self._lines, self._size = [], 0

    def seen(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield `lines`, and remember them."""
        for line in lines:
            if self._size < MOST_RAW:
                self._lines.append(line[: MOST_RAW - self._size])
            self._size += len(line)
            yield line

    def text(self) -> str:
        """Return the lines of the row as they were, but for what is no UTF-8."""
        text = "".join(self._lines).encode("utf-8", "surrogateescape").decode(errors="backslashreplace")
        return shown_raw(text, self._size)


def shown_raw(text: str, size: int) -> str:
    """Return what is shown of a row that was not taken: `text`, and when that is not all of its `size`, that it is not."""
    return text if size <= MOST_RAW else f"{text} [cut: {MOST_RAW:,} of {size:,}]"


def _span(place: str, last: int) -> str:
    """An open quote swallows lines: all of them are named, for none of them is read."""
    return place if place == f"line {last}" else f"{place} to {last}"


def _csv_lines(stream: Stream, path: Path, long: list[int]) -> Iterator[str]:
    for number, line in _lines(stream, path):
        if line is None:
            long.append(number)
        yield (line or b"").decode("utf-8", "surrogateescape")


def _header(table: Iterator[list[str]], path: Path) -> list[str]:
    try:
        names = next((cells for cells in table if cells), [])
        "".join(names).encode()
    except csv.Error as error:
        message = f"has no readable header ({error})"
        raise unusable("records.csv", path, message, "Repair its first line") from error
    except UnicodeEncodeError as error:
        raise not_utf8(path) from error
    if len(set(names)) < len(names):
        message = "names a column twice in its header"
        raise unusable("records.csv", path, message, "Give every column its own name")
    return names


def _csv_row(header: list[str], cells: list[str], place: str) -> Row | Rejected:
    if len(cells) != len(header):
        return Rejected(place, "records.csv", f"{len(cells)} cells, where the header has {len(header)}")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return Rejected(place, "records.not-utf8", "the row is not UTF-8")
    return dict(zip(header, cells, strict=True))


_READERS: dict[str, Callable[[Stream, Path], Iterator[Item]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_file,
    ".csv": _csv,
}
TEXT_SUFFIXES = tuple(_READERS)
