"""Stance: how a model divides between agreeing, disagreeing and not being sure, by principle of a charter.

Read from outcomes of `choice` cases whose choices are letters and whose options stand in every rotation: what a model
gives a letter for its own sake is then the same for every option (as in Santurkar et al. 2023, OpinionQA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trimtab.charter.charter import Charter, Principle, held
from trimtab.probes.outcome import Outcome, with_value
from trimtab.statistics.divergence import jensen_shannon
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import mean

if TYPE_CHECKING:
    from trimtab.statistics._clustered import Floats

OPTIONS = ("agree", "disagree", "unsure")

Stances = Mapping[str, "Floats"]  # principle → shares of OPTIONS, shape (3,)


def stances(outcomes: Sequence[Outcome]) -> Stances:
    """Return the shares of each option, the mean over all forms of the question about a principle.

    The shares of one form are its choices' likelihoods, divided by their sum.
    """
    found: dict[str, list[Floats]] = {}
    for o in with_value(outcomes):
        likely = np.exp(np.asarray(o.raw["means"]) - max(o.raw["means"]))
        # The options are rotated, so the place of the first one says which each letter stands for.
        found.setdefault(o.raw["group"], []).append(np.roll(likely / likely.sum(), -o.raw["target"]))
    return {group: np.mean(rows, axis=0) for group, rows in found.items()}


def charter_stances(charter: Charter) -> Stances:
    """Return what a charter holds: how people voted where it was voted on, each opinion group counting alike; else it agrees."""
    return {p.id: _held(p) for p in held(charter)}


def _held(principle: Principle) -> Floats:
    groups = [g for g in (principle.adoption.groups if principle.adoption else ()) if g.seen]
    if not groups:
        return np.array([1.0, 0.0, 0.0])
    rows = [[g.agreed, g.disagreed, max(0, g.seen - g.agreed - g.disagreed)] for g in groups]
    shares: Floats = np.mean([np.array(r) / sum(r) for r in rows], axis=0)
    return shares


def divergence(one: Stances, other: Stances, *, name: str) -> Estimate | None:
    """Return the mean Jensen-Shannon divergence (bits) over the principles that both have; None for fewer than two."""
    both = [p for p in one if p in other]
    if len(both) < 2:
        return None
    apart = [float(jensen_shannon(one[p], other[p])) for p in both]
    found = mean(apart, both, name=name, unit="bits")
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))
