"""What opinion groups agree on, what divides them, and what stands for each.

Shares are (agreed + 1) / (seen + 2), as Polis has them: the mean of the posterior Beta under a uniform prior. Each is pulled
towards one half, and a product of several far from what all think. So intervals are no quantiles of that posterior: they are
made of the exact ones of each group (Clopper and Pearson 1934), groups independent. They know of chance among those who
voted, and not of who came, nor of which statements people were shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.charter.votes import AGREE, DISAGREE

if TYPE_CHECKING:
    from trimtab.charter.groups import Groups
    from trimtab.charter.votes import Flags, Floats, Votes

Z90 = 1.2816
REPRESENTATIVE = 5
DRAWS, BLOCK = 2000, 64
TAIL = 0.025  # on either side of a 95 % interval


@dataclass(frozen=True, eq=False)
class Counts:
    """Votes by group and statement (G, S): agreed, disagreed, seen; and members (G,)."""

    agreed: Floats
    disagreed: Floats
    seen: Floats
    members: Floats


def count(votes: Votes, groups: Groups) -> Counts:
    """Return the counts of the groups; who is in no group is not counted."""
    shape = len(groups.names), len(votes.statements)
    label = groups.labels[votes.row]

    def table(where: Flags) -> Floats:
        chosen = where & (label >= 0)
        cell = label[chosen] * shape[1] + votes.column[chosen]
        total = np.bincount(cell, weights=votes.weights[votes.row[chosen]], minlength=shape[0] * shape[1])
        return total.astype(np.float64).reshape(shape)

    inside = groups.labels >= 0
    members = np.zeros(shape[0])
    np.add.at(members, groups.labels[inside], votes.weights[inside])
    return Counts(
        table(votes.value == AGREE),
        table(votes.value == DISAGREE),
        table(votes.value == votes.value),
        members,
    )


def laplace(successes: Floats, n: Floats) -> Floats:
    """Return (successes + 1) / (n + 2), of any shape."""
    return np.asarray((successes + 1) / (n + 2))


def group_aware(successes: Floats, seen: Floats) -> Floats:
    """Return the group-aware consensus (S,): the product over groups of the shares of `successes` (G, S)."""
    return np.asarray(laplace(successes, seen).prod(axis=0))


@dataclass(frozen=True, eq=False)
class Measure:
    """A figure of every statement with the limits of its 95 % interval, each (S,)."""

    value: Floats
    low: Floats
    high: Floats


def consensus(successes: Floats, seen: Floats, *, seed: int = 0) -> dict[str, Measure]:
    """Return `group_aware`, `minimum`, `geometric_mean` and `spread` of the groups' shares, with intervals.

    `successes` and `seen` have shape (G, S). The spread is the largest share minus the smallest. Values are of the
    shares as Polis has them. An interval reaches to its value where that lies outside: with few votes it may.

    The product rises with every group's share. So its upper limit is a quantile of products of draws, one of each group, from
    Beta(agreed + 1, seen - agreed), whose quantiles are the exact upper limits of that group's share, and its lower limit one of
    draws from Beta(agreed, seen - agreed + 1), which gives the exact lower ones (melding: Fay, Proschan and Brittain 2015, there
    of two samples). Both of the geometric mean are roots of them. Lower limits are wide where groups are many and small.
    The smallest share is at least the lowest of the groups' lower limits (intersection and union: Berger 1982), and at most the
    lowest of their upper limits, these at a level divided by their number (Bonferroni): where groups think alike, draws of
    the smallest lie below what all of them think. The spread is at least what the groups of the most and of the least are
    apart, at a level divided by the pairs of groups, for the same reason.
    """
    shares = laplace(successes, seen)
    rng = np.random.default_rng(seed)
    limits: dict[str, list[Floats]] = {name: [] for name in _FIGURES}
    for start in range(0, shares.shape[1], BLOCK):
        s, n = successes[:, start : start + BLOCK], seen[:, start : start + BLOCK]
        low, high = _drawn(rng, s, n - s), 1 - _drawn(rng, n - s, s)
        product = _quantiles(_product(low), _product(high))
        limits["group_aware"].append(product)
        limits["geometric_mean"].append(product ** (1 / len(shares)))
        limits["minimum"].append(_smallest(s, n))
        least = _apart_at_least(shares[:, start : start + BLOCK], low, high)
        most = np.quantile(high.max(axis=1) - low.min(axis=1), 1 - TAIL, axis=0)
        limits["spread"].append(np.stack([least, most]))
    found = {}
    for name, figure in _FIGURES.items():
        low, high = np.concatenate(limits[name], axis=1)
        value = figure(shares)
        found[name] = Measure(value, np.minimum(low, value), np.maximum(high, value))
    return found


def _drawn(rng: np.random.Generator, successes: Floats, failures: Floats) -> Floats:
    """Return draws (D, G, S) whose quantiles are the exact lower limits of a share; all 0 without a success."""
    drawn = rng.beta(np.maximum(successes, 1), failures + 1, size=(DRAWS, *successes.shape))
    return np.asarray(np.where(successes > 0, drawn, 0.0))


def _quantiles(low: Floats, high: Floats) -> Floats:
    """Return the limits (2, S) of a figure by its draws (D, S) for the lower one and for the upper one."""
    return np.stack([np.quantile(low, TAIL, axis=0), np.quantile(high, 1 - TAIL, axis=0)])


def _product(shares: Floats) -> Floats:
    return np.asarray(shares.prod(axis=-2))


def _minimum(shares: Floats) -> Floats:
    return np.asarray(shares.min(axis=-2))


def _geometric(shares: Floats) -> Floats:
    return np.asarray(shares.prod(axis=-2) ** (1 / shares.shape[-2]))


def _spread(shares: Floats) -> Floats:
    return np.asarray(shares.max(axis=-2) - shares.min(axis=-2))


def _smallest(successes: Floats, seen: Floats) -> Floats:
    """Return the limits (2, S) of the smallest share: the lowest of the groups' own, exact ones."""
    from scipy.special import betaincinv

    failures = seen - successes
    low = np.where(successes > 0, betaincinv(np.maximum(successes, 1), failures + 1, TAIL), 0.0)
    few = TAIL / len(seen)
    high = np.where(failures > 0, betaincinv(successes + 1, np.maximum(failures, 1), 1 - few), 1.0)
    return np.stack([low.min(axis=0), high.min(axis=0)])


