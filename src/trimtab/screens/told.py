"""What a tally tells: the findings of the whole dataset, in the order of checks.toml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from trimtab.screens.finding import MOST_ROWS, Finding, abouts, not_run, share_of_rows
from trimtab.screens.repeats import Repeats
from trimtab.screens.scan import UNREADABLE
from trimtab.screens.tally import Place, Tally

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
