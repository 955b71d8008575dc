"""Splits by cluster: what is learned from, tuned on and tested on never shares a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.records.record import sha256
from trimtab.suites.case import Split

SHARES: Mapping[Split, float] = {"learn": 0.5, "tune": 0.1, "test": 0.4}


def ranked(clusters: Iterable[str], salt: str) -> list[str]:
    """Return distinct clusters in an order that depends on their names and `salt` alone."""
    return sorted(set(clusters), key=lambda c: sha256(f"{salt}\0{c}".encode()))


def split_clusters(
    clusters: Sequence[str], strata: Sequence[str], *, salt: str, shares: Mapping[Split, float] = SHARES
) -> dict[str, Split]:
    """Assign each cluster to a split, in each stratum by the given shares, rounded; `learn` has the rest."""
    assigned: dict[str, Split] = {}
    for stratum in sorted(set(strata)):
        names = ranked((c for c, s in zip(clusters, strata, strict=True) if s == stratum), salt)
        test = round(len(names) * shares["test"])
        tune = round(len(names) * shares["tune"]) if shares["tune"] else 0
        for i, name in enumerate(names):
            assigned[name] = "test" if i < test else "tune" if i < test + tune else "learn"
    return assigned


def spread(cases: Sequence[Any], limit: int) -> list[Any]:
    """Return at most `limit` cases, evenly spaced."""
    if len(cases) <= limit:
        return list(cases)
    return [cases[i * len(cases) // limit] for i in range(limit)]
