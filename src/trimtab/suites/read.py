"""Reads a suite: a user's own held-out cases are as good as the built-in ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trimtab.errors import InputError, Problem
from trimtab.records._rows import unusable
from trimtab.records._tables import is_saved
from trimtab.records._text import TEXT_SUFFIXES, is_packed
from trimtab.records.read import Rejected, input_digest, iter_rows, nothing_taken
from trimtab.records.shapes import short
from trimtab.suites.case import KINDS, Case
from trimtab.suites.sample import sample

_FIX = "Give each row `kind` and the fields of that kind (the table is in docs/loop.md, Your own cases)"
_MAY_BE_MISSING = ("id", "cluster", "split", "family", "direction", "group", "behavior", "question")


@dataclass(frozen=True)
class Suite:
    """Cases of one kind, with what was wrong with the rows that are not among them.

    `ignored`: key that cases of the kind do not hold → how many of them had a value there. `left_out`: cases that a
    limit left out.
    """

    name: str
    kind: str
    cases: list[Case]
    rejected: list[Rejected]
    digest: str = ""
    ignored: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0

    def part(self, split: str) -> list[Case]:
        """Return the cases of one split."""
        return [c for c in self.cases if c.split == split]


def suite_files(path: Path) -> list[Path]:
    """Return the files of suites that a path stands for: those of a folder, those of a pattern, or itself.

    Raises InputError for a folder or a pattern without any.
    """
    if path.is_dir():
        found = [path] if is_saved(path) else sorted(p for p in path.iterdir() if _is_table(p))
    elif "*" in str(path) and not path.exists():
        found = sorted(p for p in map(Path, glob(str(path))) if p.is_file())
    else:
        return [path]
    if not found:
        fix = "Name files of cases (.jsonl, .jsonl.gz, .json, .csv or .parquet), or a folder of them"
        raise unusable("suite.no-file", path, "holds no file of cases", fix)
    return found


def _is_table(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() in (".parquet", *TEXT_SUFFIXES) or is_packed(path))


def read_suite(path: Path, *, limit: int | None = None) -> Suite:
    """Read a suite from JSONL(.gz), JSON, CSV or Parquet; at most `limit` cases, sampled over families.

    A row without `id` gets its place, one without `cluster` its id. Raises InputError for a file that cannot be
    read, of mixed kinds, or without a valid row.
    """
    name = Path(path.name.removesuffix(".gz")).stem
    taken: dict[str, tuple[str, Case]] = {}
    rejected: list[Rejected] = []
    ignored: Counter[str] = Counter()
    for place, row in iter_rows(path):
        if isinstance(row, Rejected):
            rejected.append(row)
            continue
        case = _case(row, name, place)
        if isinstance(case, Case) and case.id in taken:
            reason = f"the id {short(case.id)} is that of {taken[case.id][0]}"
            case = Rejected(place, "suite.same-id", reason)
        if isinstance(case, Rejected):
            rejected.append(case)
        else:
            taken[case.id] = (place, case)
            held = _held(type(case))
            ignored.update(k for k, v in row.items() if k not in held and v not in (None, ""))
    cases = [case for _, case in taken.values()]
    if not cases:
        raise nothing_taken(rejected, path, area="suite", noun="case", fix=_FIX)
    kind = _one_kind(cases, path)
    kept = cases if limit is None else sample(cases, limit)
    return Suite(name, kind, kept, rejected, input_digest(path), ignored, len(cases) - len(kept))


@cache
def _held(case: type[Case]) -> frozenset[str]:
    """Return the keys of a row that a case takes."""
    return frozenset(
        {"kind", *(str(f.validation_alias or name) for name, f in case.model_fields.items())} - {"suite"}
    )


def _case(row: dict[str, Any], suite: str, place: str) -> Case | Rejected:
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return Rejected(place, "suite.kind", f"kind is {short(kind)}, not one of {', '.join(KINDS)}")
    # In CSV what is not given is an empty cell.
    row = {k: v for k, v in row.items() if v is not None and not (v == "" and k in _MAY_BE_MISSING)}
    row.setdefault("id", place)
    row = {**row, "suite": suite, "cluster": row.get("cluster", row["id"])}
    try:
        return KINDS[kind].model_validate(row)
    except ValidationError as error:
        found = [
            (".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()
        ]
        return Rejected(place, "suite.case", "; ".join(f"{short(k)}: {m}" if k else m for k, m in found[:5]))


def _one_kind(cases: list[Case], path: Path) -> str:
    names = {case: kind for kind, case in KINDS.items()}
    kinds = Counter(names[type(case)] for case in cases)
    if len(kinds) > 1:
        counts = ", ".join(f"{n} {k}" for k, n in sorted(kinds.items()))
        problem = Problem("suite.mixed-kinds", str(path), f"mixes {counts}", "Write one file for each kind")
        raise InputError(problem)
    return next(iter(kinds))
