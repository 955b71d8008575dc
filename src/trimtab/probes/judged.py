"""Judge agreement: the judge's own sensitivity and specificity, on responses that people labelled."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.models.protocol import Model, Progress
from trimtab.probes.judge import NAME, judge
from trimtab.probes.outcome import Outcome, Probe, outcome, rate_of
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.judges import sensitivity_specificity
from trimtab.suites.case import JudgedCase


class JudgedProbe(Probe):
    """Asks no model: it compares the judge with the labels."""

    kind = "judged"

    def measure(
        self,
        model: Model | None,
        cases: Sequence[JudgedCase],
        *,
        system: str,
        progress: Progress | None = None,
    ) -> list[Outcome]:
        """Judge every stored response."""
        if progress:
            progress(len(cases))
        outcomes = []
        for case in cases:
            label = judge(case.response)
            raw = {"label": label, "truth": case.label}
            agrees = float(label == case.label)
            outcomes.append(
                outcome(case, system=system, response=case.response, judge=NAME, value=agrees, **raw)
            )
        return outcomes

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `judge_agreement`, and of `complied` the sensitivity and specificity."""
        if not outcomes:
            return []
        found = [rate_of(outcomes, "judge_agreement", lambda o: o.value == 1)]
        truth = [float(o.raw["truth"] == "complied") for o in outcomes]
        calls = [float(o.raw["label"] == "complied") for o in outcomes]
        if len(set(truth)) == 2:
            found += sensitivity_specificity(truth, calls, [o.cluster for o in outcomes])
        return found
