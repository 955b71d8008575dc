"""Verifies at the level *re-run*: a random sample of a bundle's measurements, made again on its model.

The sample follows from the auditor's nonce, so that nobody could prepare for it: the measurements whose
SHA-256(nonce, bundle, file, suite, item) is smallest. What was released holds the system; cases are those of this version
where their digests are the ones that the run committed to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from trimtab.governance.verify.files import MANIFEST
from trimtab.governance.verify.rejudge import stored_outcomes
from trimtab.governance.verify.report import RERUN, Finding, Report
from trimtab.mechanisms.values.cases import preference_cases
from trimtab.models.cache import file_digest
from trimtab.models.guard import load_guard
from trimtab.models.load import load_model
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Model
from trimtab.models.system import System, assemble, read_system
from trimtab.probes.outcome import Outcome
from trimtab.probes.registry import kind_of, probe_for
from trimtab.records.record import digest
from trimtab.records.write import read_jsonl
from trimtab.run.config import Sizes, kept_charter
from trimtab.run.measure import Bar, reattack_cases, test_suites, why_not
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import Case

ALLOWED = 0.1
"""The share of measurements that may differ: other batches and devices change some greedy answers."""
NATS = 0.01
"""Per token, by which a log-likelihood may differ; answers must get the same label and value.

