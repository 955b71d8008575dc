"""Screens a whole dataset: plan, scan, look for what repeats, sort the rows, and tell the findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.records.write import write_json, write_jsonl
from trimtab.screens.compared import COMPARED, RealText, Reference, compare_rows, read_real
from trimtab.screens.finding import Finding, abouts
from trimtab.screens.held_out import read_held_out
from trimtab.screens.inputs import Listing, printable
from trimtab.screens.leaks import with_cases
from trimtab.screens.modelled import Models
from trimtab.screens.repeats import Repeats, Told, find_repeats, kept_first
from trimtab.screens.sample import draw
from trimtab.screens.scan import CASES, part_path, row_screens, scan
from trimtab.screens.settings import Settings
from trimtab.screens.sorting import Mark, Sorted, leaving, sort_rows
from trimtab.screens.sources import (
    Source,
    Unit,
    all_files,
    called,
    check_unchanged,
    near_files,
    plan,
    rows_of,
    source_of,
)
from trimtab.screens.tally import Tally
from trimtab.screens.told import repeat_findings, row_findings
from trimtab.screens.usual import language_finding, length_finding, usual_of
from trimtab.screens.work import close_work, open_work, remove_old

Progress = Callable[[int], None]
Bar = Callable[[str, int], Progress]


@dataclass(frozen=True)
class Screening:
    """What a screen found: rows read, kept and excluded, the findings in the order of checks.toml, seconds by stage.

    `left_out` says of files that were met why they were not read, `ignored` counts rows by keys that records do not
    hold, `reference` says how much of the real text was taken.
    """

    data: str
    rows: int
    records: int
    kept: int
    excluded: int
    reasons: dict[str, int]
    findings: list[Finding]
    kinds: dict[str, int]
    kinds_kept: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    reference: str = ""
    sources: list[Source] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = round(now - self._last, 3), now


def no_bar(_name: str, _total: int) -> Progress:
    """Show no progress."""
    return lambda _done: None


def screen_dataset(
    data: str,
    out: Path,
    settings: Settings,
    *,
    exclude: Sequence[str] = (),
    against: Sequence[str] = (),
    reference: str = "",
    models: Models | None = None,
    bar: Bar = no_bar,
) -> Screening:
    """Screen everything at `data`; write findings and rows to the folder `out`, and return what was found.

    `data`, `against` and `reference` are files, folders, patterns, folders that datasets saved, or addresses
    (`s3://…`, `hf://…`). Started again after it was cut off, it goes on where it was. Raises InputError for what
    cannot be read, what is empty, what changes meanwhile, and for a folder `out` that holds something else.
    """
    names = [data, *against, *([reference] if reference else [])]
    listing, *others = all_files(names, out)
    remove_old(out)
    work = open_work(out)
    apart = [source_of(file) for other in others for file in other.files]
    _write_cases(work, others[: len(against)])
    real = Reference(_read_real(reference, others[-1], work) if reference else None, models or Models())
    clock = _Clock()
    units, sources = plan(listing.files, work)
    clock.lap("plan")
    tally, parts = _scanned(units, settings, work, bar)
    clock.lap("rows")
    if tally.rows == 0:
        raise InputError(Problem("screen.empty", data, "holds no row", "Give at least one row"))
    repeats = find_repeats(parts, near=settings.near) if tally.records else Repeats()
    clock.lap("duplicates")
    findings = with_cases(row_findings(tally), tally, parts, work / CASES)
    usual = usual_of(tally)
    findings += [language_finding(tally, usual), length_finding(tally, usual)]
    findings += repeat_findings(repeats, tally, near=settings.near)
    mark = Mark(usual=usual, screens=row_screens(settings))
    sample = draw(parts, tally.records, settings.hunted, settings.seed)
    progress = bar("rows compared", len(COMPARED))
    findings += compare_rows(sample, parts, real, settings, mark=mark, progress=progress)
    check_unchanged([*sources, *apart])
    clock.lap("compared")
    left = leaving(parts, mark, exclude, repeats.rows())
    mark.found |= _told(kept_first(repeats, left, parts))
    done = sort_rows(parts, mark, exclude, out)
    _check_sum(done, tally)
    clock.lap("written")
    findings = _in_order(findings)
    write_jsonl(out / "findings.jsonl", (finding.to_json() for finding in findings))
    close_work(work, CASES)
    return Screening(
        printable(data), tally.rows, tally.records, done.kept, done.excluded, dict(done.reasons), findings,
        dict(tally.kinds), dict(done.kinds), _left_out(names, [listing, *others]), dict(tally.ignored),
        real.real.told() if real.real else "", sources, clock.seconds,
    )  # fmt: skip


def _left_out(names: Sequence[str], listings: Sequence[Listing]) -> dict[str, str]:
    """Return what was left out of all names; of the first, the dataset, as it is called in places."""
    left_out = dict(listings[0].left_out)
    for name, listing in zip(names[1:], listings[1:], strict=True):
        left_out |= {f"{printable(name)}: {file}": why for file, why in listing.left_out.items()}
    return left_out


def _write_cases(work: Path, against: Sequence[Listing]) -> None:
    (work / CASES).unlink(missing_ok=True)
    paths = [
        (file.name, path)
        for number, listing in enumerate(against)
        for file, path in near_files(listing, work / "against" / str(number))
    ]
    if paths:
        names = {path: name for name, path in paths}
        with called(names):
            write_json(work / CASES, read_held_out(list(names), names))


def _read_real(name: str, listing: Listing, work: Path) -> RealText:
    return read_real(rows_of(listing, work / "reference"), printable(name))


def _scanned(units: Sequence[Unit], settings: Settings, work: Path, bar: Bar) -> tuple[Tally, list[Path]]:
    tally, progress = Tally(), bar("rows checked", sum(unit.stop - unit.start for unit in units))
    for number, told in scan(units, settings, work):
        tally.add(told)
        progress(units[number].stop - units[number].start)
    return tally, [part_path(work, unit.number) for unit in units]


def _told(repeats: Repeats) -> dict[str, Told]:
    return {
        "duplicates.exact": Told("repeats", repeats.exact, repeats.places),
        "duplicates.near": Told("nearly repeats", repeats.near, repeats.places),
    }


def _check_sum(done: Sorted, tally: Tally) -> None:
    if done.kept + done.excluded != tally.rows:
        raise AssertionError(f"{done.kept} kept and {done.excluded} excluded of {tally.rows} rows read")


def _in_order(findings: Sequence[Finding]) -> list[Finding]:
    order: dict[str, Any] = {code: i for i, code in enumerate(abouts())}
    return sorted(findings, key=lambda finding: order[finding.code])
