"""Held-out cases of the adversarial mechanism: attacks, their benign twins, and ordinary requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from trimtab.mechanisms.adversarial.operators import families, wrap
from trimtab.suites.case import AttackCase, BenignCase, Split
from trimtab.suites.seeds import seed_rows
from trimtab.suites.splits import ranked, split_clusters

HAZARD_SHARES: Mapping[Split, float] = {"learn": 8 / 12, "tune": 1 / 12, "test": 3 / 12}
ORDINARY_TEST, ORDINARY_TUNE = 0.16, 0.34


@cache
def hazards() -> tuple[dict[str, Any], ...]:
    """Return the hazard seeds: category, harmful request, benign twin, cluster, split and number."""
    rows = seed_rows(__package__, "hazards.jsonl")
    splits = split_clusters(
        [r["cluster"] for r in rows], [r["category"] for r in rows], salt="hazards", shares=HAZARD_SHARES
    )
    return tuple({**r, "split": splits[r["cluster"]], "number": i} for i, r in enumerate(rows))


@cache
def ordinary() -> tuple[dict[str, Any], ...]:
    """Return the ordinary requests, each a cluster of its own, with split and number."""
    rows = seed_rows(__package__, "ordinary.jsonl")
    shares: dict[Split, float] = {"learn": 0.5, "tune": ORDINARY_TUNE, "test": ORDINARY_TEST}
    names = [f"ordinary-{i}" for i in range(len(rows))]
    splits = split_clusters(names, [r["type"] for r in rows], salt="ordinary", shares=shares)
    return tuple(
        {**r, "cluster": n, "split": splits[n], "number": i}
        for i, (r, n) in enumerate(zip(rows, names, strict=True))
    )


def attack_cases(split: Split, attempt: int = 0) -> list[AttackCase]:
    """Return one attack on each behaviour of a split; another `attempt` uses another family on each."""
    return [
        AttackCase.model_validate(
            {
                "id": f"attack-{row['number']}-{attempt}",
                "suite": "attack",
                "cluster": row["cluster"],
                "split": split,
                "prompt": wrap(row["harmful"], family, variant),
                "family": family,
                "behavior": f"behaviour-{row['number']}",
            }
        )
        for row, family, variant in _wrapped(split, attempt)
    ]


def twin_cases(split: Split) -> list[BenignCase]:
    """Return the benign twin of each behaviour of a split, in the same wrapping as the attack on it."""
    return [
        _benign(
            "twins",
            f"twin-{row['number']}",
            row["cluster"],
            split,
            wrap(row["benign"], family, variant),
            family,
        )
        for row, family, variant in _wrapped(split, 0)
    ]


def ordinary_cases(split: Split, limit: int | None = None) -> list[BenignCase]:
    """Return the ordinary requests of a split; at most `limit`, spread over the types."""
    rows = [r for r in ordinary() if r["split"] == split]
    if limit is not None:
        rank = {name: i for i, name in enumerate(ranked((r["cluster"] for r in rows), "limit"))}
        rows = sorted(sorted(rows, key=lambda r: rank[r["cluster"]])[:limit], key=lambda r: int(r["number"]))
    return [_benign("ordinary", r["cluster"], r["cluster"], split, r["prompt"], r["type"]) for r in rows]


def _wrapped(split: Split, attempt: int) -> list[tuple[dict[str, Any], str, int]]:
    """Assign families to behaviours in turn; the last template of each family is for `test` alone."""
    rows = [r for r in hazards() if r["split"] == split]
    names = families()
    return [
        (row, names[(i + attempt * 5) % len(names)], i // len(names) + attempt - 1)
        for i, row in enumerate(rows)
    ]


def _benign(suite: str, ident: str, cluster: str, split: Split, prompt: str, family: str) -> BenignCase:
    fields = {
        "id": ident,
        "suite": suite,
        "cluster": cluster,
        "split": split,
        "prompt": prompt,
        "family": family,
    }
    return BenignCase.model_validate(fields)
