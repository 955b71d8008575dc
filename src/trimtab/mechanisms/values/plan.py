"""The plan of a charter's records: the same number for every principle, and a shortfall where that is not reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def round_robin(rows: Sequence[Row]) -> list[Row]:
    """Take the first of every principle, then the second …, so that any number is spread evenly."""
    seen: Counter[str] = Counter()
    keyed = []
    for row in rows:
        keyed.append((seen[row["principle"]], row))
        seen[row["principle"]] += 1
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def planned(total: int, principles: Sequence[str], ranked: Sequence[Row]) -> dict[str, int]:
    """Return principle → number of records, adding up to `total`; what does not divide goes to those with a row for it."""
    each, left = divmod(total, len(principles))
    seen: Counter[str] = Counter()
    able = []
    for row in ranked:
        if seen[row["principle"]] == each:
            able.append(row["principle"])
        seen[row["principle"]] += 1
    first = [*able, *(p for p in principles if p not in able)][:left]
    return {p: each + (p in first) for p in principles}


def take(ranked: Sequence[Row], plan: Mapping[str, int]) -> list[Row]:
    """Return the first rows of each principle, as many as are planned or there are, in the order of `ranked`."""
    left, taken = dict(plan), []
    for row in ranked:
        if left.get(row["principle"], 0) > 0:
            left[row["principle"]] -= 1
            taken.append(row)
    return taken


def shortfall(what: str, plan: Mapping[str, int], made: Mapping[str, int]) -> Counter[str]:
    """Return `what`, principle → how many records are missing."""
    short = {f"{what}, {p}": n - made.get(p, 0) for p, n in plan.items()}
    return Counter({k: n for k, n in short.items() if n > 0})
