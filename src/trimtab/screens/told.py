"""What a tally tells: the findings of the whole dataset, in the order of checks.toml."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from trimtab.screens.finding import MOST_ROWS, Finding, abouts, not_run, share_of_rows
from trimtab.screens.language import UNKNOWN
from trimtab.screens.repeats import Repeats
from trimtab.screens.scan import UNREADABLE
from trimtab.screens.tally import Place, Tally, keep

_STEP, _FAR, _NORMAL = 8, 4.0, 1.4826
_LEAST = 20
_WHY_NOT = {
    "contamination": "no held-out cases were given (--against)",
    "lineage.generator": "the policy names no generators",
    "lineage.same_base": "the policy names no student",
    "form.same": "no preferences or pairs",
}


def row_findings(tally: Tally) -> list[Finding]:
    """Return a finding for each code that single rows can have; one that applies to no row did not run."""
    found = []
    for code in abouts():
        if code not in tally.applies and code.partition(".")[0] != "contamination":
            continue
        n = tally.applies[code]
        if n == 0:
            why = _WHY_NOT.get(code, _WHY_NOT.get(code.partition(".")[0], "no row that it applies to"))
            found.append(not_run(code, why))
        else:
            text = _reasons(tally.reasons) if code == UNREADABLE else ""
            found.append(share_of_rows(code, tally.found[code], n, _shown(tally.first.get(code, ())), text))
    return found


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {code}" for code, n in Counter(reasons).most_common(5))


def _shown(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(place for _, place in places)


def language_finding(tally: Tally) -> Finding:
    """Return how many rows are in another language than most of those whose language is told."""
    code = "form.language"
    known = Counter({name: n for name, n in tally.languages.items() if name != UNKNOWN})
    if not known:
        return not_run(code, "no row is long enough to tell its language")
    (most, _), *others = known.most_common()
    first: dict[str, list[Place]] = {}
    for name, _ in others:
        keep(first, code, tally.speakers.get(name, []))
    told = ", ".join(f"{n:,} {name}" for name, n in others[:6])
    text = f"most are {most}; others: {told}" if others else f"all are {most}"
    n = sum(known.values())
    return share_of_rows(code, sum(n for _, n in others), n, _shown(first.get(code, ())), text)


def length_finding(tally: Tally) -> Finding:
    """Return how many rows are far from the usual length: four robust deviations of its logarithm (Iglewicz 1993)."""
    code = "form.length"
    lengths = {int(step): n for step, n in tally.lengths.items()}
    n = sum(lengths.values())
    if n < _LEAST:
        return not_run(code, f"{n} rows, {_LEAST} are needed to say what is usual")
    middle = _median(lengths)
    spread = Counter[int]()
    for step, count in lengths.items():
        spread[abs(step - middle)] += count
    # Rows of one length have no spread; half of one step is the least that can be told.
    limit = _FAR * _NORMAL * max(_median(spread), 0.5)
    far = {step: count for step, count in lengths.items() if abs(step - middle) > limit}
    first: dict[str, list[Place]] = {}
    for step in far:
        keep(first, code, tally.sized.get(str(step), []))
    low, high = (_characters(middle + sign * limit) for sign in (-1, 1))
    text = f"median {_characters(middle):,} characters; usual are {low:,} to {high:,}"
    return share_of_rows(code, sum(far.values()), n, _shown(first.get(code, ())), text)


def _median(counts: Mapping[int, int]) -> int:
    half, seen = sum(counts.values()) / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    raise ValueError("no values")


def _characters(step: float) -> int:
    return max(0, round(math.exp2(step / _STEP) - 1))


def repeat_findings(repeats: Repeats, tally: Tally, *, near: bool) -> list[Finding]:
    """Return how many rows repeat an earlier one, exactly and nearly."""
    findings = []
    for code, found in (("duplicates.exact", repeats.exact), ("duplicates.near", repeats.near)):
        if code == "duplicates.near" and not near:
            findings.append(not_run(code, "the policy leaves it out"))
            continue
        rows = tuple(repeats.places[row] for row in sorted(found)[:MOST_ROWS])
        clusters = len(set(found.values()))
        text = f"in {clusters:,} clusters" if found else ""
        findings.append(share_of_rows(code, len(found), tally.records, rows, text))
    return findings
