"""Open-world performance: how well a model predicts real human-written text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trimtab.models.protocol import Model, Progress, Question
from trimtab.probes.outcome import Outcome, Probe, cut_note, outcome, uncounted, unscored, values, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import ratio
from trimtab.suites.case import TextCase


class TextProbe(Probe):
    """nll_per_token = −Σ log p(reply | chat template) ÷ Σ reply tokens; texts without a prompt apart."""

    kind = "text"
    needs_likelihood = True

    def measure(
        self, model: Model, cases: Sequence[TextCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Score each text, after its prompt where it has one."""
        scores = model.loglikelihood([Question(c.body, c.prompt) for c in cases], progress=progress)
        outcomes = []
        for case, s in zip(cases, scores, strict=True):
            raw: dict[str, Any] = {"prompted": bool(case.prompt)}
            if error := unscored([s]):
                outcomes.append(uncounted(case, error, system=system, **raw))
                continue
            raw |= {"tokens": s.tokens, "truncated": s.truncated}
            outcomes.append(outcome(case, system=system, response="", judge="", value=-s.total, **raw))
        return outcomes

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `nll_per_token` (nats) of texts with a prompt, and of texts alone."""
        counted = with_value(outcomes)
        prompted = [o for o in counted if o.raw["prompted"]]
        alone = [o for o in counted if not o.raw["prompted"]]
        # A suite with one sort of text names its figure plainly.
        names = ("nll_per_token", "nll_per_token_alone") if prompted else ("", "nll_per_token")
        return [_nll(part, name) for part, name in zip((prompted, alone), names, strict=True) if part]


def _nll(outcomes: Sequence[Outcome], name: str) -> Estimate:
    tops, tokens = values(outcomes), [o.raw["tokens"] for o in outcomes]
    estimate = ratio(tops, tokens, [o.cluster for o in outcomes], name=name, unit="nats/token")
    return replace(estimate, note=cut_note(outcomes))
