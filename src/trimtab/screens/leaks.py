"""Leaks: which held-out case each row that a finding shows was taken from, and how many cases there were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trimtab.records.record import Record
from trimtab.records.shapes import to_record
from trimtab.records.write import record_schema
from trimtab.screens.batch import Batch
from trimtab.screens.contamination import Contamination
from trimtab.screens.finding import Finding
from trimtab.screens.held_out import HeldOut, told
from trimtab.screens.repeats import numbered_rows
from trimtab.screens.tally import Tally


def with_cases(findings: Sequence[Finding], tally: Tally, parts: Sequence[Path], path: Path) -> list[Finding]:
    """Return findings where those of contamination name the cases of the rows they show, and say what was compared.

    `path` is the file of held-out cases that the scan read; without one nothing was compared, and nothing changes.
    """
    if not path.exists():
        return list(findings)
    held_out: HeldOut = json.loads(path.read_text())
    shown = {place: number for code in Contamination.codes for number, place in tally.first.get(code, ())}
    places = dict(_sources(held_out, parts, set(shown.values()))) if shown else {}
    return [_with_cases(f, shown, places, held_out) if f.family == "contamination" else f for f in findings]


def _with_cases(
    finding: Finding, shown: dict[str, int], places: dict[tuple[str, int], str], held_out: HeldOut
) -> Finding:
    pairs = ((row, places.get((finding.code, shown[row]))) for row in finding.rows)
    named = [f"{row} has {case}" for row, case in pairs if case]
    return replace(finding, text="; ".join([*named, told(held_out)]))


def _sources(
    held_out: HeldOut, parts: Iterable[Path], wanted: set[int]
) -> Iterator[tuple[tuple[str, int], str]]:
    import numpy as np

    cases, rows_wanted = held_out["cases"], np.array(sorted(wanted), np.int64)
    numbers, records = [], list[Record]()
    names = ["row", *record_schema().names]
    for row in (r for part in parts for r in numbered_rows(part, rows_wanted, names)):
        numbers.append(row.pop("row"))
        records.append(to_record(row, place="", checked=True))
    found = Contamination(case["texts"] for case in cases).sources(Batch(records))
    for code, rows in found.items():
        yield from (((code, numbers[row]), cases[case]["place"]) for row, case in rows.items())
