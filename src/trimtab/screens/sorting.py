"""Sorting: every row of a dataset is written to what is kept or to what is excluded, with its reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.records.record import Record
from trimtab.records.shapes import to_record
from trimtab.records.write import record_schema, write_tables
from trimtab.screens.batch import Batch
from trimtab.screens.finding import abouts
from trimtab.screens.repeats import within
from trimtab.screens.scan import EMPTY, UNREADABLE, bits
from trimtab.screens.screen import RowScreen
from trimtab.screens.usual import LANGUAGE, LENGTH, Usual

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ABOUT = ("row", "place", "flags", "raw", "problem", "language", "step")

Progress = Callable[[int], None]


@dataclass
class Mark:
    """What the checks of the whole dataset say of single rows: by code the rows that have it, and why; what is usual.

    `screens` are the checks that rows were read with, which are asked again what they saw.
    """

    found: dict[str, Mapping[int, str]] = field(default_factory=dict)
    usual: Usual = field(default_factory=Usual)
    screens: Sequence[RowScreen] = ()

    def add(self, code: str, rows: Mapping[int, str]) -> None:
        """Give each of `rows` a code, and why; a code that is given again adds its rows."""
        self.found[code] = {**self.found[code], **rows} if self.found.get(code) else rows

    def flags(self, table: Any) -> NDArray[np.int64]:
        """Return the codes of the rows of a part as bits: those that it holds already, and those of this mark."""
        flags: NDArray[np.int64] = table["flags"].to_numpy().copy()
        rows = table["row"].to_pylist()
        for code, found in self.found.items():
            if found:
                flags[[row in found for row in rows]] |= bits()[code]
        for code, odd in self.usual.odd(table).items():
            flags[odd] |= bits()[code]
        return flags

    def why(self, code: str, row: Mapping[str, Any], record: Callable[[], Record]) -> str:
        """Return in words why a row of a part has `code`; `record` gives its record, where it is one."""
        if code in (LANGUAGE, LENGTH):
            return self.usual.why(code, row["language"], row["step"])
        broken = row["problem"] if code in (UNREADABLE, EMPTY) else None
        told = broken or self.found.get(code, {}).get(row["row"])
        screen = next((s for s in self.screens if code in s.codes), None)
        if told or screen is None or row["kind"] is None:
            return told or abouts()[code].title
        seen = screen.seen(code, Batch([record()]), 0)
        return f"{abouts()[code].title}: {seen}" if seen else abouts()[code].title


@dataclass(frozen=True)
class Sorted:
    """How many rows went where, and by which reason, of which a row may have several; kept rows by kind."""

    kept: int
    excluded: int
    reasons: Mapping[str, int]
    kinds: Mapping[str, int]


def leaving(parts: Sequence[Path], mark: Mark, exclude: Sequence[str], rows: NDArray[np.int64]) -> set[int]:
    """Return which of `rows`, which are in order, are excluded for another reason than that they repeat another row."""
    import numpy as np
    import pyarrow.parquet as pq

    mask = sum(bits()[code] for code in {*exclude, UNREADABLE} if not code.startswith("duplicates."))
    left: set[int] = set()
    for part in parts if len(rows) else ():
        table = pq.read_table(part, columns=["row", "flags", "language", "step"])
        numbers = table["row"].to_numpy()
        here = np.isin(numbers, within(rows, numbers))
        left |= set(numbers[here & (mark.flags(table) & mask != 0)].tolist())
    return left


def sort_rows(parts: Sequence[Path], mark: Mark, exclude: Sequence[str], out: Path) -> Sorted:
    """Write `kept.parquet` and `excluded.parquet` to `out`; rows with any code of `exclude` are excluded.

    Rows that are no record always are. The order is that of the input.
    """
    codes = [code for code in abouts() if code in {*exclude, UNREADABLE}]
    mask = sum(bits()[code] for code in codes)
    counts, kinds = Counter[str](), Counter[str]()

    def sorted_parts() -> Iterator[tuple[Any, Any]]:
        # Once for both files: parts are as large as the dataset, and may lie on a disk of a cluster.
        for table, flags in _marked(parts, mark):
            left = flags & mask
            chosen = table.filter(left == 0).select(record_schema().names)
            kinds.update(chosen["kind"].to_pylist())
            reasons = [[code for code in codes if f & bits()[code]] for f in left[left != 0].tolist()]
            made = _excluded(table.filter(left != 0), reasons, mark)
            counts.update(kept=len(chosen), excluded=len(made))
            counts.update(code for row in reasons for code in row)
            yield chosen.cast(record_schema()), made

    files = [(out / "kept.parquet", record_schema()), (out / "excluded.parquet", excluded_schema())]
    write_tables(files, sorted_parts())
    reasons = {code: counts[code] for code in codes if counts[code]}
    return Sorted(counts["kept"], counts["excluded"], reasons, dict(kinds))


def _marked(parts: Sequence[Path], mark: Mark) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    import pyarrow.parquet as pq

    for part in parts:
        table = pq.read_table(part, columns=[*record_schema().names, *_ABOUT]).replace_schema_metadata(None)
        yield table, mark.flags(table)


def excluded_schema() -> Any:
    """Return the columns of `excluded.parquet`: place, codes and words of the reasons, the row as it was, the record."""
    import pyarrow as pa

    first = {"place": pa.string(), "reasons": pa.list_(pa.string()), "why": pa.string(), "raw": pa.string()}
    return pa.schema([*pa.schema(first), *record_schema()])


def _excluded(table: Any, reasons: list[list[str]], mark: Mark) -> Any:
    import pyarrow as pa

    rows = table.select(["row", "problem", "language", "step", "kind"]).to_pylist()
    whole = table.select(record_schema().names)

    def record(i: int) -> Record:
        return to_record(whole.slice(i, 1).to_pylist()[0], place=table["place"][i].as_py())

    why = [
        "; ".join(mark.why(code, row, partial(record, i)) for code in codes)
        for i, (codes, row) in enumerate(zip(reasons, rows, strict=True))
    ]
    columns = {
        "place": table["place"],
        "reasons": pa.array(reasons, pa.list_(pa.string())),
        "why": pa.array(why, pa.string()),
    }
    columns |= {name: table[name] for name in ("raw", *record_schema().names)}
    return pa.table(columns).cast(excluded_schema())
