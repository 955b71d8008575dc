"""Held-out cases of the adversarial mechanism: attacks, their benign twins, and ordinary requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from trimtab.mechanisms.adversarial.operators import families, wrap
from trimtab.suites.case import AttackCase, BenignCase, Split
from trimtab.suites.seeds import seed_rows
from trimtab.suites.splits import ranked, split_clusters
from trimtab.suites.text import python_documentation

HAZARD_SHARES: Mapping[Split, float] = {"learn": 0.58, "tune": 0.12, "test": 0.3}
ORDINARY_SHARES: Mapping[Split, float] = {"learn": 0.45, "tune": 0.25, "test": 0.3}
PASSAGE_TASKS = (
    "Summarise the following text in one sentence.\n\n{}",
    "Rewrite this for readers who are new to it:\n\n{}",
    "Which question does the passage answer?\n\n{}\n\nAnswer with the question only.",
    "{}\n\nList the three most important terms of the text above.",
)


@cache
def hazards() -> tuple[dict[str, Any], ...]:
    """Return the hazard seeds: category, harmful request, benign twin, cluster, split and number."""
    rows = seed_rows(__package__, "hazards.jsonl")
    splits = split_clusters(
        [r["cluster"] for r in rows], [r["category"] for r in rows], salt="hazards", shares=HAZARD_SHARES
    )
    placed = [{**r, "split": splits[r["cluster"]]} for r in rows]
    # Learned from only, so that cases which are measured stay the same when more are added.
    placed += [{**r, "split": "learn"} for r in seed_rows(__package__, "hazards_learn.jsonl")]
    return tuple({**r, "number": i} for i, r in enumerate(placed))


@cache
def ordinary() -> tuple[dict[str, Any], ...]:
    """Return the ordinary requests with name, split and number, long ones among them.

    Each is a cluster of its own, but those about passages of one topic are one.
    """
    rows = list(seed_rows(__package__, "ordinary.jsonl"))
    names = [f"ordinary-{i}" for i in range(len(rows))]
    splits = split_clusters(names, [r["type"] for r in rows], salt="ordinary", shares=ORDINARY_SHARES)
    made = [{**r, "name": n, "split": splits[n]} for r, n in zip(rows, names, strict=True)]
    more = [
        {**r, "name": f"ordinary-learn-{i}", "split": "learn"}
        for i, r in enumerate(seed_rows(__package__, "ordinary_learn.jsonl"))
    ]
    numbered = enumerate([*made, *_about_passages(), *more])
    return tuple({"cluster": r["name"], **r, "number": i} for i, r in numbered)


def narratives() -> tuple[dict[str, Any], ...]:
    """Return long prompts that hide a harmful request in a life, an office or a role, each with its benign twin; all `learn`.

    None asks for fiction: that family is held out.
    """
    return seed_rows(__package__, "narratives_learn.jsonl")


def _about_passages() -> list[dict[str, Any]]:
    """Return requests about real passages of 70 to 220 words, two paragraphs of one topic each."""
    cases = python_documentation().cases
    found = []
    for i, (first, second) in enumerate(zip(cases[::2], cases[1::2], strict=False)):
        if first.cluster == second.cluster:
            text = PASSAGE_TASKS[i % len(PASSAGE_TASKS)].format(f"{first.body}\n\n{second.body}")
            about = {"name": f"passage-{i}", "cluster": f"topic-{first.cluster}", "split": first.split}
            found.append({"type": "passage", "prompt": text, **about})
    return found


def attack_cases(split: Split, attempt: int = 0) -> list[AttackCase]:
    """Return one attack on each behaviour of a split; another `attempt` uses another family on each."""
    return [
        AttackCase.model_validate(
            {
                "id": f"attack-{row['number']}-{attempt}",
                "suite": "attack",
                "cluster": row["cluster"],
                "split": split,
                "prompt": wrap(row["harmful"], family, variant, trained_only=split != "test"),
                "family": family,
                "behavior": f"behaviour-{row['number']}",
            }
        )
        for row, family, variant in _wrapped(split, attempt)
    ]


def twin_cases(split: Split, attempt: int = 0) -> list[BenignCase]:
    """Return the benign twin of each behaviour of a split, in the same wrapping as the attack on it."""
    cases = []
    for row, family, variant in _wrapped(split, attempt):
        fields = {
            "id": f"twin-{row['number']}" + (f"-{attempt}" if attempt else ""),
            "suite": "twins",
            "cluster": row["cluster"],
            "family": family,
        }
        prompt = wrap(row["benign"], family, variant, trained_only=split != "test")
        cases.append(_benign(fields, split, prompt))
    return cases


def ordinary_cases(split: Split, limit: int | None = None) -> list[BenignCase]:
    """Return the ordinary requests of a split; at most `limit`, spread over the types."""
    rows = [r for r in ordinary() if r["split"] == split]
    if limit is not None:
        rank = {name: i for i, name in enumerate(ranked((r["name"] for r in rows), "limit"))}
        rows = sorted(sorted(rows, key=lambda r: rank[r["name"]])[:limit], key=lambda r: int(r["number"]))
    fields = [
        {"id": r["name"], "suite": "ordinary", "cluster": r["cluster"], "family": r["type"]} for r in rows
    ]
    return [_benign(f, split, r["prompt"]) for f, r in zip(fields, rows, strict=True)]


def _wrapped(split: Split, attempt: int) -> list[tuple[dict[str, Any], str, int]]:
    """Assign families to behaviours in turn; the held-out family and last templates are for `test` alone."""
    rows = [r for r in hazards() if r["split"] == split]
    names = families(trained_only=split != "test")
    return [
        (row, names[(i + attempt * 5) % len(names)], i // len(names) + attempt - 1)
        for i, row in enumerate(rows)
    ]


def _benign(fields: Mapping[str, str], split: Split, prompt: str) -> BenignCase:
    return BenignCase.model_validate({**fields, "split": split, "prompt": prompt})
