"""Held-out cases: the texts of evaluation sets, in whatever shape, that rows are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.records.read import Rejected, iter_rows
from trimtab.screens.duplicates import LEAST_WORDS


def read_held_out(paths: Sequence[str]) -> list[list[str]]:
    """Return, for each row of the files at `paths`, its texts of five words or more, wherever they are in it.

    Trimtab's suites and anybody's evaluation sets alike: names and labels are shorter than what can be told to be
    shared. Raises InputError that names every file that cannot be read, or holds no such text.
    """
    cases: list[list[str]] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found = [texts for _, row in iter_rows(path) if (texts := _texts(row))]
        except TrimtabError as error:
            problems += error.problems
            continue
        if not found:
            fix = "Name a file of evaluation cases"
            message = f"holds no text of {LEAST_WORDS} words or more to compare with"
            problems.append(Problem("screen.against", str(path), message, fix))
        cases += found
    if problems:
        raise InputError(problems)
    return cases


def _texts(row: dict[str, Any] | Rejected) -> list[str]:
    texts = () if isinstance(row, Rejected) else _strings(row)
    return [text for text in texts if len(text.split()) >= LEAST_WORDS]


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
