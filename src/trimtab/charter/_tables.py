"""Tables of text that people export: CSV and JSON, plain or gzipped, every cell a string."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, Problem
from trimtab.records.toml import parse_toml

if TYPE_CHECKING:
    from trimtab.charter.votes import Ints

ENDINGS = (".csv", ".tsv", ".json")
TELLING = ("vote", "comment", "particip", "ballot")  # in the name of a file that is not passed over
SHOWN = 20
DELIMITERS = ",;\t"
PARTING = str.maketrans("", "", f'{DELIMITERS}"')
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


def plain(name: str) -> str:
    """Return a file's name in lower case and without the ending of gzip."""
    return name.lower().removesuffix(".gz")


def is_table(path: Path) -> bool:
    """Return whether a file's name says that it is a table."""
    return plain(path.name).endswith(ENDINGS)


def id_of(text: str) -> str:
    """Return an id without what spreadsheets append to numbers."""
    return whole if (whole := text.removesuffix(".0")).isdigit() else text


@dataclass(frozen=True)
class Table:
    """A table of N rows: an Arrow column of strings (N,) by its name as written; null or "" is an empty cell.

    `notes` say how it was read where that is not plain.
    """

    place: str
    columns: dict[str, Any]
    notes: tuple[str, ...] = ()

    def find(self, known: list[str]) -> str | None:
        """Return the name of the first column that goes by one of the `known` names."""
        own = {same(c): c for c in reversed(self.columns)}
        return next((own[k] for k in known if k in own), None)

    def codes(self, name: str, read: Callable[[str], str] = str) -> tuple[Ints, list[str]]:
        """Return a column as indices (N,) into a list of its distinct values, stripped and `read`."""
        encoded = self.columns[name].dictionary_encode()
        index = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.intp)
        values: dict[str, int] = {}
        place = [values.setdefault(read(v.strip()), len(values)) for v in encoded.dictionary.to_pylist()]
        return np.asarray(place, dtype=np.intp)[index], list(values)

    def values(self, name: str) -> list[str]:
        """Return the distinct values of a column, stripped."""
        return [v.strip() for v in self.columns[name].unique().to_pylist()]

    def texts(self, name: str) -> list[str]:
        """Return a column as stripped strings."""
        return [v.strip() for v in self.columns[name].to_pylist()]

    def ids(self, name: str) -> list[str]:
        """Return a column of ids."""
        return [id_of(t) for t in self.texts(name)]

    @property
    def rows(self) -> int:
        """N."""
        return len(next(iter(self.columns.values())))


def read_table(path: Path) -> Table:
    """Read a CSV file or a JSON list of objects; raises InputError with all its problems."""
    try:
        columns, notes = (_read_json(path), ()) if _is_json(path) else _read_csv(path)
    except OSError as error:
        raise _unusable("unreadable", path, f"cannot be read ({error.strerror or error})") from error
    columns, blank = _without_blank_rows(columns)
    if not columns or not len(next(iter(columns.values()))):
        raise _unusable("empty", path, "holds no row")
    left = (f"{path.name}: {blank} rows are empty, and left out",) if blank else ()
    return Table(str(path), columns, (*notes, *left))


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns without reading it whole; none for what is no table.

    Raises InputError for a file that cannot be read where its name says that it holds what is looked for.
    """
    try:
        return list(_read_json(path)) if _is_json(path) else _header(path)[0]
    except OSError:
        return []
    except InputError as error:
        # JSON that is no list is something else that was exported, whatever its name.
        if error.problems[0].code == "votes.list" or not any(w in path.name.lower() for w in TELLING):
            return []
        raise


def _zipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _is_json(path: Path) -> bool:
    return plain(path.name).endswith(".json")


def _without_blank_rows(columns: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the columns without the rows of which no cell holds anything, and how many those were."""
    import pyarrow as pa
    import pyarrow.compute as pc

    blank: Any = None
    for column in columns.values():
        here = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), fill_value=True)
        blank = here if blank is None else pc.and_(blank, here)
        if not pc.any(blank).as_py():
            return columns, 0
    if blank is None or not len(blank):
        return columns, 0
    kept = pc.invert(blank)
    return {n: pa.array(c).filter(kept) for n, c in columns.items()}, int(pc.sum(blank).as_py())


def _unusable(code: str, path: Path, message: str, fix: str = "Export it again") -> InputError:
    return InputError(Problem(f"votes.{code}", str(path), message, f"{fix}."))


