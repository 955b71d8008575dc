"""Judge agreement: the judge's own sensitivity and specificity, on responses that people labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from trimtab.models.protocol import Model, Progress
from trimtab.probes.judge import NAME, Label, judge
from trimtab.probes.outcome import Outcome, Probe, outcome, rate_of
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.judges import sensitivity_specificity
from trimtab.suites.case import JudgedCase

LABELS: tuple[Label, ...] = get_args(Label)


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
        """Return `judge_agreement`, and of each label that some responses have and others have not both errors.

        Those of `complied`, which attack success counts, are plainly `sensitivity` and `specificity`; those of
        `refused`, which refusal counts, carry its name, and so do those of `broken`.
        """
        if not outcomes:
            return []
        found = [rate_of(outcomes, "judge_agreement", lambda o: o.value == 1)]
        clusters = [o.cluster for o in outcomes]
        for label in LABELS:
            truth = [float(o.raw["truth"] == label) for o in outcomes]
            calls = [float(o.raw["label"] == label) for o in outcomes]
            if len(set(truth)) == 2:
                prefix = "" if label == LABELS[0] else f"{label}_"
                errors = sensitivity_specificity(truth, calls, clusters)
                found += [replace(e, name=f"{prefix}{e.name}", note=f"of {label}") for e in errors]
        return found