def _apart_at_least(shares: Floats, low: Floats, high: Floats) -> Floats:
    """Return the lower limits (S,) of the share of the group of the most minus that of the least, at least 0."""
    most, least = (at[None, None] for at in (shares.argmax(axis=0), shares.argmin(axis=0)))
    apart = np.take_along_axis(low, most, axis=1) - np.take_along_axis(high, least, axis=1)
    return np.asarray(np.quantile(apart[:, 0], TAIL / max(1, math.comb(len(shares), 2)), axis=0).clip(0))


_FIGURES = {"group_aware": _product, "minimum": _minimum, "geometric_mean": _geometric, "spread": _spread}


def coverage(counts: Counts) -> Floats:
    """Return the share of each group's members who voted on each statement (G, S)."""
    return np.asarray(counts.seen / np.maximum(1, counts.members)[:, None])


@dataclass(frozen=True)
class Representative:
    """A statement that stands for a group: it agrees (or disagrees) with it, and more than the others do.

    `p_test` is the z value against one half, `repness` the ratio of the group's share to that of the others, and
    `repness_test` the z value of the difference.
    """

    statement: int
    side: str
    successes: float
    trials: float
    p_success: float
    p_test: float
    repness: float
    repness_test: float

    @property
    def weight(self) -> float:
        """What Polis orders them by."""
        return self.repness * self.repness_test * self.p_success * self.p_test

    @property
    def significant(self) -> bool:
        """Whether both z values pass 90 %, one-sided, as in Polis; the groups were made from the same votes."""
        return self.p_test > Z90 and self.repness_test > Z90


def representative(counts: Counts, keep: Flags, most: int = REPRESENTATIVE) -> list[list[Representative]]:
    """Return at most `most` statements for each group among those chosen by `keep` (S,), agreed ones first.

    Where none is significant, the one of the largest weight stands alone.
    """
    found = []
    for group in range(len(counts.members)):
        rows = [
            representation(counts, group, int(s)) for s in np.flatnonzero(keep & (counts.seen[group] > 0))
        ]
        chosen = sorted((r for r in rows if r.significant), key=lambda r: -r.weight)[:most]
        if not chosen and rows:
            chosen = [max(rows, key=lambda r: r.repness_test)]
        found.append(sorted(chosen, key=lambda r: r.side != "agree"))
    return found


def representation(counts: Counts, group: int, statement: int) -> Representative:
    """Return how a statement stands for a group, on the side where the group differs more from the others."""
    sides = [
        _side(name, table[:, statement], counts.seen[:, statement], group, statement)
        for name, table in (("agree", counts.agreed), ("disagree", counts.disagreed))
    ]
    return max(sides, key=lambda r: (r.repness_test, r.side == "disagree"))


def _side(side: str, successes: Floats, seen: Floats, group: int, statement: int) -> Representative:
    inside, n = float(successes[group]), float(seen[group])
    outside, m = float(successes.sum() - inside), float(seen.sum() - n)
    p = (inside + 1) / (n + 2)
    return Representative(
        statement, side, inside, n, p, one_share(inside, n), p * (m + 2) / (outside + 1),
        two_shares(inside, n, outside, m),
    )  # fmt: skip


def one_share(successes: float, n: float) -> float:
    """Return the z value of a share against one half, one success and one trial added (Polis's prop-test)."""
    return 2 * math.sqrt(n + 1) * ((successes + 1) / (n + 1) - 0.5)


def two_shares(one: float, n: float, other: float, m: float) -> float:
    """Return the z value of the difference of two shares, one added to all four (Polis's two-prop-test)."""
    one, n, other, m = one + 1, n + 1, other + 1, m + 1
    pooled = (one + other) / (n + m)
    if pooled >= 1:
        return 0.0
    return (one / n - other / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
