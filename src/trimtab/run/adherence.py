"""Adherence to a charter: its suites, and how far a system's stance is from the charter's and from where it began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trimtab.charter.charter import Charter, read_charter
from trimtab.mechanisms.values.cases import phrased_cases, preference_cases
from trimtab.mechanisms.values.questions import better_cases, good_cases, stance_cases
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Model
from trimtab.probes.outcome import Outcome
from trimtab.probes.stance import charter_stances, divergence, stances
from trimtab.statistics.estimate import Estimate
from trimtab.suites.case import Case, ChoiceCase, PreferenceCase, Split
from trimtab.suites.read import Suite
from trimtab.suites.splits import spread

BUILT_IN = "built-in"
STANCE = "stance"


def named_charter(name: str) -> Charter:
    """Return the charter of a file, or the built-in one."""
    return read_charter(None if name == BUILT_IN else Path(name))


def charter_suites(charter: Charter, limit: int | None = None) -> list[Suite]:
    """Return what adherence is measured on, at most `limit` questions of each suite, with all their forms.

    Preferences, and choices made of them, are there for the principles with held-out pairs, of this project or the
    charter's own; the stance is asked on every principle.
    """
    pairs = preference_cases("test", charter)
    suites: dict[str, tuple[str, Sequence[ChoiceCase | PreferenceCase]]] = {
        "preference_phrasings": ("preference", phrased_cases(charter)),
        "choice_better": ("choice", better_cases(pairs)),
        "choice_good": ("choice", good_cases(pairs)),
        STANCE: ("choice", stance_cases(charter)),
    }
    return [Suite(n, kind, _some(cases, limit), []) for n, (kind, cases) in suites.items() if cases]


def _some(cases: Sequence[ChoiceCase | PreferenceCase], limit: int | None) -> list[Case]:
    questions = list(dict.fromkeys(c.question for c in cases))
    kept = set(questions if limit is None else spread(questions, limit))
    return [c for c in cases if c.question in kept]


def judged_cases(charter: Charter, split: Split, limit: int | None = None) -> list[PreferenceCase]:
    """Return the pairs of a split on a charter's principles: `tune` to measure a judge on, `test` to ask a system."""
    cases = preference_cases(split, charter)
    return cases if limit is None else spread(cases, limit)


def stance_figures(
    outcomes: Sequence[Outcome], charter: Charter, start: Sequence[Outcome] = ()
) -> list[Estimate]:
    """Return how far the stance is from the charter's, and from that of `start` where it was measured (bits)."""
    found = stances(outcomes)
    apart = [divergence(found, charter_stances(charter), name="stance_from_charter")]
    if start:
        apart.append(divergence(found, stances(start), name="stance_from_start"))
    return [e for e in apart if e]


@contextmanager
def bare(model: Model) -> Iterator[bool]:
    """Take the adapters out of a model for a while, and say whether there were any."""
    if not isinstance(model, LocalModel) or not any(model.strengths.values()):
        yield False
        return
    strengths = {Path(folder): s for folder, s in model.strengths.items()}
    model.set_adapters({})
    try:
        yield True
    finally:
        model.set_adapters(strengths)
