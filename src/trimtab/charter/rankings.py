"""Orders statements by several voting rules, and says where they disagree: that is evidence about the consensus.

A vote for one statement over another is a higher vote by the same person: agree over pass over disagree, approved
over not approved, an earlier place over a later one. Pairs that nobody saw both of are undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise as adjacent
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.charter.votes import Flags, Floats, Ints, Votes

PAIRS_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Ballots that put statement i over j, and that hold both, each (S, S)."""

    over: Floats
    both: Floats

    @property
    def margin(self) -> Floats:
        """Ballots for i over j minus those for j over i (S, S)."""
        return np.asarray(self.over - self.over.T)


@dataclass(frozen=True)
class Ranking:
    """The order that a rule gives: place (S,), 1 is best, equal scores share a place; and the scores (S,)."""

    rule: str
    place: Ints
    score: Floats


def pairwise(votes: Votes) -> Pairwise:
    """Return the comparisons in all ballots; sparse products, one for each level of the votes.

    Ballots weigh what they stand for. At most `levels`² products; rankings of many places are done row by row.
    """
    weight = votes.weights[votes.row]
    levels = np.unique(votes.value)
    seen = votes.matrix(weight)
    both = (seen.T @ votes.matrix()).toarray()
    over = np.zeros_like(both)
    below = votes.value < levels[0]
    for low, high in adjacent(levels):
        below = below | (votes.value == low)
        over += (votes.matrix(weight, votes.value == high).T @ votes.matrix(where=below)).toarray()
    return Pairwise(over, both)


def rankings(votes: Votes, keep: Flags) -> tuple[list[Ranking], Pairwise]:
    """Return the orders of the statements chosen by `keep` (S,) by all rules, and their comparisons."""
    kept = votes.only(keep)
    pairs = pairwise(kept)
    rules = {"borda": borda, "copeland": copeland, "schulze": schulze}
    found = [_ranking(name, rule(pairs)) for name, rule in rules.items()]
    first = approval(kept) if votes.kind != "ranking" else first_places(kept)
    name = "approval" if votes.kind != "ranking" else "first places"
    return [_ranking(name, first), *found], pairs


def _ranking(rule: str, score: Floats) -> Ranking:
    rounded = np.round(score, 12)
    _, inverse, size = np.unique(-rounded, return_inverse=True, return_counts=True)
    before = np.cumsum(size) - size
    return Ranking(rule, before[inverse] + 1, score)


def approval(votes: Votes) -> Floats:
    """Return (approvals + 1) / (votes + 2) of each statement (S,): a statement few saw is not first by chance."""
    n = len(votes.statements)
    weight = votes.weights[votes.row]
    agreed = np.bincount(votes.column, weights=weight * (votes.value == 1), minlength=n)
    return np.asarray((agreed + 1) / (np.bincount(votes.column, weights=weight, minlength=n) + 2))


def first_places(votes: Votes) -> Floats:
    """Return the ballots with each statement in the first place (S,), shared where several are."""
    n = len(votes.statements)
    best = np.full(len(votes.participants), -np.inf)
    np.maximum.at(best, votes.row, votes.value)
    first = (votes.value == best[votes.row]).astype(float)
    many = np.bincount(votes.row, weights=first, minlength=len(best))
    share = votes.weights[votes.row] * first / many[votes.row]
    return np.bincount(votes.column, weights=share, minlength=n).astype(np.float64)


def borda(pairs: Pairwise) -> Floats:
    """Return the mean share of ballots that put each statement over another, ties half (S,).

    On complete ballots this orders as Borda's count does (Borda 1784; ties: Black 1976). A pair that nobody saw
    both of counts one half.
    """
    n = len(pairs.over)
    won = pairs.over + (pairs.both - pairs.over - pairs.over.T) / 2
    share = np.divide(won, pairs.both, out=np.full_like(won, 0.5), where=pairs.both > 0)
    np.fill_diagonal(share, 0)
    return np.asarray(share.sum(axis=1) / max(1, n - 1))


def copeland(pairs: Pairwise) -> Floats:
    """Return wins minus losses against all others by majority (S,) (Copeland 1951)."""
    return np.asarray(np.sign(pairs.margin).sum(axis=1))


def schulze(pairs: Pairwise) -> Floats:
    """Return minus how many statements beat each by the strongest path (S,) (Schulze 2011, margins).

    The strength of a path is its weakest margin; Floyd and Warshall's scheme finds the widest ones. The winners are those
    that nothing beats, at 0: with ties several, of which one may beat fewer than another.
    """
    strength = np.where(pairs.margin > 0, pairs.margin, 0.0)
    for k in range(len(strength)):
        np.maximum(strength, np.minimum(strength[:, k, None], strength[None, k]), out=strength)
    np.fill_diagonal(strength, 0)
    return -np.asarray((strength < strength.T).sum(axis=1), dtype=np.float64)


def winner(pairs: Pairwise) -> int | None:
    """Return the statement that beats every other by majority, None where there is none (Condorcet)."""
    beats = (pairs.margin > 0).sum(axis=1)
    found = np.flatnonzero(beats == len(beats) - 1)
    return int(found[0]) if len(found) else None


def accord(orders: Mapping[str, Ints]) -> dict[tuple[str, str], float]:
    """Return Kendall's tau-b of each pair of orders (1 the same, -1 reversed); nan where one ties everything.

    None of orders of a single statement.
    """
    from scipy.stats import kendalltau

    names = list(orders)
    if any(len(place) < 2 for place in orders.values()):
        return {}
    return {
        (a, b): float(kendalltau(orders[a], orders[b]).statistic)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


def disputed(orders: Mapping[str, Ints], most: int = PAIRS_SHOWN) -> list[int]:
    """Return the statements whose places differ most between the orders, the most disputed first."""
    places = np.stack(list(orders.values()))
    apart = places.max(axis=0) - places.min(axis=0)
    order = np.argsort(-apart, kind="stable")[:most]
    return [int(i) for i in order if apart[i] > 0]


def tops(orders: Mapping[str, Ints]) -> dict[str, list[int]]:
    """Return what each order puts first (all that share the place)."""
    return {name: [int(i) for i in np.flatnonzero(place == place.min())] for name, place in orders.items()}
