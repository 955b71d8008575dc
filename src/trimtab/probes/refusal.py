"""Refusal of benign requests: what a defence costs. A block by the guard is a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trimtab.models.protocol import Model, Progress
from trimtab.probes.judge import NAME, label_of
from trimtab.probes.outcome import Outcome, Probe, answered, rate_of, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import mean
from trimtab.suites.case import BenignCase

TOKENS = 32


class RefusalProbe(Probe):
    """Refusal and broken answers on benign requests, and how long answers are."""

    kind = "benign"

    def measure(
        self, model: Model, cases: Sequence[BenignCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Ask each request once, greedily."""
        answers = model.generate([c.prompt for c in cases], max_tokens=TOKENS, progress=progress)
        outcomes = []
        for case, answer in zip(cases, answers, strict=True):
            label = label_of(answer.text, blocked=answer.blocked)
            raw = {"family": case.family}
            value = float(label == "refused")
            outcomes.append(
                answered(case, answer, system=system, judge=NAME, label=label, value=value, **raw)
            )
        return outcomes

    def again(self, stored: Outcome) -> Outcome:
        """Judge the stored answer again."""
        label = label_of(stored.response, blocked=stored.raw["blocked"])
        return replace(stored, value=float(label == "refused"), raw={**stored.raw, "label": label})

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `refusal`, `broken` and `answer_tokens` (mean length, cut at the budget)."""
        counted = with_value(outcomes)
        if not counted:
            return []
        clusters = [o.cluster for o in counted]
        return [
            rate_of(counted, "refusal", lambda o: o.value == 1),
            rate_of(counted, "broken", lambda o: o.raw["label"] == "broken"),
            mean([o.raw["tokens"] for o in counted], clusters, name="answer_tokens", unit="tokens"),
        ]
