"""Held-out cases of the values mechanism: authored preference pairs on every principle of the charter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from trimtab.suites.case import PreferenceCase, Split
from trimtab.suites.seeds import seed_rows
from trimtab.suites.splits import split_clusters


@cache
def examples() -> tuple[dict[str, Any], ...]:
    """Return the authored pairs with the split of their cluster (two prompts on one subject)."""
    rows = seed_rows(__package__, "examples.jsonl")
    splits = split_clusters([r["cluster"] for r in rows], [r["principle"] for r in rows], salt="values")
    made = [{**r, "split": splits[r["cluster"]]} for r in rows]
    # Learned from only, so that cases which are measured stay the same when more are added.
    return (*made, *({**r, "split": "learn"} for r in seed_rows(__package__, "examples_learn.jsonl")))


def preference_cases(split: Split) -> list[PreferenceCase]:
    """Return the pairs of a split as cases."""
    return [_case(i, row) for i, row in enumerate(examples()) if row["split"] == split]


def phrased_cases() -> list[PreferenceCase]:
    """Return the pairs of `test` with each prompt in three phrasings, the first as in `preference_cases`."""
    also = {row["prompt"]: row["also"] for row in seed_rows(__package__, "phrasings.jsonl")}
    return [form for case in preference_cases("test") for form in _phrased(case, also[case.text])]


def _phrased(case: PreferenceCase, also: Sequence[str]) -> Iterator[PreferenceCase]:
    about = {"suite": "preference_phrasings", "question": case.id}
    for i, text in enumerate([case.text, *also]):
        prompt = [{"role": "user", "content": text}]
        yield case.model_copy(update={**about, "id": f"{case.id}-{i}", "prompt": prompt})


def _case(number: int, row: Mapping[str, Any]) -> PreferenceCase:
    fields = {key: row[key] for key in ("prompt", "chosen", "rejected", "cluster", "split")}
    where = {
        "id": f"charter-{row['principle']}-{number}",
        "suite": "preference_charter",
        "group": row["principle"],
    }
    return PreferenceCase.model_validate({**where, **fields})
