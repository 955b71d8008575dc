"""Sorting: every row of a dataset is written to what is kept or to what is excluded, with its reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.records.write import record_schema, write_tables
from trimtab.screens.finding import abouts
from trimtab.screens.scan import EMPTY, UNREADABLE, bits

Progress = Callable[[int], None]


@dataclass
class Mark:
    """What the checks of the whole dataset say of single rows: the codes of each as bits, and in words why."""

    codes: dict[int, int] = field(default_factory=dict)
    words: dict[int, dict[str, str]] = field(default_factory=dict)

    def add(self, code: str, rows: Mapping[int, str]) -> None:
        """Give each of `rows` a code, and why."""
        for row, why in rows.items():
            self.codes[row] = self.codes.get(row, 0) | bits()[code]
            self.words.setdefault(row, {})[code] = why


@dataclass(frozen=True)
class Sorted:
    """How many rows went where, and by which reason, of which a row may have several; kept rows by kind."""

    kept: int
    excluded: int
    reasons: Mapping[str, int]
    kinds: Mapping[str, int]


def sort_rows(parts: Sequence[Path], mark: Mark, exclude: Sequence[str], out: Path) -> Sorted:
    """Write `kept.parquet` and `excluded.parquet` to `out`; rows with any code of `exclude` are excluded.

    Rows that are no record always are. The order is that of the input.
    """
    codes = [code for code in abouts() if code in {*exclude, UNREADABLE}]
    mask = sum(bits()[code] for code in codes)
    counts, kinds = {"kept": 0, "excluded": 0, **dict.fromkeys(codes, 0)}, Counter[str]()

    def kept() -> Iterator[Any]:
        for table, flags in _marked(parts, mark):
            chosen = table.filter([not f & mask for f in flags]).select(record_schema().names)
            counts["kept"] += len(chosen)
            kinds.update(chosen["kind"].to_pylist())
            yield chosen.cast(record_schema())

    def excluded() -> Iterator[Any]:
        for whole, flags in _marked(parts, mark):
            table = whole.filter([bool(f & mask) for f in flags])
            reasons = [[code for code in codes if f & bits()[code]] for f in flags if f & mask]
            made = _excluded(table, reasons, mark.words)
            counts["excluded"] += len(made)
            for code in (code for row in reasons for code in row):
                counts[code] += 1
            yield made

    write_tables(out / "kept.parquet", record_schema(), kept())
    write_tables(out / "excluded.parquet", excluded_schema(), excluded())
    reasons = {code: counts[code] for code in codes if counts[code]}
    return Sorted(counts["kept"], counts["excluded"], reasons, dict(kinds))


def _marked(parts: Sequence[Path], mark: Mark) -> Iterator[tuple[Any, list[int]]]:
    import pyarrow.parquet as pq

    names = [*record_schema().names, "row", "place", "flags", "raw", "problem"]
    for part in parts:
        table = pq.read_table(part, columns=names).replace_schema_metadata(None)
        rows = zip(table["row"].to_pylist(), table["flags"].to_pylist(), strict=True)
        yield table, [flags | mark.codes.get(row, 0) for row, flags in rows]


def excluded_schema() -> Any:
    """Return the columns of `excluded.parquet`: place, codes and words of the reasons, the row as it was, the record."""
    import pyarrow as pa

    first = {"place": pa.string(), "reasons": pa.list_(pa.string()), "why": pa.string(), "raw": pa.string()}
    return pa.schema([*pa.schema(first), *record_schema()])


def _excluded(table: Any, reasons: list[list[str]], words: Mapping[int, Mapping[str, str]]) -> Any:
    import pyarrow as pa

    told = zip(reasons, table["row"].to_pylist(), table["problem"].to_pylist(), strict=True)
    why = ["; ".join(_why(c, problem, words.get(row, {}))) for c, row, problem in told]
    columns = {
        "place": table["place"],
        "reasons": pa.array(reasons, pa.list_(pa.string())),
        "why": pa.array(why, pa.string()),
    }
    columns |= {name: table[name] for name in ("raw", *record_schema().names)}
    return pa.table(columns).cast(excluded_schema())


def _why(codes: list[str], problem: str | None, words: Mapping[str, str]) -> Iterator[str]:
    for code in codes:
        broken = problem if code in (UNREADABLE, EMPTY) else None
        yield broken or words.get(code) or abouts()[code].title
