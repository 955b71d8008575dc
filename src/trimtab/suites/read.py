"""Reads a suite: a user's own held-out cases are as good as the built-in ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trimtab.errors import InputError, Problem
from trimtab.models.cache import file_digest
from trimtab.records.read import Rejected, iter_rows
from trimtab.suites.case import KINDS, Case


@dataclass(frozen=True)
class Suite:
    """Cases of one kind, with what was wrong with the rows that are not among them."""

    name: str
    kind: str
    cases: list[Case]
    rejected: list[Rejected]
    digest: str = ""

    def part(self, split: str) -> list[Case]:
        """Return the cases of one split."""
        return [c for c in self.cases if c.split == split]


def read_suite(path: Path, *, limit: int | None = None) -> Suite:
    """Read a suite from JSONL, JSON, CSV or Parquet; at most `limit` cases, evenly spaced over the file.

    A row without `id` gets its place, one without `cluster` its id. Raises InputError for a file that cannot be
    read, of mixed kinds, or without a valid row.
    """
    cases: list[Case] = []
    rejected: list[Rejected] = []
    kinds: Counter[str] = Counter()
    for place, row in iter_rows(path):
        taken = row if isinstance(row, Rejected) else _case(row, path.stem, place)
        if isinstance(taken, Rejected):
            rejected.append(taken)
        else:
            kinds[str(row["kind"])] += 1  # type: ignore[index]
            cases.append(taken)
    cases = _first_of_each_id(cases, rejected)
    kind = _one_kind(kinds, path, rejected)
    if limit is not None and limit < len(cases):
        cases = [cases[i * len(cases) // limit] for i in range(limit)]
    return Suite(path.stem, kind, cases, rejected, file_digest(path) if path.is_file() else "")


def _case(row: dict[str, Any], suite: str, place: str) -> Case | Rejected:
    kind = row.get("kind")
    if kind not in KINDS:
        return Rejected(place, "suite.kind", f"kind is {kind!r:.60}, not one of {', '.join(KINDS)}")
    row = {key: value for key, value in row.items() if value is not None}
    row.setdefault("id", place)
    row = {**row, "suite": suite, "cluster": row.get("cluster", row["id"])}
    try:
        return KINDS[kind].model_validate(row)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Rejected(place, "suite.case", reasons)


def _first_of_each_id(cases: list[Case], rejected: list[Rejected]) -> list[Case]:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.id in seen:
            rejected.append(Rejected(f"id {case.id:.60}", "suite.same-id", "an earlier case has this id"))
        seen.setdefault(case.id, case)
    return list(seen.values())


def _one_kind(kinds: Counter[str], path: Path, rejected: list[Rejected]) -> str:
    place = str(path)
    if not kinds:
        first = "; ".join(map(str, rejected[:3])) or "the file holds no row"
        fix = "Give each row `kind` and the fields of that kind (see `trimtab probe --help`)."
        raise InputError(Problem("suite.no-valid-row", place, f"no valid case: {first}", fix))
    if len(kinds) > 1:
        counts = ", ".join(f"{n} {k}" for k, n in sorted(kinds.items()))
        raise InputError(
            Problem("suite.mixed-kinds", place, f"mixes {counts}", "Write one file for each kind.")
        )
    return next(iter(kinds))
