"""Writes records, rows and JSON; a file is there whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

import rfc8785

from trimtab.errors import InputError, Problem
from trimtab.records.read import Rejected, iter_rows, single_kind
from trimtab.records.record import Record

Fill = Callable[[IO[bytes]], None]
_BATCH = 4096


def write_records(records: Iterable[Record], path: Path) -> str:
    """Write records as canonical JSON lines (`.jsonl`, `.jsonl.gz`) or Parquet (`.parquet`), atomically.

    Returns the SHA-256 of the file. Raises InputError when the suffix is unknown or the disk refuses.
    """
    rows = (record.row() for record in records)
    if path.suffix == ".parquet":
        return _atomic(path, lambda file: _fill_parquet(file, rows))
    if path.name.endswith(".jsonl.gz"):
        return _atomic(path, lambda file: _fill_gzip(file, rows))
    if path.suffix == ".jsonl":
        return write_jsonl(path, rows)
    raise _unknown_suffix(path)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    """Write rows as canonical JSON (RFC 8785), one a line, atomically; returns the SHA-256 of the file.

    Raises InputError when the disk refuses, ValueError for a value that has no canonical form.
    """
    return _atomic(path, lambda file: file.writelines(_lines(rows)))


def write_json(path: Path, value: Any) -> str:
    """Write `value` as indented JSON with sorted keys, atomically; returns the SHA-256 of the file.

    Raises InputError when the disk refuses, ValueError or TypeError for a value that is not JSON.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return _atomic(path, lambda file: file.writelines([text.encode(), b"\n"]))


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> str:
    """Write `data` atomically, for this user only if `private`; returns its SHA-256. Raises InputError when refused."""
    return _atomic(path, lambda file: _fill_bytes(file, data, private))


def write_parquet(path: Path, table: Any, *, compression: str = "zstd") -> str:
    """Write an Arrow table as Parquet, atomically; returns the SHA-256. Raises InputError when the disk refuses."""
    import pyarrow.parquet as pq

    # Texts and hashes hardly repeat: a dictionary of them takes time and room.
    return _atomic(
        path, lambda file: pq.write_table(table, file, compression=compression, use_dictionary=False)
    )


def write_tables(files: Sequence[tuple[Path, Any]], tables: Iterable[Sequence[Any]]) -> None:
    """Write Parquet files side by side: of each item of `tables` one Arrow table to each file, a path and its schema.

    All that is held at a time is one item. A file is there whole or not at all. Raises InputError when the disk refuses.
    """
    import pyarrow.parquet as pq

    writers: list[Any] = []

    def fill(file: IO[bytes], schema: Any, left: Sequence[tuple[Path, Any]]) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            writers.append(writer)
            open_next(left)

    def open_next(left: Sequence[tuple[Path, Any]]) -> None:
        if left:
            (path, schema), *others = left
            _atomic(path, lambda file: fill(file, schema, others))
            return
        for item in tables:
            for writer, table in zip(writers, item, strict=True):
                writer.write_table(table)

    open_next(files)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read back a file of `write_jsonl`; raises InputError that names every broken line."""
    items = list(iter_rows(path))
    broken = [row for _, row in items if isinstance(row, Rejected)]
    if broken:
        fix = "The file was changed after it was written; make it again"
        raise InputError([Problem(row.code, f"{path}, {row.place}", row.reason, fix) for row in broken])
    return [row for _, row in items if isinstance(row, dict)]


def check_writable(path: Path) -> None:
    """Raise InputError when no file can be written at `path`: to be asked before minutes of work, not after.

    Makes nothing that stays: the folder that is there already is tried, others are made when the file is written.
    """
    if path.is_dir():
        raise InputError(Problem("write.is-folder", str(path), "is a folder", "Name a file in it"))
    _refuse_other_than_files(path)
    there = next(p for p in (path.absolute().parent, *path.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * _BATCH)
            file.flush()
    except OSError as error:
        raise InputError(_problem(error, path)) from error


def check_records_path(path: Path) -> None:
    """Raise InputError when `write_records` could not write at `path`."""
    if path.suffix not in (".jsonl", ".parquet") and not path.name.endswith(".jsonl.gz"):
        raise _unknown_suffix(path)
    check_writable(path)


def to_trl(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return records of one kind as the rows that TRL reads unchanged; raises InputError when kinds are mixed.

    sft gives `messages`; preference gives `chosen` and `rejected`, whole conversations without a prompt key,
    since TRL would train on an empty prompt beside them; pair gives `text_a` and `text_b`; document `text`.
    """
    records = list(records)
    if records:
        single_kind(records, place="the records to train on")
    return [_trl_row(record) for record in records]


def _trl_row(record: Record) -> dict[str, Any]:
    if record.kind == "document":
        return {"text": "\n\n".join(message.content for message in record.messages or ())}
    return record.content()


def _unknown_suffix(path: Path) -> InputError:
    fix = "Use .jsonl, .jsonl.gz or .parquet"
    return InputError(Problem("write.format", str(path), "has an extension that is not written", fix))


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    return (rfc8785.dumps(row) + b"\n" for row in rows)


def _fill_bytes(file: IO[bytes], data: bytes, private: bool) -> None:
    if private:
        os.fchmod(file.fileno(), 0o600)
    file.write(data)


def _fill_gzip(file: IO[bytes], rows: Iterable[dict[str, Any]]) -> None:
    # No name and no time in the header: the same records give the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.writelines(_lines(rows))


def _fill_parquet(file: IO[bytes], rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = record_schema()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while chunk := list(islice(rows, _BATCH)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def record_schema() -> Any:
    """Return the Arrow columns of a record, written out: inferred types would change with the rows."""
    import pyarrow as pa

    text, turns = pa.string(), pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    lineage = dict.fromkeys(("generator", "operator", "template", "seed"), text)
    lineage |= {"parents": pa.list_(text), "depth": pa.int64()}
    lineage |= dict.fromkeys(("charter", "version", "time"), text)
    columns = dict.fromkeys(("id", "lineage_id", "kind"), text)
    columns |= dict.fromkeys(("messages", "chosen", "rejected"), turns)
    columns |= dict.fromkeys(("text_a", "text_b", "mechanism", "cell", "source"), text)
    columns["lineage"] = pa.struct(lineage)
    return pa.schema(columns)


def _atomic(path: Path, fill: Fill) -> str:
    """Fill a new file beside `path`, force it to disk and move it into place; return its SHA-256."""
    _refuse_other_than_files(path)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _fill_and_move(part, path, fill)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(_problem(error, path)) from error


def _refuse_other_than_files(path: Path) -> None:
    # A new file takes the place of what is there: a device or a pipe would be gone, for everybody.
    with suppress(OSError):  # a name that cannot be one is told when it is written
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(Problem("write.not-a-file", str(path), "is no file", "Name a file"))


def _fill_and_move(part: Path, path: Path, fill: Fill) -> str:
    with part.open("xb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    with part.open("rb") as written:
        found = hashlib.file_digest(written, "sha256").hexdigest()
    part.replace(path)
    _sync_folder(path.parent)
    return found


def _sync_folder(folder: Path) -> None:
    """Force the new name to disk too; only then does the file outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _problem(error: OSError, path: Path) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("write.no-space", str(path), "cannot be written, the disk is full", "Free some space")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = "Choose another folder, or give this user the right to write there"
        return Problem("write.no-permission", str(path), "may not be written", fix)
    reason = error.strerror or str(error)
    return Problem("write.failed", str(path), f"cannot be written ({reason})", "Check the path and the disk")