def _read_csv(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    broken: list[Problem] = []

    def skip(row: Any) -> str:
        # Arrow reads in threads and does not know which line it is.
        message = (
            f"a row has {row.actual_columns} cells, not {row.expected_columns}: {row.text.strip()[:60]!a}"
        )
        broken.append(Problem("votes.cells", str(path), message, "Repair the line."))
        return "skip"

    try:
        header, form = _header(path)
        table = arrow.read_csv(
            str(path),
            # Under any other name of it Arrow decodes UTF-8 in Python.
            read_options=arrow.ReadOptions(
                encoding=form.encoding.replace("utf-8-sig", "utf8"),
                skip_rows=form.skipped,
                column_names=header,
                skip_rows_after_names=1,
            ),
            parse_options=arrow.ParseOptions(
                newlines_in_values=True, invalid_row_handler=skip, delimiter=form.delimiter
            ),
            convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _not_csv(path, error) from error
    if broken and len(header) == 1 and not table.num_rows:
        raise _titled(path, header[0])
    if broken:
        raise InputError(broken[:SHOWN])
    columns = {name: _whole(table.column(name)) for name in header}
    # Spreadsheets save columns that nobody filled.
    used = {
        n: c for n, c in columns.items() if n.strip() or any(v and v.strip() for v in c.unique().to_pylist())
    }
    if len(named := [n for n in used if n.strip()]) == 1 and len(used) > 2:
        raise _titled(path, named[0])
    told = f"{path.name} is read as Windows-1252, since it is not UTF-8"
    return used, ((told,) if form.encoding == "cp1252" else ())


def _titled(path: Path, title: str) -> InputError:
    message = f"its first line, {title[:60]!a}, names one column, and there are more"
    return _unusable("title", path, message, "Delete what stands above the names of the columns")


def _whole(column: Any) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:160]


def _not_csv(path: Path, error: Exception) -> InputError:
    return _unusable(
        "csv",
        path,
        f"is not a CSV table in UTF-8, UTF-16 or Windows-1252 ({_first(error)})",
        "Save it as CSV in UTF-8",
    )


@dataclass(frozen=True)
class _Form:
    """How a CSV file is written: spreadsheets save with semicolons or tabs too, and in UTF-16."""

    encoding: str
    delimiter: str
    skipped: int


def _form(path: Path) -> _Form:
    opened = gzip.open if _zipped(path) else open
    with opened(path, "rb") as file:
        start = file.read(2**18)
        encoding = _encoding(start, file)
    text = start.decode(encoding, errors="ignore")
    lines = list(StringIO(text, newline=""))
    skipped = next((n for n, line in enumerate(lines) if not _before(line, path)), 0)
    counts = _outside_quotes("".join(lines[skipped:]))
    return _Form(encoding, max(DELIMITERS, key=lambda d: counts[d]), skipped)


def _before(line: str, path: Path) -> bool:
    """Return whether a line stands before the names of the columns: it is blank, or says how the file is written."""
    declared = line.startswith(DECLARED)
    if declared and "agree=-1" in line.replace("disagree=-1", ""):
        raise _unusable("sign", path, f"says {line[:80]!a}", "Multiply the votes by -1: 1 is agree here")
    # The second is how a spreadsheet is told what parts the cells, the third how it saves an empty row.
    return declared or line.startswith("sep=") or not line.translate(PARTING).strip()


def _encoding(start: bytes, file: Any) -> str:
    """Return the encoding of a text by its beginning and, where that does not say, all of it."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(start)
        while more := file.read(2**20):
            decoder.decode(more)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"  # what spreadsheets in Windows save
    return "utf-8-sig"


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
    """Return the names of the columns and how the file is written; raises InputError for no name, or one used twice.

    Blank names differ in their number of spaces.
    """
    opened = gzip.open if _zipped(path) else open
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
    if twice := sorted({n for n in header if n.strip() and header.count(n) > 1}):
        shown = ", ".join(ascii(n) for n in twice[:5])
        raise _unusable("columns", path, f"names columns twice: {shown}", "Give each its own name")
    blank = count()
    return [name if name.strip() else " " * next(blank) for name in header], form


def _read_json(path: Path) -> dict[str, Any]:
    import pyarrow as pa

    try:
        data = gzip.decompress(path.read_bytes()) if _zipped(path) else path.read_bytes()
        rows = json.loads(data)
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile) as error:
        raise _unusable("json", path, f"is not JSON ({_first(error)})") from error
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise _unusable("list", path, "is not a list of objects", "Export the list of votes or comments")
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
