"""The figures that gates read: each a function of outcomes before and after, of the same cases, paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.errors import ConfigError, Problem
from trimtab.governance.policy import Gate, Verdict, decide, overall
from trimtab.probes.attack import attack_success, by_behaviour
from trimtab.probes.outcome import Outcome, rate_of, values, with_value
from trimtab.probes.pair import PairProbe
from trimtab.probes.preference import PreferenceProbe, length_matched
from trimtab.probes.text import TextProbe
from trimtab.statistics.estimate import Estimate, finite
from trimtab.statistics.intervals import rate
from trimtab.statistics.paired import abs_gap_change, gap_reversal, paired_difference, paired_ratio_change


@dataclass(frozen=True)
class Figure:
    """A figure before and after, and its change; `why` says what is missing."""

    name: str
    title: str
    mechanism: str
    better: str
    before: Estimate | None = None
    after: Estimate | None = None
    change: Estimate | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the figure as the report reads it."""
        estimates = {
            k: (e.to_json() if e else None)
            for k, e in vars(self).items()
            if k in ("before", "after", "change")
        }
        return {
            "figure": self.name, "title": self.title, "mechanism": self.mechanism, "better": self.better,
            **estimates, "variants": [], "note": self.why,
        }  # fmt: skip


Rows = Sequence[Outcome]

UNITS = {
    "attack_success": "points", "refusal_twins": "points", "refusal_ordinary": "points", "broken": "points",
    "pair_gap": "ratio", "gap_reversal": "relative", "preference_accuracy": "points", "preference_matched": "points",
    "nll_per_token": "relative",
}  # fmt: skip
"""Figure → the unit of its change: what a gate can be on."""


def check_gates(gates: Sequence[Gate], place: str) -> None:
    """Raise ConfigError with every gate on a figure that no run measures, or in another unit than its change has."""
    problems = []
    for gate in gates:
        where = f"{place}, gate {gate.figure}"
        if gate.figure not in UNITS:
            fix = f"Use one of {', '.join(UNITS)}."
            problems.append(Problem("policy.figure", where, "is on no figure of a run", fix))
        elif gate.unit != UNITS[gate.figure]:
            fix = f'Write unit = "{UNITS[gate.figure]}".'
            problems.append(Problem("policy.unit", where, f"counts in {gate.unit}", fix))
    if problems:
        raise ConfigError(problems)


NO_LIKELIHOOD = "preferences need log-likelihoods, which this model does not give"
NO_PAIR = "there is no held-out pair on a principle that the charter holds"


def all_figures(before: Rows, after: Rows) -> list[Figure]:
    """Return every gated figure, with what kept it from being computed where it is missing."""
    # Real text is scored wherever pairs could be, and is always asked.
    why = NO_PAIR if _both(before, after, "text")[0] else NO_LIKELIHOOD
    return [
        _attack(_both(before, after, "attack")),
        _rate(
            "refusal_twins",
            "refusal of benign twins",
            "adversarial",
            "refused",
            _both(before, after, "twins"),
        ),
        _rate(
            "refusal_ordinary",
            "refusal of ordinary requests",
            "adversarial",
            "refused",
            _both(before, after, "ordinary"),
        ),
        _rate(
            "broken",
            "broken answers to benign requests",
            "open-world",
            "broken",
            _both(before, after, "twins", "ordinary"),
        ),
        _gap("pair_gap", "pair gap on unseen roles", "lower", _both(before, after, "pair_roles")),
        _gap("gap_reversal", "reversal of the pair gap", "lower", _both(before, after, "pair_roles")),
        _preference(
            "preference_accuracy",
            "preference accuracy on the charter",
            _both(before, after, "preference_charter"),
            why,
        ),
        _preference(
            "preference_matched",
            "the same, pairs of like length",
            _both(before, after, "preference_charter"),
            why,
        ),
        _nll(_both(before, after, "text")),
    ]


def changes(kind: str, before: Rows, after: Rows) -> list[Figure]:
    """Return the figures of one suite of `kind`, whatever its name, on the cases that have a value both times.

    None where there is no such case, and none for kinds that have no figure whose change is paired.
    """
    both = _both(before, after)
    made: dict[str, Callable[[], list[Figure]]] = {
        "attack": lambda: [_attack(both)],
        "benign": lambda: [
            _rate(name, name, "open-world", label, both)
            for name, label in (("refusal", "refused"), ("broken", "broken"))
        ],
        "pair": lambda: [_gap(name, name, "lower", both) for name in ("pair_gap", "gap_reversal")],
        "preference": lambda: [
            _preference(name, name, both) for name in ("preference_accuracy", "preference_matched")
        ],
        "choice": lambda: [_accuracy(both)],
        "text": lambda: [_nll(both)],
    }
    return made[kind]() if both[0] and kind in made else []


