"""Reads records in the field's usual files, with a reason for every row that is not taken."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.records._rows import Item, Rejected, nothing_taken, os_error, unusable
from trimtab.records._tables import folder_rows, hub_rows, is_hub, parquet_rows, pinned
from trimtab.records._text import TEXT_SUFFIXES, is_packed, text_rows
from trimtab.records.record import Kind, Record, sha256
from trimtab.records.shapes import SHAPES_HELP, Row, ShapeError, ignored_keys, short, to_record

__all__ = [
    "Item",
    "Reading",
    "Rejected",
    "input_digest",
    "iter_rows",
    "nothing_taken",
    "one_kind",
    "read_records",
    "single_kind",
]

_FORMATS = ".jsonl or .ndjson (.gz), .json, .csv, .parquet, a folder that datasets saved, or hf://ORG/NAME"


@dataclass
class Reading:
    """What an input gave: records, rejected rows, the SHA-256 of its bytes, and its path.

    For a folder the digest is over the sorted names and digests of its files, for a dataset of the hub over
    its rows. `ignored` counts, by key, the values of foreign rows that records do not hold.
    """

    records: list[Record]
    rejected: list[Rejected]
    digest: str
    path: str
    ignored: dict[str, int] = field(default_factory=dict)


def read_records(path: str | Path, *, kind: Kind | None = None) -> Reading:
    """Read the records at `path`: a file, a folder saved by `datasets`, or `hf://ORG/NAME[@REVISION]`.

    With `kind`, a record of another kind is a rejected row. Raises InputError when the input as a whole cannot
    be used: missing, unreadable, damaged, of an unknown format, empty, or without one valid row.
    """
    source = pinned(str(path)) if is_hub(path) else str(path)
    reading, ignored, rows = Reading([], [], "", source), Counter[str](), hashlib.sha256()
    for place, row in iter_rows(source):
        if is_hub(source):
            rows.update(json.dumps([place, row], sort_keys=True, default=str).encode() + b"\n")
        taken = row if isinstance(row, Rejected) else _take(row, place, kind)
        if isinstance(taken, Rejected):
            reading.rejected.append(taken)
        else:
            reading.records.append(taken)
            ignored.update(ignored_keys(row) if isinstance(row, dict) else ())
    if not reading.records:
        raise nothing_taken(reading.rejected, source, area="records", noun="record", fix=SHAPES_HELP)
    reading.ignored = dict(ignored)
    reading.digest = rows.hexdigest() if is_hub(source) else input_digest(Path(source))
    return reading


def iter_rows(path: str | Path) -> Iterator[Item]:
    """Yield every row of a file or dataset as (place, dict), or (place, Rejected) when it is broken.

    Blank lines are skipped. Rows are JSON values as they stand, not yet records. Raises InputError when the
    input as a whole cannot be used; an empty one yields nothing.
    """
    if is_hub(path):
        yield from hub_rows(str(path))
        return
    path = Path(path)
    try:
        yield from _local_rows(path)
    except OSError as error:
        raise os_error(error, path) from error


def _local_rows(path: Path) -> Iterator[Item]:
    if path.is_dir():
        return folder_rows(path)
    if path.suffix.lower() == ".parquet":
        return parquet_rows(path)
    if path.suffix.lower() in TEXT_SUFFIXES or is_packed(path):
        return text_rows(path)
    path.stat()
    message = f"has the unknown extension {short(path.suffix)}"
    raise unusable("records.format", path, message, f"Known are {_FORMATS}")


def _take(row: Row, place: str, kind: Kind | None) -> Record | Rejected:
    try:
        record = to_record(row, place=place, checked=True)
    except ShapeError as error:
        return Rejected(place, error.code, error.reason)
    if kind not in (None, record.kind):
        return Rejected(place, "records.other-kind", f"a {record.kind} record, where {kind} is asked for")
    return record


def input_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or over the sorted names and digests of a folder's files."""
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return sha256(
            "".join(f"{p.relative_to(path).as_posix()}\0{input_digest(p)}\n" for p in files).encode()
        )
    except OSError as error:
        raise os_error(error, path) from error


def one_kind(reading: Reading) -> Kind:
    """Return the kind of all records of `reading`; raises InputError when kinds are mixed."""
    return single_kind(reading.records, place=reading.path)


def single_kind(records: Iterable[Record], *, place: str) -> Kind:
    """Return the kind that all `records` share; raises InputError when there are several, or no record."""
    kinds = Counter(record.kind for record in records)
    if not kinds:
        raise unusable("records.empty", place, "holds no record", "Give at least one record")
    if len(kinds) > 1:
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        raise unusable("records.mixed-kinds", place, f"mixes kinds: {counts}", "Write one file for each kind")
    return next(iter(kinds))
