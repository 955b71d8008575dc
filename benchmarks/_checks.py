"""What each check of a screen costs for a row: the screen itself, in one process, with a meter on each of its parts.

Seconds are those of the processor, without what a part calls that has a meter of its own; memory is the most that the
process holds while a part works, beyond what it held before; bytes are those of the columns of the parts of a scan.
"""

from __future__ import annotations

import ctypes
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from _rows import Rows, made, write

from trimtab import engine
from trimtab.governance.screening import read_screen_policy
from trimtab.records.write import record_schema
from trimtab.screens import compared, dataset, repeats, scan
from trimtab.screens.batch import Batch
from trimtab.screens.contamination import Contamination
from trimtab.screens.duplicates import BANDS
from trimtab.screens.form import Form
from trimtab.screens.hidden import Hidden
from trimtab.screens.injection import Injection
from trimtab.screens.lineage import LineageScreen
from trimtab.screens.sample import Sample
from trimtab.screens.secrets import Secrets

CASES, REAL = 2_000, 4_000
"""Rows of DATA that are kept apart: as evaluation cases, and as the real text."""
_EVERY, _SAMPLE, _FIXED = "all rows", "a sample", "fixed"
_BAND_COLUMNS = [f"b{i:02}" for i in range(BANDS)]
_TEXTS = ("parts", "texts", "prompts", "replies", "column", "reply_column", "ascii")

# What it is called, what it reads, and the functions, properties and classes that do it.
STEPS: dict[str, tuple[str, list[tuple[Any, str]]]] = {
    "plan: units and their digests": (_EVERY, [(dataset, "plan")]),
    "reading rows, making records": (_EVERY, [(scan, "_read")]),
    "texts that checks share": (_EVERY, [(Batch, name) for name in _TEXTS]),
    "plain words": (_EVERY, [(Batch, "plain"), (Batch, "words")]),
    "form": (_EVERY, [(Form, "hits")]),
    "hidden": (_EVERY, [(Hidden, "hits")]),
    "secrets, personal": (_EVERY, [(Secrets, "hits")]),
    "injection": (_EVERY, [(Injection, "hits")]),
    "lineage": (_EVERY, [(LineageScreen, "hits")]),
    "language, length": (_EVERY, [(scan, "_describe")]),
    "contamination: preparing the cases": (_FIXED, [(dataset, "_write_cases"), (scan, "_tools")]),
    "contamination": (_EVERY, [(Contamination, "hits")]),
    "contamination: naming cases": (_FIXED, [(dataset, "with_cases")]),
    "duplicates: exact keys": (_EVERY, [(scan, "keys")]),
    "duplicates: signatures, bands": (_EVERY, [(scan, "band_hashes")]),
    "writing parts": (_EVERY, [(scan, "record_table"), (scan, "write_parquet")]),
    "duplicates: grouping by key": (_EVERY, [(dataset, "find_repeats")]),
    "duplicates: grouping by band": (_EVERY, [(repeats, "candidate_pairs")]),
    "duplicates: comparing pairs": (_EVERY, [(repeats, "_Texts"), (repeats, "join_near")]),
    "drawing the sample": (_EVERY, [(dataset, "draw")]),
    "poison: words of the sample": (_SAMPLE, [(Sample, "asked"), (Sample, "answered")]),
    "poison: trigger": (_SAMPLE, [(compared, "trigger_finding")]),
    "poison: reworded": (_SAMPLE, [(compared, "reworded_finding")]),
    "poison: cluster": (_SAMPLE, [(compared, "cluster_finding")]),
    "poison: label": (_SAMPLE, [(compared, "label_finding")]),
    "poison: outlier": (_SAMPLE, [(compared, "outlier_finding")]),
    "poison: the same in all rows": (_EVERY, [(compared, "spread")]),
    "bias": (_SAMPLE, [(compared, "bias_findings")]),
    "fidelity: reading real text": (_FIXED, [(dataset, "_read_real")]),
    "fidelity": (_FIXED, [(compared, "fidelity_findings")]),
    "duplicates: which is the first": (_EVERY, [(dataset, "leaving"), (dataset, "kept_first")]),
    "writing kept and excluded": (_EVERY, [(dataset, "sort_rows")]),
}
REST = "everything else"


@dataclass
class Cost:
    """Processor seconds of one part of a screen, and bytes: the most that it held, and those that it handed on."""

    seconds: float = 0.0
    held: int = 0
    handed: int = 0


