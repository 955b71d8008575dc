"""Preference accuracy: how often a model finds the wanted reply likelier than the unwanted one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from trimtab.models.protocol import Model, Progress, Question
from trimtab.probes.forms import form_figures, form_of
from trimtab.probes.outcome import Outcome, Probe, cut_note, outcome, uncounted, unscored, values, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import PreferenceCase

MATCHED = (0.8, 1.25)  # token ratio of pairs that count as of like length


class PreferenceProbe(Probe):
    """preference_accuracy by mean log-likelihood per response token, ties ½, beside what length alone gives."""

    kind = "preference"
    needs_likelihood = True

    def measure(
        self, model: Model, cases: Sequence[PreferenceCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Score both replies after the prompt."""
        half = (lambda n: progress(n / 2)) if progress else None
        questions = [Question(reply, c.prompt) for c in cases for reply in (c.chosen, c.rejected)]
        scores = model.loglikelihood(questions, progress=half)
        outcomes = []
        for i, case in enumerate(cases):
            chosen, rejected = scores[2 * i], scores[2 * i + 1]
            if error := unscored([chosen, rejected]):
                where = {"group": case.group, **form_of(case)}
                outcomes.append(uncounted(case, error, system=system, **where))
                continue
            raw = {
                "chosen": chosen.total,
                "rejected": rejected.total,
                "tokens_chosen": chosen.tokens,
                "tokens_rejected": rejected.tokens,
                "truncated": chosen.truncated or rejected.truncated,
                "group": case.group,
                **form_of(case),
            }
            value = _half_on_ties(chosen.mean, rejected.mean)
            outcomes.append(outcome(case, system=system, response="", judge="", value=value, **raw))
        return outcomes

    def again(self, stored: Outcome) -> Outcome:
        """Compare the stored log-likelihoods again."""
        chosen, rejected = (stored.raw[k] / stored.raw[f"tokens_{k}"] for k in ("chosen", "rejected"))
        return replace(stored, value=_half_on_ties(chosen, rejected))

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `preference_accuracy`, the same on pairs of like length, and `prefer_shorter` as the baseline.

        Where a question was asked in several ways, also how consistent the answers are.
        """
        counted = with_value(outcomes)
        if not counted:
            return []
        found = [_accuracy(counted, "preference_accuracy")]
        if matched := length_matched(counted):
            notes = [f"token ratio {MATCHED[0]} to {MATCHED[1]}", cut_note(matched)]
            note = ", ".join(n for n in notes if n)
            found.append(replace(_accuracy(matched, "preference_matched"), note=note))
        shorter = [_half_on_ties(-o.raw["tokens_chosen"], -o.raw["tokens_rejected"]) for o in counted]
        found.append(rate(shorter, [o.cluster for o in counted], name="prefer_shorter"))
        return found + form_figures(counted)


def length_matched(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes whose two replies are of like length in tokens."""
    return [
        o
        for o in outcomes
        if MATCHED[0] <= o.raw["tokens_chosen"] / max(1, o.raw["tokens_rejected"]) <= MATCHED[1]
    ]


def margin(outcomes: Sequence[Outcome]) -> float:
    """Return by how much the wanted reply is likelier, the mean over pairs (nats per token); NaN without a pair.

    Finer than the accuracy: it moves before pairs change sides.
    """
    counted = [o.raw for o in with_value(outcomes)]
    gaps = [r["chosen"] / r["tokens_chosen"] - r["rejected"] / r["tokens_rejected"] for r in counted]
    return sum(gaps) / len(gaps) if gaps else math.nan


def _accuracy(outcomes: Sequence[Outcome], name: str) -> Estimate:
    estimate = rate(values(outcomes), [o.cluster for o in outcomes], name=name)
    return replace(estimate, note=cut_note(outcomes))


def _half_on_ties(chosen: float, rejected: float) -> float:
    return 0.5 if chosen == rejected else float(chosen > rejected)
