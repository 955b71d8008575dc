"""Held-out cases of the values mechanism: authored preference pairs on every principle of the charter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from trimtab.charter.charter import NOT_HELD, Charter
from trimtab.records.record import conversation, digest
from trimtab.suites.case import PreferenceCase, Split
from trimtab.suites.seeds import seed_rows
from trimtab.suites.splits import split_clusters

# Of a charter's own examples: there are few, and trim needs some of each principle.
OWN: Mapping[Split, float] = {"learn": 0.5, "tune": 0.2, "test": 0.3}
# Of one split only, so that the cases of the others stay the same when more are added.
MORE: Mapping[str, Split] = {
    "examples_learn.jsonl": "learn", "examples_test.jsonl": "test", "dialogues_learn.jsonl": "learn",
}  # fmt: skip


@cache
def examples() -> tuple[dict[str, Any], ...]:
    """Return the authored pairs with the split of their cluster (two prompts on one subject)."""
    rows = seed_rows(__package__, "examples.jsonl")
    splits = split_clusters([r["cluster"] for r in rows], [r["principle"] for r in rows], salt="values")
    made = [{**r, "split": splits[r["cluster"]]} for r in rows]
    return (*made, *({**r, "split": s} for name, s in MORE.items() for r in seed_rows(__package__, name)))


def pairs(charter: Charter | None = None) -> list[dict[str, Any]]:
    """Return the authored pairs, and with a charter those on principles that it holds and its own examples with a prompt.

    Rows have `id`, `principle`, `cluster`, `split`, `prompt`, `chosen`, `rejected`, `own` where they are the charter's, and
    in dialogues `earlier`: the turns before the prompt, a user's first.
    """
    rows = [{"id": f"charter-{row['principle']}-{i}", **row} for i, row in enumerate(examples())]
    if charter is None:
        return rows
    known = {p.id for p in charter.principle if p.status not in NOT_HELD}
    return [r for r in (*rows, *_own(charter)) if r["principle"] in known]


def turns(row: Mapping[str, Any]) -> list[str]:
    """Return what was said up to the reply, a user's turn first and last."""
    return [*row.get("earlier", ()), row["prompt"]]


def _own(charter: Charter) -> list[dict[str, Any]]:
    """Return the charter's examples with a prompt; examples of one prompt are one cluster."""
    made: list[dict[str, Any]] = [
        {
            "id": f"charter-{p.id}-own-{i}", "principle": p.id, "cluster": f"{p.id}-own-{digest(e.prompt.casefold())[:12]}",
            "prompt": e.prompt, "chosen": e.keeps, "rejected": e.breaks, "own": True,
        }
        for p in charter.principle for i, e in enumerate(p.examples) if e.prompt
    ]  # fmt: skip
    splits = split_clusters(
        [r["cluster"] for r in made], [r["principle"] for r in made], salt="own", shares=OWN
    )
    return [{**r, "split": splits[r["cluster"]]} for r in made]


def preference_cases(split: Split, charter: Charter | None = None) -> list[PreferenceCase]:
    """Return the pairs of a split as cases; with a charter those of `pairs`."""
    return [_case(row) for row in pairs(charter) if row["split"] == split]


def held_out(charter: Charter) -> tuple[dict[str, int], list[str]]:
    """Return what a charter leaves of `test`: built-in principle it does not hold → pairs left out; held ones without any."""
    known = {p.id for p in charter.principle if p.status not in NOT_HELD}
    out = Counter(r["principle"] for r in pairs() if r["split"] == "test" and r["principle"] not in known)
    measured = {c.group for c in preference_cases("test", charter)}
    return dict(out), [p.id for p in charter.principle if p.id in known - measured]


def phrased_cases(charter: Charter | None = None) -> list[PreferenceCase]:
    """Return the pairs of `test` with each built-in prompt in three phrasings, the first as in `preference_cases`."""
    also = {row["prompt"]: row["also"] for row in seed_rows(__package__, "phrasings.jsonl")}
    cases = preference_cases("test", charter)
    return [form for case in cases for form in _phrased(case, also.get(case.text, ()))]


def _phrased(case: PreferenceCase, also: Sequence[str]) -> Iterator[PreferenceCase]:
    about = {"suite": "preference_phrasings", "question": case.id}
    for i, text in enumerate([case.text, *also]):
        prompt = [{"role": "user", "content": text}]
        yield case.model_copy(update={**about, "id": f"{case.id}-{i}", "prompt": prompt})


def _case(row: Mapping[str, Any]) -> PreferenceCase:
    fields = {key: row[key] for key in ("id", "chosen", "rejected", "cluster", "split")}
    fields["prompt"] = [m.model_dump() for m in conversation(*turns(row))]
    return PreferenceCase.model_validate({"suite": "preference_charter", "group": row["principle"], **fields})