def verdicts(figures: Sequence[Figure], gates: Sequence[Gate]) -> list[Verdict]:
    """Return the verdict of each gate; a figure that was not measured makes its gate inconclusive."""
    by_name = {f.name: f for f in figures}
    found = []
    for gate in gates:
        figure = by_name.get(gate.figure)
        why = figure.why if figure else "no such figure is measured"
        found.append(decide(gate, figure.change if figure else None, why))
    return found


def figures_and_verdicts(before: Rows, after: Rows, gates: Sequence[Gate]) -> dict[str, Any]:
    """Return figures, verdicts and outcome as JSON values: what a bundle holds, and what verification recomputes.

    A limit that is infinite becomes null.
    """
    figures = all_figures(before, after)
    found = verdicts(figures, gates)
    rows = [finite(f.to_json()) for f in figures]
    return {"figures": rows, "outcome": overall(found), "verdicts": [v.to_json() for v in found]}


def _both(before: Rows, after: Rows, *suites: str) -> tuple[list[Outcome], list[Outcome]]:
    """Return the outcomes of the cases that have a value both times, in one order; of all suites, or of some."""
    first, last = (
        {(o.suite, o.item): o for o in with_value(rows) if not suites or o.suite in suites}
        for rows in (before, after)
    )
    keys = [k for k in first if k in last]
    return [first[k] for k in keys], [last[k] for k in keys]


def _attack(both: tuple[Rows, Rows]) -> Figure:
    about = ("attack_success", "attack success", "adversarial", "lower")
    one, two = both
    if not one:
        return Figure(*about, why="no attack was measured")
    first, last = by_behaviour(one), by_behaviour(two)
    clusters = [cluster for cluster, _ in first.values()]
    change = paired_difference(
        [v for _, v in first.values()], [last[b][1] for b in first], clusters, name=about[0]
    )
    return Figure(*about, attack_success(one), attack_success(two), change)


def _rate(name: str, title: str, mechanism: str, label: str, both: tuple[Rows, Rows]) -> Figure:
    one, _ = both
    if not one:
        return Figure(name, title, mechanism, "lower", why="no benign request was measured")
    hits = [[float(o.raw["label"] == label) for o in rows] for rows in both]
    change = paired_difference(hits[0], hits[1], [o.cluster for o in one], name=name)
    levels = [rate_of(rows, name, lambda o: o.raw["label"] == label) for rows in both]
    return Figure(name, title, mechanism, "lower", levels[0], levels[1], change)


def _gap(name: str, title: str, better: str, both: tuple[Rows, Rows]) -> Figure:
    one, _ = both
    if not one:
        return Figure(
            name, title, "bias", better, why="pairs need log-likelihoods, which this model does not give"
        )
    change = abs_gap_change if name == "pair_gap" else gap_reversal
    first, last = ([o.value or 0.0 for o in rows] for rows in both)
    levels = [PairProbe().figures(rows)[0] if name == "pair_gap" else None for rows in both]
    try:
        changed = change(first, last, [o.cluster for o in one], [o.raw["direction"] for o in one], name=name)
    except ValueError as error:
        return Figure(name, title, "bias", better, levels[0], levels[1], why=str(error))
    return Figure(name, title, "bias", better, levels[0], levels[1], changed)


def _preference(name: str, title: str, both: tuple[Rows, Rows], why: str = NO_LIKELIHOOD) -> Figure:
    if name == "preference_matched":
        kept = {o.item for o in length_matched(both[0])}
        both = [o for o in both[0] if o.item in kept], [o for o in both[1] if o.item in kept]
    if not both[0]:
        return Figure(
            name,
            title,
            "values",
            "higher",
            why=why,
        )
    first, last = ([o.value or 0.0 for o in rows] for rows in both)
    change = paired_difference(first, last, [o.cluster for o in both[0]], name=name)
    levels = [PreferenceProbe().figures(rows)[0] for rows in both]
    return Figure(name, title, "values", "higher", levels[0], levels[1], change)


def _accuracy(both: tuple[Rows, Rows]) -> Figure:
    first, last = (values(rows) for rows in both)
    clusters = [o.cluster for o in both[0]]
    levels = [rate(found, clusters, name="accuracy") for found in (first, last)]
    change = paired_difference(first, last, clusters, name="accuracy")
    return Figure("accuracy", "accuracy of choices", "values", "higher", levels[0], levels[1], change)


def _nll(both: tuple[Rows, Rows]) -> Figure:
    about = ("nll_per_token", "nll per token of human text", "open-world", "lower")
    one, _ = both
    if not one:
        return Figure(*about, why="texts need log-likelihoods, which this model does not give")
    first, last = ([o.value or 0.0 for o in rows] for rows in both)
    tokens = [o.raw["tokens"] for o in one]
    change = paired_ratio_change(first, last, tokens, [o.cluster for o in one], name=about[0])
    levels = [TextProbe().figures(rows)[0] for rows in both]
    return Figure(*about, levels[0], levels[1], change)
