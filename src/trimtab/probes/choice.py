"""Choice: which of several written answers a model finds most likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trimtab.models.protocol import Model, Progress, Question
from trimtab.probes.forms import form_figures, form_of
from trimtab.probes.outcome import (
    Outcome,
    Probe,
    cut_note,
    outcome,
    rate_of,
    uncounted,
    unscored,
    values,
    with_value,
)
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
        scores = iter(model.loglikelihood(questions, progress=progress))
        outcomes = []
        for case in cases:
            scored = [next(scores) for _ in case.choices]
            where: dict[str, Any] = {"target": case.target, "group": case.group, **form_of(case)}
            if error := unscored(scored):
                outcomes.append(uncounted(case, error, system=system, **where))
                continue
            means = [s.mean for s in scored]
            best = [i for i, m in enumerate(means) if m == max(means)]
            value = (case.target in best) / len(best)
            raw = {"means": means, "truncated": any(s.truncated for s in scored)}
            outcomes.append(outcome(case, system=system, response="", judge="", value=value, **raw, **where))
        return outcomes

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `accuracy`, and how often the first of the list was chosen (a sign of order bias).

        Where a question was asked with its choices in another order, also how consistent the answers are.
        """
        counted = with_value(outcomes)
        if not counted:
            return []
        clusters = [o.cluster for o in counted]
        first = rate_of(counted, "chose_first", lambda o: max(o.raw["means"]) == o.raw["means"][0])
        accuracy = rate(values(counted), clusters, name="accuracy")
        return [replace(accuracy, note=cut_note(counted)), first, *form_figures(counted)]