Between batches of one processor it differed by 0.000002 at most (embedded model, 14 cases).
"""
SPLIT = "evidence/test-split.jsonl"
BEFORE, GUARD_ALONE = "stages/01_before/outcomes.jsonl", "stages/06_after/guard_alone.jsonl"
WITHOUT_GUARD, REATTACK = "stages/06_after/without_guard.jsonl", "stages/07_reattack/outcomes.jsonl"


@dataclass(frozen=True)
class Measurement:
    """One stored outcome, and the case that it is of."""

    file: str
    kind: str
    stored: Outcome
    case: Case


def rerun(folder: Path, count: int, nonce: str, report: Report, bar: Bar) -> Estimate | None:
    """Measure `count` of the bundle's cases again and return the rate of those that differ; None where nothing was.

    Raises ModelError or ConfigError where the bundle's model cannot be had here.
    """
    if report.failures:
        report.undecided.append(Finding("rerun.not-run", RERUN, "not run: the evidence does not hold"))
        return None
    drawn = _sample(folder, count, nonce, report)
    if not drawn:
        report.undecided.append(Finding("rerun.not-run", RERUN, "not run: there is no case to measure"))
        return None
    pairs = list(_measured(folder, drawn, report, bar))
    if not pairs:
        return None
    whys = [differs(m.kind, m.stored, again) for m, again in pairs]
    clusters = [m.stored.cluster for m, _ in pairs]
    found = rate([float(bool(why)) for why in whys], clusters, name="mismatch")
    differing = [(m, why) for (m, _), why in zip(pairs, whys, strict=True) if why]
    _tell(found, pairs, differing, nonce, report)
    return found


def _sample(folder: Path, count: int, nonce: str, report: Report) -> list[Measurement]:
    """Draw among all measurements of the bundle; those whose case this version has not are undecided."""
    cases, bundle = committed_cases(folder), file_digest(folder / MANIFEST)
    rows = []
    for name, outcomes in stored_outcomes(folder):
        for o in outcomes:
            key = json.dumps([nonce, bundle, name, o.suite, o.item])
            rows.append((sha256(key.encode()).digest(), name, o))
    drawn = [(name, o) for _, name, o in sorted(rows, key=lambda row: row[0])[:count]]
    found = [
        Measurement(name, kind, o, case)
        for name, o in drawn
        if (kind := kind_of(o)) and (case := cases.get((_suite(name, o), o.item)))
    ]
    if lost := len(drawn) - len(found):
        what = f"{lost} of {len(drawn)} drawn have no answer, or this version has not the case or judge"
        report.undecided.append(Finding("rerun.case", RERUN, what))
    return found


def _suite(file: str, stored: Outcome) -> str:
    return "reattack" if file == REATTACK else stored.suite


def committed_cases(folder: Path) -> Mapping[tuple[str, str], Case]:
    """Return the cases that a run or bundle committed to, by suite and item, as far as this version has them.

    Those of the re-attack are under the suite `reattack`.
    """
    sizes = Sizes(**json.loads((folder / "run.json").read_bytes())["config"]["sizes"])
    known: dict[str, Sequence[Case]] = {name: cases for name, (_, cases) in test_suites(sizes, None).items()}
    # Of preferences all that a charter could have left: what was committed to says which.
    known["preference_charter"] = [
        c for charter in (None, kept_charter(folder)) for c in preference_cases("test", charter)
    ]
    known["reattack"] = reattack_cases(sizes)
    committed = {(row["suite"], row["item"]): row["case"] for row in read_jsonl(folder / SPLIT)}
    return {
        (name, c.id): c
        for name, cases in known.items()
        for c in cases
        if committed.get((name, c.id)) == digest(c.model_dump(mode="json"))
    }


def _systems(folder: Path, base: Model) -> dict[str, Callable[[], System]]:
    """Return how to get the system behind each file of outcomes; adapters stay in the model until the next."""
    guarded = read_system(folder)["guard"]

    def bare() -> System:
        if isinstance(base, LocalModel):
            base.set_adapters({})
        return System(base)

    def alone() -> System:
        return System(bare().model, load_guard(folder / "guard") if guarded else None)

    return {
        BEFORE: bare,
        GUARD_ALONE: alone,
        WITHOUT_GUARD: lambda: assemble(folder, base, ["guard"] if guarded else []),
    }


def _measured(
    folder: Path, drawn: Sequence[Measurement], report: Report, bar: Bar
) -> Iterator[tuple[Measurement, Outcome]]:
    """Yield each measurement with the new outcome of its case, system by system and kind by kind."""
    base = load_model(read_system(folder)["base"])
    whole = assemble(folder, base)  # other weights under the base model's name are refused here
    systems = _systems(folder, base)
    for file in sorted({m.file for m in drawn}):
        system = systems.get(file, lambda: assemble(folder, base))()
        for kind in sorted({m.kind for m in drawn if m.file == file}):
            own = [m for m in drawn if (m.file, m.kind) == (file, kind)]
            probe, cases = probe_for(kind), [m.case for m in own]
            if why := why_not(whole, probe, cases):
                report.undecided.append(Finding("rerun.not-run", file, why))
                continue
            progress = bar(f"{file}: {kind}", len(cases))
            again = probe.measure(system, cases, system=own[0].stored.system, progress=progress)
            yield from zip(own, again, strict=True)


def differs(kind: str, stored: Outcome, again: Outcome) -> str:
    """Return how a measurement came out differently, beyond its tolerance; empty where it did not."""
    if "error" in again.raw:
        return f"no answer now: {again.raw['error']}"
    if (apart := nats_apart(kind, stored, again)) is not None:
        return f"{apart:.3f} nats per token apart" if apart > NATS else ""
    for name, one, two in (
        ("label", stored.raw["label"], again.raw["label"]),
        ("value", stored.value, again.value),
    ):
        if one != two:
            return f"{name} {one!a} is stored, and is {two!a} now"
    return ""


def nats_apart(kind: str, stored: Outcome, again: Outcome) -> float | None:
    """Return by how much two likelihoods of one case differ, the most of its texts, per token; None for answers."""
    one, two = stored.raw, again.raw
    if texts := {"pair": ("a", "b"), "preference": ("chosen", "rejected")}.get(kind):
        return max(float(abs(one[k] - two[k]) / one[f"tokens_{k}"]) for k in texts)
    if kind == "choice":
        return max(float(abs(a - b)) for a, b in zip(one["means"], two["means"], strict=True))
    if kind == "text":
        return abs((stored.value or 0.0) - (again.value or 0.0)) / float(one["tokens"])
    return None


Pairs = Sequence[tuple[Measurement, Outcome]]


def _tell(
    found: Estimate, pairs: Pairs, differing: Sequence[tuple[Measurement, str]], nonce: str, report: Report
) -> None:
    """Note what was found, by measure, and decide: the rate's interval against what is allowed."""
    report.notes.append(f"re-run: {len(pairs)} measurements, nonce {nonce}: {_share(found)} differ")
    wrong: Counter[str] = Counter(m.kind for m, _ in differing)
    for kind, n in sorted(Counter(m.kind for m, _ in pairs).items()):
        own = [(m.stored, again) for m, again in pairs if m.kind == kind]
        report.notes.append(f"re-run, {kind}: {wrong[kind]} of {n} differ; {_closeness(kind, own)}")
    report.notes += [
        f"re-run, differs: {m.file}, {m.stored.suite} {m.stored.item}: {why}" for m, why in differing
    ]
    told = f"{_share(found)} of the sample differ, {ALLOWED:.0%} are allowed"
    if found.low > ALLOWED:
        report.must(False, "rerun.differs", RERUN, told)
    elif found.high > ALLOWED:
        report.undecided.append(Finding("rerun.undecided", RERUN, f"{told}: draw more to decide"))
    elif not any(f.code.startswith("rerun.") for f in report.undecided):
        report.levels.append(RERUN)


def _share(found: Estimate) -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def _closeness(kind: str, own: Sequence[tuple[Outcome, Outcome]]) -> str:
    apart: list[Any] = [nats_apart(kind, one, two) for one, two in own if "error" not in two.raw]
    if any(a is None for a in apart) or not apart:
        same = sum(one.response == two.response for one, two in own)
        return f"{same} word for word; tolerance: the same label and value"
    return f"at most {max(apart):.4f} nats per token apart; tolerance {NATS}"
