"""The scan: every row is read once, checked, and written to a part with what was found; then a part is never redone.

A part is `rows-00007.parquet` of unit 7: the records with their places, the codes each row has as bits, the key of
exact duplicates and the bands of near ones. It carries the tally of its unit and the digest of all it depends on.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from trimtab import __version__
from trimtab.engine import spread_out
from trimtab.records._text import MOST_RAW, shown_raw
from trimtab.records.columns import record_table
from trimtab.records.read import Rejected
from trimtab.records.record import Record, sha256
from trimtab.records.shapes import ShapeError, to_record
from trimtab.records.write import write_parquet
from trimtab.screens.batch import Batch
from trimtab.screens.contamination import Contamination
from trimtab.screens.duplicates import BANDS, band_hashes, keys
from trimtab.screens.finding import MOST_ROWS, abouts
from trimtab.screens.form import Form
from trimtab.screens.hidden import Hidden
from trimtab.screens.ignored import Ignored
from trimtab.screens.injection import Injection
from trimtab.screens.language import UNKNOWN, Languages
from trimtab.screens.lineage import LineageScreen
from trimtab.screens.screen import RowScreen, all_hits
from trimtab.screens.secrets import Secrets
from trimtab.screens.settings import Settings
from trimtab.screens.sources import Unit, unit_rows
from trimtab.screens.tally import Tally, keep, tally_of
from trimtab.screens.usual import step_of

CASES = "held_out.json"
UNREADABLE, EMPTY = "form.unreadable", "form.empty"
_DIGEST, _TALLY = b"trimtab.input", b"trimtab.tally"
_SHIFT = 32


def row_screens(settings: Settings, cases: Sequence[Sequence[str]] = ()) -> list[RowScreen]:
    """Return the checks of single rows; `cases` holds the texts of each held-out case."""
    lineage = LineageScreen(deepest=settings.deepest, allowed=settings.generators, student=settings.student)
    known: list[RowScreen] = [Form(settings.longest), Hidden(), Secrets(), Injection(), lineage]
    return [*known, Contamination(cases)] if cases else known


@lru_cache(maxsize=1)
def bits() -> dict[str, int]:
    """Return the bit of each code in the column `flags`."""
    return {code: 1 << i for i, code in enumerate(abouts())}


def scan(units: Sequence[Unit], settings: Settings, work: Path) -> Iterator[tuple[int, Tally]]:
    """Scan units into parts, wherever the engine runs them; yields number and tally as each ends.

    The held-out cases are read from CASES in the work folder. Finished parts of the same bytes, settings and
    cases are not done again.
    """
    cases = work / CASES
    about = [__version__, settings.model_dump_json(), sha256(cases.read_bytes()) if cases.exists() else ""]
    for number, told in spread_out(
        partial(_scan_unit, str(work), json.dumps(about)), [unit.to_json() for unit in units]
    ):
        yield number, tally_of(told)


def part_path(work: Path, number: int) -> Path:
    """Return where the part of a unit lies."""
    return work / "rows" / f"rows-{number:05}.parquet"


def _scan_unit(work: str, about: str, item: str) -> str:
    unit, path = Unit(**json.loads(item)), part_path(Path(work), json.loads(item)["number"])
    digest = sha256((about + item).encode())
    if (done := _finished(path, digest)) is not None:
        return done
    settings = Settings.model_validate_json(json.loads(about)[1])
    with _no_search_for_cycles():
        tally, table = _checked(_read(unit), *_tools(settings, str(Path(work) / CASES), json.loads(about)[2]))
    told = tally.to_json()
    table = table.replace_schema_metadata({_DIGEST: digest.encode(), _TALLY: told.encode()})
    write_parquet(
        path, table, compression="lz4"
    )  # half as large again as with zstd, and read and gone in minutes
    return told


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    # Rows are many small objects without cycles, and looking for some takes a tenth of the time.
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _finished(path: Path, digest: str) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    return metadata[_TALLY].decode() if metadata.get(_DIGEST) == digest.encode() else None


@lru_cache(maxsize=2)
def _tools(settings: Settings, cases: str, _digest: str) -> tuple[list[RowScreen], Languages, bool]:
    known = json.loads(Path(cases).read_text())["cases"] if Path(cases).exists() else []
    return row_screens(settings, [case["texts"] for case in known]), Languages(), settings.near


@dataclass
class _Read:
    """The rows of a unit: what became a record, what did not, and where each was."""

    numbers: list[int]
    lines: list[int]
    places: list[str]
    taken: list[Record | Rejected]
    raw: list[str | None]
    ignored: Ignored


def _read(unit: Unit) -> _Read:
    read = _Read([], [], [], [], [], Ignored())
    for index, (line, (place, row), data) in enumerate(unit_rows(unit)):
        taken: Record | Rejected
        try:
            taken = row if isinstance(row, Rejected) else to_record(row, place=place, checked=True)
            if isinstance(row, dict):
                read.ignored.see(row)
        except ShapeError as error:
            taken = Rejected(place, error.code, error.reason)
        read.numbers.append((unit.number << _SHIFT) + index)
        read.lines.append(line)
        read.places.append(f"{unit.file}, {place}")
        read.taken.append(taken)
        read.raw.append(_raw(taken, data) if isinstance(taken, Rejected) else None)
    return read


def _raw(rejected: Rejected, data: bytes | None) -> str | None:
    if data is None:
        return rejected.text
    return shown_raw(data[:MOST_RAW].decode(errors="backslashreplace"), len(data))


def _checked(
    read: _Read, screens: Sequence[RowScreen], languages: Languages, near: bool
) -> tuple[Tally, Any]:
    good = [i for i, taken in enumerate(read.taken) if isinstance(taken, Record)]
    batch = Batch([taken for taken in read.taken if isinstance(taken, Record)])
    tally, flags = Tally(rows=len(read.taken), records=len(batch)), [0] * len(read.taken)
    where = list(zip(read.numbers, read.places, strict=True))
    for code, rows in all_hits(screens, batch).items():
        tally.see(code, [where[good[row]] for row in rows])
        bit = bits()[code]
        for row in rows:
            flags[good[row]] |= bit
    for screen in screens:
        tally.applies.update(screen.applies(batch))
    tally.ignored.update(read.ignored.counts())
    _count_rejected(read, tally, flags, where)
    described = _describe(batch, tally, languages, [where[i] for i in good])
    columns = {"row": read.numbers, "line": read.lines, "place": read.places, "flags": flags}
    columns |= {"raw": read.raw, "problem": [_problem(taken) for taken in read.taken]}
    return tally, _table(columns, {**_of_records(batch, near=near), **described}, good)


def _of_records(batch: Batch, *, near: bool) -> dict[str, Any]:
    """Return the columns that only records have."""
    import pyarrow as pa

    bands = band_hashes(batch.plain) if near else [pa.nulls(len(batch), pa.int64())] * BANDS
    table = record_table(batch.records)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns |= {"key": pa.array(keys(batch.plain), pa.string()), "plain": pa.array(batch.plain, pa.string())}
    return columns | {f"b{i:02}": values for i, values in enumerate(bands)}


def _problem(taken: Record | Rejected) -> str | None:
    return f"{taken.reason} [{taken.code}]" if isinstance(taken, Rejected) else None


def _count_rejected(read: _Read, tally: Tally, flags: list[int], where: list[tuple[int, str]]) -> None:
    """Rows that are no record have a code too; one whose only fault is an empty text is called empty."""
    seen: dict[str, list[tuple[int, str]]] = {UNREADABLE: []}
    for i, taken in enumerate(read.taken):
        if isinstance(taken, Rejected):
            code = EMPTY if taken.code == "records.empty-text" else UNREADABLE
            flags[i] |= bits()[code]
            seen.setdefault(code, []).append(where[i])
            if code == UNREADABLE:
                tally.reasons[taken.code] += 1
    for code, places in seen.items():
        tally.see(code, places)
    tally.applies[UNREADABLE] = tally.rows
    tally.applies[EMPTY] += len(seen.get(EMPTY, ()))


def _describe(
    batch: Batch, tally: Tally, languages: Languages, where: list[tuple[int, str]]
) -> dict[str, Any]:
    """Count kinds, sources, languages and lengths; return the columns of what only the whole dataset can judge."""
    import pyarrow as pa

    tally.kinds.update(batch.kinds)
    tally.sources.update([record.source for record in batch.records])
    spoken = languages.tell(batch.plain, batch.texts)
    steps = [_step(len(text)) for text in batch.texts]
    tally.languages.update(spoken)
    tally.lengths.update(steps)
    _keep_first(tally.speakers, spoken, where)
    _keep_first(tally.sized, steps, where)
    tally.speakers.pop(UNKNOWN, None)
    return {"language": pa.array(spoken, pa.string()), "step": pa.array(map(int, steps), pa.int16())}


@lru_cache(maxsize=4096)
def _step(characters: int) -> str:
    return str(step_of(characters))


def _keep_first(first: dict[str, list[tuple[int, str]]], keys: Sequence[str], places: Sequence[Any]) -> None:
    left = dict.fromkeys(keys, MOST_ROWS)
    for key, place in zip(keys, places, strict=True):
        if left[key]:
            left[key] -= 1
            keep(first, key, [place])


def _table(columns: dict[str, Any], of_records: dict[str, Any], good: Sequence[int]) -> Any:
    """Return all columns as a table; those of records are null where `good` has no row for it."""
    import numpy as np
    import pyarrow as pa

    n = len(columns["row"])
    if len(good) < n:
        places = np.full(n, -1)
        places[good] = np.arange(len(good))
        indices = pa.array(places, mask=places < 0)
        of_records = {name: column.take(indices) for name, column in of_records.items()}
    types = {"row": pa.int64(), "line": pa.int64(), "flags": pa.int64()}
    types |= dict.fromkeys(("place", "raw", "problem"), pa.string())
    return pa.table({**{k: pa.array(columns[k], kind) for k, kind in types.items()}, **of_records})
