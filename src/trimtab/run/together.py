"""Measures the adapters that trim chose one at a time at once, and takes them down while they cost too much.

What they cost adds up, and can more than add up: answers loop under two adapters that loop under neither alone.
Likelihoods do not show it, so answers to benign requests are read too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.models.batched import Batched
from trimtab.models.local import LocalModel
from trimtab.models.system import adapter_folder
from trimtab.probes.outcome import Outcome, with_value
from trimtab.probes.registry import probe_for
from trimtab.run.measure import Bar, Suites

NLL, BROKEN = 0.01, 0.05
"""Limits on `tune`: the rise of nll as a share of it, whose gate looks at the worse end of an interval; of the share of
broken answers, wider than its gate, since of 128 answers two or three more are broken by chance.
"""
RULE = (
    f"then all at once: while nll rises by more than {NLL:.1%} or broken answers by more than {100 * BROKEN:.0f} "
    "points, the strongest adapter is taken down to the next lower strength, of equals values first and adversarial last"
)
DOWN = (
    "values",
    "bias",
    "adversarial",
)  # what it learned from real text and ordinary answers lowers both costs
COSTS = {"nll_per_token": ("text",), "broken": ("ordinary", "twins")}  # figure → suites, counted as one
Point = dict[str, Any]


def settle(  # noqa: PLR0917
    model: LocalModel, run: Path, points: Sequence[Point], suites: Suites, bar: Bar, folder: Path | None = None
) -> list[Point]:  # fmt: skip
    """Mark in `points` the strengths that stay within `NLL` and `BROKEN` together; returns what was measured on the way.

    Each step has `strengths`, `nll_per_token`, `broken` (None where it could not be measured) and `within`; the bare
    model comes first. Nothing is measured where no adapter was chosen.
    """
    strengths = {p["mechanism"]: p["strength"] for p in points if p["chosen"]}
    if not any(strengths.values()):
        return []
    bare = _measured(model, run, dict.fromkeys(strengths, 0.0), suites, bar, folder)
    steps = [{**bare, "within": True}]
    while any(strengths.values()):
        step = _measured(model, run, strengths, suites, bar, folder)
        step["within"] = _within(step, bare)
        steps.append(step)
        if step["within"]:
            break
        strengths = _lower(strengths, points)
    model.set_adapters({})
    for p in points:
        p["chosen"] = p["strength"] == strengths[p["mechanism"]]
    return steps


def named(strengths: Mapping[str, float]) -> str:
    """Return what a setting is called: its adapters and their strengths, or `bare`."""
    return "-".join(f"{m}-{s:g}" for m, s in strengths.items() if s) or "bare"


def _measured(  # noqa: PLR0917
    model: LocalModel, run: Path, strengths: Mapping[str, float], suites: Suites, bar: Bar, folder: Path | None
) -> Point:  # fmt: skip
    model.set_adapters({adapter_folder(run, m): s for m, s in strengths.items()})
    name = named(strengths)
    found: Point = {"strengths": dict(strengths)}
    for figure, names in COSTS.items():
        outcomes: list[Outcome] = []
        for suite in names:
            kind, cases = suites[suite]
            asked = Batched(model, folder and folder / name / suite)
            progress = bar(f"trim: {name}: {suite}", len(cases))
            outcomes += probe_for(kind).measure(asked, cases, system="tune", progress=progress)
        estimates = probe_for(kind).figures(with_value(outcomes))
        known = [e.value for e in estimates if e.name == figure and not math.isnan(e.value)]
        found[figure] = known[0] if known else None
    return found


def _within(step: Point, bare: Point) -> bool:
    """Return whether both costs are within their limits; one that could not be measured is not."""
    nll, broken = ((step[k], bare[k]) for k in ("nll_per_token", "broken"))
    if None in (*nll, *broken):
        return False
    return bool(nll[0] <= nll[1] * (1 + NLL) and broken[0] <= broken[1] + BROKEN)


def _lower(strengths: Mapping[str, float], points: Sequence[Point]) -> dict[str, float]:
    """Return the strengths with the highest one, of equals the first in DOWN, at the next lower that was tried."""
    highest = max(strengths.values())
    mechanism = next(m for m in DOWN if strengths.get(m) == highest)
    tried = (p["strength"] for p in points if p["mechanism"] == mechanism)
    return {**strengths, mechanism: max(s for s in tried if s < highest)}
