"""Tables of text that people export: CSV and JSON, plain or gzipped, every cell a string."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, Problem
from trimtab.records.toml import parse_toml

if TYPE_CHECKING:
    from trimtab.charter.votes import Ints

ENDINGS = (".csv", ".csv.gz", ".json", ".json.gz")
SHOWN = 20
DELIMITERS = ",;\t"
DECLARED = "# vote-convention:"  # how Polis lets a file of votes say what its signs mean
Names = Mapping[str, list[str]]


@cache
def names(kind: str) -> Names:
    """Return the names that the columns of a kind of file have had (columns.toml)."""
    data = files(__package__).joinpath("columns.toml").read_bytes()
    found: Names = parse_toml(data, place="columns.toml", area="charter")[kind]
    return found


def same(name: str) -> str:
    """Return a column's name without case, with one kind of separator."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


@dataclass(frozen=True)
class Table:
    """A table of N rows: an Arrow column of strings (N,) by its name as written; null or "" is an empty cell."""

    place: str
    columns: dict[str, Any]

    def find(self, known: list[str]) -> str | None:
        """Return the name of the first column that goes by one of the `known` names."""
        own = {same(c): c for c in reversed(self.columns)}
        return next((own[k] for k in known if k in own), None)

    def codes(self, name: str) -> tuple[Ints, list[str]]:
        """Return a column as indices (N,) into a list of its distinct values, stripped."""
        encoded = self.columns[name].dictionary_encode()
        index = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.intp)
        values: dict[str, int] = {}
        place = [values.setdefault(v.strip(), len(values)) for v in encoded.dictionary.to_pylist()]
        return np.asarray(place, dtype=np.intp)[index], list(values)

    def values(self, name: str) -> list[str]:
        """Return the distinct values of a column, stripped."""
        return [v.strip() for v in self.columns[name].unique().to_pylist()]

    def texts(self, name: str) -> list[str]:
        """Return a column as stripped strings."""
        return [v.strip() for v in self.columns[name].to_pylist()]

    @property
    def rows(self) -> int:
        """N."""
        return len(next(iter(self.columns.values())))


def read_table(path: Path) -> Table:
    """Read a CSV file or a JSON list of objects; raises InputError with all its problems."""
    try:
        read = _read_json if path.name.removesuffix(".gz").endswith(".json") else _read_csv
        columns = read(path)
    except OSError as error:
        raise _unusable("unreadable", path, f"cannot be read ({error.strerror or error})") from error
    if not columns or not len(next(iter(columns.values()))):
        raise _unusable("empty", path, "holds no row")
    return Table(str(path), columns)


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns without reading it whole; none for what is no table."""
    try:
        if path.name.removesuffix(".gz").endswith(".json"):
            return list(_read_json(path))
        return _header(path)[0]
    except (InputError, OSError):
        return []


def _unusable(code: str, path: Path, message: str, fix: str = "Export it again") -> InputError:
    return InputError(Problem(f"votes.{code}", str(path), message, f"{fix}."))


def _read_csv(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    broken: list[Problem] = []

    def skip(row: Any) -> str:
        where = f"{path}, line {row.number}" if row.number else str(path)
        message = f"has {row.actual_columns} cells, not {row.expected_columns}"
        broken.append(Problem("votes.cells", where, message, "Repair the line."))
        return "skip"

    try:
        header, form = _header(path)
        table = arrow.read_csv(
            str(path),
            # Under any other name of it Arrow decodes UTF-8 in Python.
            read_options=arrow.ReadOptions(
                encoding=form.encoding.replace("utf-8-sig", "utf8"), skip_rows=form.skipped
            ),
            parse_options=arrow.ParseOptions(
                newlines_in_values=True, invalid_row_handler=skip, delimiter=form.delimiter
            ),
            convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _not_csv(path, error) from error
    if broken:
        raise InputError(broken[:SHOWN])
    return {name: _whole(table.column(name)) for name in header}


def _whole(column: Any) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:160]


def _not_csv(path: Path, error: Exception) -> InputError:
    return _unusable(
        "csv", path, f"is not a CSV table in UTF-8 or UTF-16 ({_first(error)})", "Save it as CSV in UTF-8"
    )


@dataclass(frozen=True)
class _Form:
    """How a CSV file is written: spreadsheets save with semicolons or tabs too, and in UTF-16."""

    encoding: str
    delimiter: str
    skipped: int


def _form(path: Path) -> _Form:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        start = file.read(2**18)
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = start.decode(encoding, errors="ignore")
    declared = text.startswith(DECLARED)
    if declared and "agree=-1" in (first := text.partition("\n")[0]).replace("disagree=-1", ""):
        raise _unusable("sign", path, f"says {first[:80]!a}", "Multiply the votes by -1: 1 is agree here")
    counts = _outside_quotes(text.partition("\n")[2] if declared else text)
    return _Form(encoding, max(DELIMITERS, key=lambda d: counts[d]), int(declared))


def _outside_quotes(text: str) -> Counter[str]:
    """Return how often each character stands outside quotes in the first row of a CSV text."""
    quoted, counts = False, Counter[str]()
    for c in text:
        if c == '"':
            quoted = not quoted
        elif not quoted and c in "\r\n":
            break
        elif not quoted:
            counts[c] += 1
    return counts


def _header(path: Path) -> tuple[list[str], _Form]:
    """Return the names of the columns and how the file is written; raises InputError for no name, or one used twice."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        form = _form(path)
        with opened(path, "rt", encoding=form.encoding, newline="") as file:
            for _ in range(form.skipped):
                next(file)
            header = next(csv.reader(file, delimiter=form.delimiter), [])
    except (UnicodeError, csv.Error, EOFError, gzip.BadGzipFile) as error:
        raise _not_csv(path, error) from error
    if not header:
        raise _unusable("empty", path, "holds nothing")
    if twice := sorted({n for n in header if header.count(n) > 1}):
        shown = ", ".join(ascii(n) for n in twice[:5])
        raise _unusable("columns", path, f"names columns twice: {shown}", "Give each its own name")
    return header, form


def _read_json(path: Path) -> dict[str, Any]:
    import pyarrow as pa

    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = json.loads(data)
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile) as error:
        raise _unusable("json", path, f"is not JSON ({_first(error)})") from error
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise _unusable("json", path, "is not a list of objects", "Export the list of votes or comments")
    keys = dict.fromkeys(k for row in rows for k in row)
    cells = {k: [_cell(row.get(k)) for row in rows] for k in keys}
    try:
        return {k: pa.array(column, pa.string()) for k, column in cells.items()}
    except UnicodeEncodeError as error:  # a lone surrogate
        raise _unusable("json", path, "holds text that is not valid Unicode") from error


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def by_number(ids: Iterable[str]) -> list[str]:
    """Return ids sorted as numbers where they are numbers, then the others as text."""
    return sorted(
        ids, key=lambda i: (0, int(i), i) if i.isascii() and i.isdigit() and len(i) < 19 else (1, 0, i)
    )
