"""What a model says of preference pairs before training: whether they differ in value, and which principles pull apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.charter.charter import Charter, Principle, held
from trimtab.mechanisms.values.hygiene import Check, Status
from trimtab.mechanisms.values.records import LEAST_GAP, instructed, value_gaps
from trimtab.models.protocol import Answer, Model, Question, user
from trimtab.records.record import Record
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.findings import benjamini_hochberg
from trimtab.statistics.intervals import mean, wilson
from trimtab.statistics.sequential import p_above

if TYPE_CHECKING:
    from trimtab.statistics._clustered import Floats

FALSE_FINDINGS = 0.05
LEAST = 3  # pairs of a principle from which a pull is told


@dataclass(frozen=True)
class _Pair:
    principle: Principle
    prompt: str
    chosen: str
    rejected: str


def value_checks(model: Model, charter: Charter, records: Sequence[Record], each: int) -> list[Check]:
    """Return the value gap, and the pulls between principles, on the first `each` pairs of every principle."""
    pairs = _sampled(charter, records, each)
    able = model.capabilities
    if not pairs or not (able.loglikelihood and able.template):
        why = f"{model.name} gives no likelihoods after a prompt" if pairs else "no pairs"
        return [
            Check("value_gap", GAP, "not run", f"the lower limit is below {LEAST_GAP}", text=why),
            Check("pulls", PULLS, "not run", "any", text=why),
        ]
    return [_gap(model, pairs), _pulls(model, charter, pairs)]


GAP = "how much better each reply fits its own side of the principle (nats per token)"
PULLS = "pairs of principles of which one is against the wanted replies of the other"


def _sampled(charter: Charter, records: Sequence[Record], each: int) -> list[_Pair]:
    found: list[_Pair] = []
    for p in held(charter):
        rows = [r for r in records if r.cell == p.id and r.chosen and r.rejected and len(r.chosen) == 2]
        for r in rows[:each]:
            chosen, rejected = r.chosen or (), r.rejected or ()
            found.append(_Pair(p, chosen[0].content, chosen[-1].content, rejected[-1].content))
    return found


def _gap(model: Model, pairs: Sequence[_Pair]) -> Check:
    under = [instructed(p.principle, p.prompt, keep=True) for p in pairs]
    against = [instructed(p.principle, p.prompt, keep=False) for p in pairs]
    good, bad = ([Answer(t, 0, True) for t in texts] for texts in zip(*((p.chosen, p.rejected) for p in pairs), strict=True))  # fmt: skip
    gaps = [g for g in value_gaps(model, under, against, good, bad) if g is not None]
    found = mean(gaps, [p.prompt for p in pairs], name="value_gap", unit="nats")
    short = sum(g < LEAST_GAP for g in gaps)
    status: Status = "found" if found.low < LEAST_GAP else "nothing found"
    text = f"{short} of {len(gaps)} pairs have less than {LEAST_GAP}"
    return Check("value_gap", GAP, status, f"the lower limit is below {LEAST_GAP}", found, text)


def _pulls(model: Model, charter: Charter, pairs: Sequence[_Pair]) -> Check:
    """Compare how much likelier each wanted reply is under the order of every other principle, and without an order.

    A pull is against when that falls: Student's t over the pairs of a principle, one-sided, false discoveries held at 5 %.
    """
    shifts = _shifts(model, charter, pairs)
    places = {p.id: [i for i, x in enumerate(pairs) if x.principle.id == p.id] for p in held(charter)}
    tested = [
        (p.id, q.id, shifts[places[p.id], j])
        for p in held(charter)
        for j, q in enumerate(held(charter))
        if p.id != q.id and len(places[p.id]) >= LEAST
    ]
    limit = f"any, false discoveries held at {FALSE_FINDINGS:.0%}"
    if not tested:
        return Check("pulls", PULLS, "not run", limit, text=f"{LEAST} pairs of a principle are needed")
    ps = benjamini_hochberg([float(p_above(-row, 0.0)) for _, _, row in tested])
    found = sorted(
        (float(row.mean()), p, q) for (p, q, row), value in zip(tested, ps, strict=True) if value <= FALSE_FINDINGS
    )  # fmt: skip
    n = len(tested)
    estimate = Estimate("pulls", len(found) / n, *wilson(len(found) / n, n), n, n)
    text = ", ".join(f"{q} against {p} ({m:+.2f} nats per token)" for m, p, q in found[:3])
    return Check("pulls", PULLS, "found" if found else "nothing found", limit, estimate, text)


def _shifts(model: Model, charter: Charter, pairs: Sequence[_Pair]) -> Floats:
    """Return by how much each principle's order raises the wanted reply over the other, shape (pairs, principles)."""
    orders = [None, *held(charter)]
    questions = [
        Question(reply, instructed(order, p.prompt, keep=True) if order else user(p.prompt))
        for p in pairs
        for order in orders
        for reply in (p.chosen, p.rejected)
    ]
    scores = np.array([s.mean for s in model.loglikelihood(questions)])
    margins = scores.reshape(len(pairs), len(orders), 2) @ np.array([1.0, -1.0])
    shifts: Floats = margins[:, 1:] - margins[:, :1]
    return shifts