@dataclass
class Meter:
    """Costs by name; `open` are the parts at work: when each was last looked at, and bytes held before and at most."""

    costs: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    open: list[list[float]] = field(default_factory=list)

    def on(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work` with the meter on it."""

        @wraps(work, updated=())
        def metered(*given: Any, **named: Any) -> Any:
            self._enter(name)
            try:
                return work(*given, **named)
            finally:
                self._leave(name)

        return metered

    def _enter(self, name: str) -> None:
        self._stop()
        _give_back()
        held = _status("VmRSS")
        self.open.append([time.process_time(), held, held])
        self._names.append(name)

    def _leave(self, name: str) -> None:
        self._stop()
        _, before, most = self.open.pop()
        self._names.pop()
        self.costs[name].held = max(self.costs[name].held, int(most - before))
        if self.open:  # what a part within it held, it held as well
            self.open[-1][2] = max(self.open[-1][2], most)
            self.open[-1][0] = time.process_time()

    def _stop(self) -> None:
        """Add what the innermost part used since it was last looked at."""
        if self.open:
            now = time.process_time()
            self.costs[self._names[-1]].seconds += now - self.open[-1][0]
            self.open[-1][2] = max(self.open[-1][2], _status("VmHWM"))

    _names: list[str] = field(default_factory=list)


def _give_back() -> None:
    """Give memory that is free back to the system, and forget the most that was held."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    pa.default_memory_pool().release_unused()


def _status(name: str) -> int:
    """Return bytes that this process holds (`VmRSS`) or held at most (`VmHWM`); 0 where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0


def _install(meter: Meter) -> None:
    for name, (_, places) in STEPS.items():
        for owner, attribute in places:
            found = vars(owner)[attribute]
            if isinstance(found, cached_property):
                found.func = meter.on(name, found.func)
            else:
                setattr(owner, attribute, meter.on(name, found))
    close = dataset.close_work
    dataset.close_work = lambda work, *names: (_weigh(meter, work), close(work, *names))[-1]  # type: ignore[assignment]
    engine._cores = lambda: 1  # type: ignore[assignment]  # one process: its seconds are all there are


def _weigh(meter: Meter, work: Path) -> None:
    """Add the bytes of the columns of all parts, as they lie on the disk, to what makes them."""
    sizes: dict[str, int] = defaultdict(int)
    for path in (work / "rows").glob("*.parquet"):
        about = pq.read_metadata(path)
        for group in map(about.row_group, range(about.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                sizes[column.path_in_schema.partition(".")[0]] += column.total_compressed_size
    handed = {
        "reading rows, making records": ("line", "place", "raw", "problem", *record_schema().names),
        "plain words": ("plain",),
        "form": ("flags",),  # of all checks of single rows together
        "duplicates: exact keys": ("key",),
        "duplicates: signatures, bands": tuple(_BAND_COLUMNS),
        # Of each group a cluster moves the value and the number of the row.
        "duplicates: grouping by key": ("key", "row"),
        "duplicates: grouping by band": (*_BAND_COLUMNS, *["row"] * BANDS),
    }
    for name, columns in handed.items():
        meter.costs[name].handed = sum(sizes[column] for column in columns)


def checks(rows: Rows, counts: Sequence[int], folder: Path) -> None:
    """Print what each check costs for a row, at each size: microseconds, megabytes and bytes."""
    apart = min(CASES + REAL, len(rows) // 2)
    data, cases, real = rows[:-apart], rows[-apart:][: apart // 3], rows[-apart:][apart // 3 :]
    meter = Meter()
    _install(meter)
    _set_apart(cases[:50], real[:400], folder)
    _screen(meter, data, 300, folder)  # imports
    _set_apart(cases, real, folder)
    measured = []
    for n in counts:
        meter.costs.clear()
        measured.append(_screen(meter, data, n, folder))
        _show(counts[: len(measured)], measured)  # a large size takes long: what is known so far stands there


def _set_apart(cases: Rows, real: Rows, folder: Path) -> None:
    write(cases, folder / "cases.jsonl")
    write(real, folder / "real.jsonl")


def _screen(meter: Meter, rows: Rows, n: int, folder: Path) -> dict[str, Cost]:
    """Screen `n` rows; return what each part cost, and what no part has."""
    scan._tools.__wrapped__.cache_clear()  # type: ignore[attr-defined]
    data, out = folder / f"rows{n}.jsonl", folder / f"out{n}"
    write(made(rows, n), data)
    policy = read_screen_policy(None)
    whole = meter.on(REST, dataset.screen_dataset)
    whole(
        str(data), out, policy.settings, exclude=policy.exclude,
        against=[str(folder / "cases.jsonl")], reference=str(folder / "real.jsonl"),
    )  # fmt: skip
    data.unlink()
    files = sum((out / name).stat().st_size for name in ("kept.parquet", "excluded.parquet"))
    meter.costs["writing kept and excluded"].handed = files
    return dict(meter.costs)


def _show(counts: Sequence[int], measured: Sequence[dict[str, Cost]]) -> None:
    print("| check | reads |" + "".join(f" {n:,}: µs a row | MB | bytes a row |" for n in counts))
    print("|---" * (2 + 3 * len(counts)) + "|")
    for name, (reads, _) in STEPS.items():
        print(
            f"| {name} | {reads} |"
            + "".join(_cell(c.get(name), n) for n, c in zip(counts, measured, strict=True))
        )
    rest = [c[REST] for c in measured]
    print(
        f"| {REST} | all rows |"
        + "".join(_cell(Cost(r.seconds), n) for n, r in zip(counts, rest, strict=True))
    )
    for reads in (_EVERY, _SAMPLE, _FIXED):
        of = [n for n, (kind, _) in STEPS.items() if kind == reads] + ([REST] if reads == _EVERY else [])
        sums = [_total(c[name] for name in of if name in c) for c in measured]
        print(
            f"| **together: {reads}** | |" + "".join(_cell(s, n) for n, s in zip(counts, sums, strict=True)),
            flush=True,
        )


def _total(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost(
        sum(c.seconds for c in costs), max((c.held for c in costs), default=0), sum(c.handed for c in costs)
    )


def _cell(cost: Cost | None, n: int) -> str:
    if cost is None:
        return " – | – | – |"
    held = f"{cost.held / 1e6:.0f}" if cost.held else "–"
    return f" {1e6 * cost.seconds / n:.1f} | {held} | {cost.handed / n:.0f} |"
