"""Held-out cases: the texts of evaluation sets, in whatever shape, that rows are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.records.read import Rejected, iter_rows
from trimtab.screens.contamination import UNSPACED
from trimtab.screens.duplicates import LEAST_WORDS

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
    shared. Raises InputError that names every file that cannot be read, or holds no such text.
    """
    cases: list[HeldOutCase] = []
    left_out: Counter[str] = Counter()
    problems: list[Problem] = []
    for path in paths:
        try:
            found, short = _read(path, (names or {}).get(path, Path(path).name))
        except TrimtabError as error:
            problems += error.problems
            continue
        if not found:
            fix = "Name a file of evaluation cases"
            message = f"holds no text of {LEAST_WORDS} words or more to compare with{_reasons(short)}"
            problems.append(Problem("screen.against", str(path), message, fix))
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


def _read(path: str, name: str) -> tuple[list[HeldOutCase], Counter[str]]:
    cases: list[HeldOutCase] = []
    left_out: Counter[str] = Counter()
    for place, row in iter_rows(path):
        if isinstance(row, Rejected):
            left_out[row.code] += 1
        elif texts := _texts(row):
            cases.append({"place": f"{name}, {place}", "texts": texts})
        else:
            left_out[SHORT] += 1
    return cases, left_out


def _texts(row: dict[str, Any]) -> list[str]:
    return [text for text in _strings(row) if _long_enough(text)]


def _long_enough(text: str) -> bool:
    # A character of a script without spaces is a word; most texts have enough of others.
    return len(text.split()) >= LEAST_WORDS or len(UNSPACED.findall(text)) >= LEAST_WORDS


def _strings(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
