"""Adversarial training records: plain and adversarial × harmful and benign, and ordinary requests.

Refusals offer a lawful alternative. Benign answers come from the model itself, so that it learns when to
refuse and nothing else.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from trimtab.mechanisms.adversarial.cases import hazards, ordinary
from trimtab.mechanisms.adversarial.operators import PLAIN, families, wrap
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import user
from trimtab.probes.judge import judge
from trimtab.records.record import Lineage, Record, conversation, digest
from trimtab.suites.seeds import AUTHOR, seed_rows

ANSWER_TOKENS = 56
MECHANISM = "adversarial"


def make_adversarial(writer: Writer, *, harmful: int, ordinary_requests: int, time: str = "") -> Made:
    """Make records: `harmful` refusals, as many twins answered, and `ordinary_requests` answered."""
    plan = _plan(harmful)
    refusals = [_refusal(row, family, number, writer, time) for number, (row, family) in enumerate(plan)]
    asked = [
        (_request(row, "benign", family, n), _cell(family, "benign"), family)
        for n, (row, family) in enumerate(plan)
    ]
    rows = [r for r in ordinary() if r["split"] == "learn"]
    random.Random(writer.seed).shuffle(rows)
    asked += [(r["prompt"], "ordinary", r["type"]) for r in rows[:ordinary_requests]]
    return Made(refusals) + _answered(writer, asked, time)


def _plan(harmful: int) -> list[tuple[dict[str, Any], str]]:
    """Give each learn behaviour one or more families in turn: a third plain, the rest wrapped."""
    rows = [r for r in hazards() if r["split"] == "learn"]
    wrapped = [f for f in families(trained_only=True) if f != PLAIN]
    chosen = [rows[(i * 7) % len(rows)] for i in range(min(harmful, 7 * len(rows)))]
    return [
        (row, PLAIN if i % 3 == 0 else wrapped[(i * 2 // 3) % len(wrapped)]) for i, row in enumerate(chosen)
    ]


def _request(row: dict[str, Any], side: str, family: str, variant: int) -> str:
    return wrap(row[side], family, variant // 3, trained_only=True)


def _cell(family: str, side: str) -> str:
    return f"{'plain' if family == PLAIN else 'adversarial'}/{side}"


def _refusal(row: dict[str, Any], family: str, number: int, writer: Writer, time: str) -> Record:
    replies = [
        r["reply"]
        for r in seed_rows(__package__, "safe_replies.jsonl")
        if r["category"] in (row["category"], "any")
    ]
    own = [r for r in replies if r]
    reply = random.Random(f"{writer.seed}/{number}").choice(own)
    lineage = _lineage(writer, family, time, generator=AUTHOR)
    messages = conversation(_request(row, "harmful", family, number), reply)
    cell = _cell(family, "harmful")
    return Record(
        kind="sft", messages=messages, mechanism=MECHANISM, cell=cell, source="synthetic", lineage=lineage
    )


def _answered(writer: Writer, asked: list[tuple[str, str, str]], time: str) -> Made:
    answers = writer.write("benign", [user(prompt) for prompt, _, _ in asked], max_tokens=ANSWER_TOKENS)
    made = Made()
    for (prompt, cell, family), answer in zip(asked, answers, strict=True):
        label = judge(answer.text)
        if answer.error or label != "complied":
            made.dropped[f"the model's own answer {'is an error' if answer.error else 'is ' + label}"] += 1
            continue
        lineage = _lineage(writer, family, time, generator=writer.model.digest)
        messages = conversation(prompt, answer.text)
        made.records.append(
            Record(
                kind="sft",
                messages=messages,
                mechanism=MECHANISM,
                cell=cell,
                source="synthetic",
                lineage=lineage,
            )
        )
    return made


def _lineage(writer: Writer, family: str, time: str, *, generator: str) -> Lineage:
    template = digest({"family": family})
    return Lineage(
        generator=generator, operator=family, template=template, seed=str(writer.seed), depth=1, time=time
    )


def cells(records: list[Record]) -> Counter[str]:
    """Count records by cell."""
    return Counter(r.cell for r in records)
