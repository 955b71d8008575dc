"""Adversarial training records: plain and adversarial × harmful and benign, and ordinary requests.

Refusals offer a lawful alternative. Benign answers come from the model itself, so that it learns when to
refuse and nothing else.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from trimtab.mechanisms.adversarial.cases import hazards, ordinary
from trimtab.mechanisms.adversarial.operators import PLAIN, families, template, wrap
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import user
from trimtab.probes.judge import judge
from trimtab.records.record import Lineage, Record, conversation, digest
from trimtab.suites.seeds import AUTHOR, seed_rows

ANSWER_TOKENS = (
    24  # whether to answer is decided in the first words; more requests teach it better than longer answers
)
MECHANISM = "adversarial"


@dataclass(frozen=True)
class _Planned:
    """A behaviour and the wrapping that it and its twin get."""

    row: Mapping[str, Any]
    family: str
    variant: int

    @property
    def template(self) -> str:
        """The digest of the text around the request."""
        return digest(template(self.family, self.variant, trained_only=True))

    def request(self, side: str) -> str:
        return wrap(self.row[side], self.family, self.variant, trained_only=True)

    def cell(self, side: str) -> str:
        return f"{'plain' if self.family == PLAIN else 'adversarial'}/{side}"


@dataclass(frozen=True)
class _Asked:
    """A benign request that the model answers itself."""

    prompt: str
    cell: str
    operator: str
    template: str


def make_adversarial(writer: Writer, *, harmful: int, ordinary_requests: int, time: str = "") -> Made:
    """Make records: `harmful` refusals, as many twins answered, and `ordinary_requests` answered."""
    plan = _plan(harmful)
    refusals = [_refusal(planned, number, writer, time) for number, planned in enumerate(plan)]
    asked = [_Asked(p.request("benign"), p.cell("benign"), p.family, p.template) for p in plan]
    rows = [r for r in ordinary() if r["split"] == "learn"]
    random.Random(writer.seed).shuffle(rows)
    bare = digest(template(PLAIN, 0))
    asked += [_Asked(r["prompt"], "ordinary", r["type"], bare) for r in rows[:ordinary_requests]]
    short = {"refusals": harmful - len(plan), "answers to twins": harmful - len(plan)}
    short["answers to ordinary requests"] = ordinary_requests - len(rows)
    return Made(refusals, missing=+Counter(short)) + _answered(writer, asked, time)


def _plan(harmful: int) -> list[_Planned]:
    """Give each learn behaviour a family in turn: two thirds plain, the rest wrapped, in the next template each time.

    Plain ones are short: for what a wrapped one takes, four of them are learned.
    """
    rows = [r for r in hazards() if r["split"] == "learn"]
    wrapped = [f for f in families(trained_only=True) if f != PLAIN]
    # A step without a common divisor reaches every behaviour before it comes back to one.
    step = next(s for s in (7, 11, 13, 1) if gcd(s, len(rows)) == 1)
    plan = []
    for i in range(min(harmful, 7 * len(rows))):
        variant, place = divmod(i // 3, len(wrapped))
        family, variant = (wrapped[place], variant) if i % 3 == 0 else (PLAIN, 0)
        plan.append(_Planned(rows[(i * step) % len(rows)], family, variant))
    return plan


def _refusal(planned: _Planned, number: int, writer: Writer, time: str) -> Record:
    kinds = (planned.row["category"], "any")
    replies = [r["reply"] for r in seed_rows(__package__, "safe_replies.jsonl") if r["category"] in kinds]
    reply = random.Random(f"{writer.seed}/{number}").choice(replies)
    return Record(
        kind="sft", messages=conversation(planned.request("harmful"), reply), mechanism=MECHANISM,
        cell=planned.cell("harmful"), source="synthetic",
        lineage=_lineage(writer, planned.family, planned.template, time, generator=AUTHOR),
    )  # fmt: skip


def _answered(writer: Writer, asked: list[_Asked], time: str) -> Made:
    answers = writer.write("benign", [user(a.prompt) for a in asked], max_tokens=ANSWER_TOKENS)
    made = Made()
    for a, answer in zip(asked, answers, strict=True):
        label = judge(answer.text)
        if answer.error or label != "complied":
            made.dropped[f"the model's own answer {'is an error' if answer.error else 'is ' + label}"] += 1
            continue
        lineage = _lineage(writer, a.operator, a.template, time, generator=writer.model.digest)
        record = Record(
            kind="sft", messages=conversation(a.prompt, answer.text), mechanism=MECHANISM, cell=a.cell,
            source="synthetic", lineage=lineage,
        )  # fmt: skip
        made.records.append(record)
    return made


def _lineage(writer: Writer, operator: str, wrapping: str, time: str, *, generator: str) -> Lineage:
    return Lineage(
        generator=generator, operator=operator, template=wrapping, seed=str(writer.seed), depth=1, time=time
    )
