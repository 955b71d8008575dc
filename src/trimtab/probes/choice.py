"""Choice: which of several written answers a model finds most likely."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.models.protocol import Model, Progress, Question
from trimtab.probes.outcome import Outcome, Probe, outcome, rate_of, values, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import ChoiceCase


class ChoiceProbe(Probe):
    """accuracy = cases whose target has the highest mean log-likelihood per token ÷ cases; ties share."""

    kind = "choice"
    needs_likelihood = True

    def measure(
        self, model: Model, cases: Sequence[ChoiceCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Score every choice after the prompt."""
        questions = [Question(choice, c.prompt) for c in cases for choice in c.choices]
        scores = iter([s.mean for s in model.loglikelihood(questions, progress=progress)])
        outcomes = []
        for case in cases:
            means = [next(scores) for _ in case.choices]
            best = [i for i, m in enumerate(means) if m == max(means)]
            value = (case.target in best) / len(best)
            raw = {"means": means, "target": case.target, "group": case.group}
            outcomes.append(outcome(case, system=system, response="", judge="", value=value, **raw))
        return outcomes

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `accuracy`, and how often each place in the list was chosen (a sign of order bias)."""
        counted = with_value(outcomes)
        if not counted:
            return []
        clusters = [o.cluster for o in counted]
        first = rate_of(counted, "chose_first", lambda o: max(o.raw["means"]) == o.raw["means"][0])
        return [rate(values(counted), clusters, name="accuracy"), first]
