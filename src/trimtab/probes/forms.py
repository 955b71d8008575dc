"""One question in several forms: the same in other words, or with its choices in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trimtab.probes.outcome import Outcome, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import ChoiceCase, PreferenceCase


def form_of(case: ChoiceCase | PreferenceCase) -> dict[str, str]:
    """Return what an outcome keeps of the question that a case is a form of."""
    return {"question": case.question} if case.question else {}


def form_figures(outcomes: Sequence[Outcome]) -> list[Estimate]:
    """Return `consistency`, the share of questions with one result in all forms, and `right_in_all_forms`.

    A question counts when two of its forms or more have a value; nothing is returned where none has.
    """
    asked = {q: rows for q, rows in _by_question(outcomes).items() if len(rows) > 1}
    if not asked:
        return []
    clusters = [rows[0].cluster for rows in asked.values()]
    alike = [float(len({o.value for o in rows}) == 1) for rows in asked.values()]
    right = [float(all(o.value == 1 for o in rows)) for rows in asked.values()]
    note = f"{sum(map(len, asked.values())) / len(asked):.3g} forms of a question"
    found = rate(alike, clusters, name="consistency"), rate(right, clusters, name="right_in_all_forms")
    return [replace(e, note=note) for e in found]


def _by_question(outcomes: Sequence[Outcome]) -> Mapping[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for o in with_value(outcomes):
        if question := o.raw.get("question"):
            found.setdefault(question, []).append(o)
    return found
