"""Verifies at the level *re-judged*: the judge again on every stored answer, and values again from stored likelihoods."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from trimtab.governance.verify.files import read_manifest
from trimtab.governance.verify.report import REJUDGED, Finding, Report
from trimtab.models.guard import REPLY
from trimtab.probes.outcome import Outcome, read_outcomes
from trimtab.probes.registry import kind_of, probe_for

TOLERANCE = 1e-9  # of a value that is a difference of stored numbers


def stored_outcomes(folder: Path) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the name of each file of outcomes in a bundle that holds, and what is in it."""
    manifest = read_manifest(folder, Report())
    for name in sorted(manifest.files if manifest else ()):
        if name.startswith("stages/") and name.endswith(".jsonl"):
            yield name, read_outcomes(folder / name)


def rejudge(folder: Path, report: Report) -> None:
    """Judge a bundle's answers again; where the evidence does not hold already, nothing is judged, and that is said."""
    if report.failures:
        report.undecided.append(Finding("judge.not-run", REJUDGED, "not run: the evidence does not hold"))
        return
    judged: Counter[str] = Counter()
    good = True
    for name, outcomes in stored_outcomes(folder):
        judged += Counter(kind_of(o) or "none" for o in outcomes)
        judges = {o.judge for o in outcomes if kind_of(o) is None and "error" not in o.raw}
        if judges:
            good, what = (
                False,
                f"judged by {', '.join(sorted(map(ascii, judges)))}, which this version has not",
            )
            report.undecided.append(Finding("judge.other", name, what))
        wrong = [(o, why) for o in outcomes if kind_of(o) and (why := _differs(o))]
        if wrong:
            (first, why), count = wrong[0], f"{len(wrong)} of {len(outcomes)} differ"
            what = f"{count}, the first is {first.suite} {first.item}: {why}"
            good = report.must(False, "judge.differs", name, what)
    unanswered, texts = judged.pop("none", 0), judged.pop("text", 0)
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(judged.items()))
    report.notes.append(
        f"judged again: {counts}; as stored: {texts} likelihoods of texts; no answer or another judge: {unanswered}"
    )
    if good:
        report.levels.append(REJUDGED)


def _differs(stored: Outcome) -> str:
    """Return how an outcome differs from what the judge makes of it now; empty where it does not."""
    try:
        if stored.raw.get("blocked") and stored.response != REPLY:
            return "it is stored as blocked, and the answer is not the guard's"
        again = probe_for(kind_of(stored) or "").again(stored)
    except (KeyError, TypeError, ZeroDivisionError, AttributeError):
        return "it does not hold what its kind must hold"
    for what in ("label", "mentions"):
        if again.raw.get(what) != stored.raw.get(what):
            return f"{what} {stored.raw.get(what)!a} is stored, and is {again.raw.get(what)!a}"
    if stored.value is None or again.value is None:
        same = stored.value is again.value
    else:
        same = math.isclose(stored.value, again.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return "" if same else f"value {stored.value} is stored, and is {again.value}"
