"""Held-out cases: the texts of evaluation sets, in whatever shape, that rows are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.records.read import Rejected, iter_rows
from trimtab.screens.contamination import UNSPACED
from trimtab.screens.duplicates import LEAST_WORDS
from trimtab.screens.wrappings import Part, parts_of, wrappings

SHORT = "short"


class HeldOutCase(TypedDict):
    """Where a case is, and its texts."""

    place: str
    texts: list[str]


class HeldOut(TypedDict):
    """The cases that rows are compared with, and of the rows that hold none how many there are for each reason.

    A reason is the code of a row that cannot be read, or SHORT for one without a text that is long enough.
    """

    cases: list[HeldOutCase]
    left_out: dict[str, int]


def read_held_out(paths: Sequence[str], names: Mapping[str, str] | None = None) -> HeldOut:
    """Return, for each row of the files at `paths`, its texts of five words or more, wherever they are in it.

    `names` are what files are called that lie elsewhere now: path → name.
    Trimtab's suites and anybody's evaluation sets alike: names and labels are shorter than what can be told to be
    shared. What wraps many cases (`wrappings`) is none of theirs. Raises InputError that names every file that cannot be read, or holds no such text.
    """
    read: list[_Read] = []
    for path in paths:
        try:
            read.append(_read(path, (names or {}).get(path, Path(path).name)))
        except TrimtabError as error:
            read.append(_Read(str(path), problems=list(error.problems)))
    # A wrapping may be shared by cases of several files.
    shared = wrappings([parts for one in read for _, parts in one.rows])
    cases: list[HeldOutCase] = []
    left_out: Counter[str] = Counter()
    problems: list[Problem] = []
    for one in read:
        found, short = _cases(one, shared)
        problems += one.problems
        if not (found or one.problems):
            fix = "Name a file of evaluation cases"
            message = f"holds no text of {LEAST_WORDS} words or more to compare with{_reasons(short)}"
            problems.append(Problem("screen.against", one.path, message, fix))
        cases += found
        left_out += short
    if problems:
        raise InputError(problems)
    return {"cases": cases, "left_out": dict(left_out)}


def told(held_out: HeldOut) -> str:
    """Return in one sentence with how many cases rows were compared, and what was left out."""
    left_out = held_out["left_out"]
    n = sum(left_out.values())
    more = f"; {n:,} rows left out{_reasons(left_out)}" if n else ""
    return f"compared with {len(held_out['cases']):,} cases{more}"


def _reasons(left_out: dict[str, int] | Counter[str]) -> str:
    words = {SHORT: f"without a text of {LEAST_WORDS} words"}
    reasons = ", ".join(f"{n:,} {words.get(code, code)}" for code, n in Counter(left_out).most_common())
    return f" ({reasons})" if reasons else ""


@dataclass
class _Read:
    """The rows of one file, each with its place and its texts, those that cannot be read, by reason; or why none can."""

    path: str
    rows: list[tuple[str, list[Part]]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


def _read(path: str, name: str) -> _Read:
    read = _Read(str(path))
    for place, row in iter_rows(path):
        if isinstance(row, Rejected):
            read.left_out[row.code] += 1
        else:
            read.rows.append((f"{name}, {place}", parts_of(row)))
    return read


def _cases(read: _Read, shared: Set[Part]) -> tuple[list[HeldOutCase], Counter[str]]:
    cases: list[HeldOutCase] = []
    left_out = read.left_out.copy()
    for place, parts in read.rows:
        if texts := [part.text for part in parts if part not in shared and _long_enough(part.text)]:
            cases.append({"place": place, "texts": texts})
        else:
            left_out[SHORT] += 1
    return cases, left_out


def _long_enough(text: str) -> bool:
    # A character of a script without spaces is a word; most texts have enough of others.
    return len(text.split()) >= LEAST_WORDS or len(UNSPACED.findall(text)) >= LEAST_WORDS
