"""Intervals for changes: the same cases before and after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from trimtab.statistics._clustered import (
    cluster_variance,
    encode,
    numbers,
    same_length,
    t_margin,
)
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Floats


def paired_difference(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    *,
    name: str,
    unit: str = "share",
    confidence: float = 0.95,
) -> Estimate:
    """Return mean(after) - mean(before) over the same cases, all of shape (n,).

    Outcomes of 0 and 1 whose clusters are single cases get Newcombe's paired score interval (method 10 of
    Newcombe 1998); everything else a cluster-robust t interval. Shares of which no case changed differently
    from another get Newcombe's interval at one case per cluster, since a variance of 0 says nothing; shares
    stay within -1 and 1. Raises `ValueError` on no values, values not finite, and lengths that differ.
    """
    x, y = numbers(before, f"{name} before"), numbers(after, f"{name} after")
    same_length(name, x, y)
    codes, count = encode(clusters, x.size, name)
    change = y - x
    value = float(change.mean())
    both = np.concatenate([x, y])
    bounded = unit == "share" and both.min() >= 0 and both.max() <= 1
    single = count == x.size and bool(np.isin(both, (0, 1)).all())
    if single or (bounded and change.min() == change.max()):
        low, high = _newcombe(_table(x, y) * (count / x.size), confidence)
    else:
        margin = t_margin(cluster_variance((change - value) / x.size, codes, count), count, confidence)
        low, high = value - margin, value + margin
    if bounded:
        low, high = max(-1.0, low), min(1.0, high)
    return Estimate(name, value, min(low, value), max(high, value), x.size, count, unit)


def _table(before: Floats, after: Floats) -> Floats:
    """Return the cases that were (1, 1), (1, 0), (0, 1) and (0, 0) before and after; ties count half."""
    pairs = (before * after, before * (1 - after), (1 - before) * after, (1 - before) * (1 - after))
    return np.array([p.sum() for p in pairs])


def _newcombe(table: Floats, confidence: float) -> tuple[float, float]:
    """Return the interval of after - before: Wilson limits squared and added, phi corrected for continuity."""
    a, b, c, d = (float(cell) for cell in table)
    n = a + b + c + d
    first, second = (a + b) / n, (a + c) / n
    (low1, high1), (low2, high2) = wilson(first, n, confidence), wilson(second, n, confidence)
    margins = math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    cross = a * d - b * c
    corrected = max(cross - n / 2, 0.0) if cross > 0 else cross
    phi = corrected / margins if margins > 0 else 0.0

    def span(one: float, two: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * two + two * two))

    change = second - first
    return change - span(second - low2, high1 - first), change + span(high2 - second, first - low1)


def paired_ratio_change(
    before_numerators: ArrayLike,
    after_numerators: ArrayLike,
    denominators: ArrayLike,
    clusters: Sequence[str],
    *,
    name: str,
    after_denominators: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return how much a ratio of sums changed, relative to before: (after / before) - 1, unit `relative`.

    All arrays have shape (n,), the same cases in the same order; for nats per token -log p before and after,
    and tokens. The interval is the delta method on the logarithm, cluster-robust, t with G - 1 degrees of
    freedom. Raises `ValueError` when a sum is not above 0. One cluster gives (-1, inf).
    """
    bottom = denominators if after_denominators is None else after_denominators
    columns = [
        numbers(values, f"{name} {what}")
        for values, what in (
            (after_numerators, "after"),
            (before_numerators, "before"),
            (denominators, "denominators before"),
            (bottom, "denominators after"),
        )
    ]
    same_length(name, *columns)
    sums = [float(column.sum()) for column in columns]
    if min(sums) <= 0:
        raise ValueError(f"{name}: a relative change needs sums above 0")
    after, before, under_before, under_after = (c / s for c, s in zip(columns, sums, strict=True))
    codes, count = encode(clusters, after.size, name)
    change = (sums[0] / sums[3]) / (sums[1] / sums[2])
    variance = cluster_variance(after - before + under_before - under_after, codes, count)
    margin = t_margin(variance, count, confidence)
    # Past e^700 a float overflows; the limit is infinite for every purpose.
    up = math.exp(margin) if margin < 700 else math.inf
    return Estimate(name, change - 1, change / up - 1, change * up - 1, after.size, count, "relative")


def abs_gap_change(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    directions: Sequence[str] | None = None,
    *,
    name: str = "pair_gap",
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Return |gap after| / |gap before| (unit `ratio`), a gap being the mean within, then over, directions.

    `before` and `after` are log p(text_a) - log p(text_b) of the same pairs, shape (n,). The interval is the
    percentile bootstrap of whole clusters, widened to hold the value; one cluster gives (0, inf). A resample
    without some direction averages those it has. Raises `ValueError` when the gap before is exactly 0.
    """
    value, drawn = _gap_ratios(before, after, clusters, directions, name=name, resamples=resamples, seed=seed)
    low, high = _percentiles(np.abs(drawn), abs(value), len(set(clusters)), confidence)
    return Estimate(name, abs(value), low, high, len(clusters), len(set(clusters)), "ratio")


def gap_reversal(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    directions: Sequence[str] | None = None,
    *,
    name: str = "gap_reversal",
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Return how large a gap of the opposite sign became, relative to the gap before; 0 when it kept its sign.

    max(0, -gap after / gap before), unit `relative`. Arguments, interval and errors as in `abs_gap_change`.
    """
    value, drawn = _gap_ratios(before, after, clusters, directions, name=name, resamples=resamples, seed=seed)
    reversed_gap = max(0.0, -value)
    low, high = _percentiles(np.maximum(0.0, -drawn), reversed_gap, len(set(clusters)), confidence)
    return Estimate(name, reversed_gap, low, high, len(clusters), len(set(clusters)), "relative")


def _gap_ratios(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[str],
    directions: Sequence[str] | None,
    *,
    name: str,
    resamples: int,
    seed: int,
) -> tuple[float, Floats]:
    """Return gap after / gap before, and the same for each resample of whole clusters (shape (resamples,))."""
    x, y = numbers(before, f"{name} before"), numbers(after, f"{name} after")
    same_length(name, x, y)
    codes, count = encode(clusters, x.size, name)
    ways, many = encode(directions if directions is not None else [""] * x.size, x.size, f"{name} directions")

    def sums(weights: Floats) -> Floats:
        flat = np.bincount(codes * many + ways, weights=weights, minlength=count * many)
        return np.asarray(flat, dtype=np.float64).reshape(count, many)

    tables = sums(x), sums(y), sums(np.ones_like(x))
    first, last, cases = (table.sum(axis=0) for table in tables)
    gap_before, gap_after = float((first / cases).mean()), float((last / cases).mean())
    if gap_before == 0:
        raise ValueError(f"{name}: the gap before is 0, so nothing can be said relative to it")
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    first, last, cases = (draws @ table for table in tables)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Missing directions are 0 / 0; the weights of the mean leave them out, alike in both gaps.
        drawn = np.nansum(last / cases, axis=1) / np.nansum(first / cases, axis=1)
    return gap_after / gap_before, drawn


def _percentiles(drawn: Floats, value: float, count: int, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of the resamples, widened to hold `value`; (0, inf) for one cluster."""
    if count < 2:
        return 0.0, math.inf
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    # 0 / 0 counts as the worst there is; order statistics, since interpolating makes infinity minus infinity.
    worst = np.where(np.isnan(drawn), np.inf, drawn)
    low, high = (float(q) for q in np.quantile(worst, tails, method="inverted_cdf"))
    return min(low, value), max(high, value)
