"""Intervals for one system's figures: rates, means and ratios of clustered cases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.statistics._clustered import (
    cluster_variance,
    encode,
    numbers,
    same_length,
    shares,
    t_margin,
    z_value,
)
from trimtab.statistics.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Codes, Floats


def rate(values: ArrayLike, clusters: Sequence[str], *, name: str, confidence: float = 0.95) -> Estimate:
    """Return the share of ones with Wilson's interval at the effective number of cases.

    `values` and `clusters` have shape (n,); a tie may count as 0.5. Raises `ValueError` on no values, on
    values outside 0 to 1 and on lengths that differ. Wilson 1927; effective n: Korn and Graubard 1998.
    """
    outcomes = shares(values, name)
    codes, count = encode(clusters, outcomes.size, name)
    value = min(1.0, float(outcomes.mean()))
    low, high = wilson(value, effective_cases(outcomes, codes, count), confidence)
    return Estimate(name, value, low, high, outcomes.size, count)


def effective_cases(outcomes: Floats, codes: Codes, count: int) -> float:
    """Return how many independent cases `outcomes` (shape (n,), 0 to 1) are worth.

    min(n, p (1 - p) / v) with the cluster-robust variance v of the mean; n where every cluster is one case;
    the number of clusters where all outcomes agree, because v is then 0 and says nothing; 1 for one cluster.
    """
    n = outcomes.size
    if count in (1, n) or outcomes.min() == outcomes.max():
        return float(count)
    p = float(outcomes.mean())
    variance = cluster_variance((outcomes - p) / n, codes, count)
    return min(float(n), p * (1 - p) / variance) if variance > 0 else float(n)


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a share of `n` cases; `n` need not be whole (Wilson 1927)."""
    z = z_value(confidence)
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    # Rounding must not push a limit past the share: at 0 and 1 they are equal.
    return min(share, max(0.0, (centre - half) / scale)), max(share, min(1.0, (centre + half) / scale))


def wilson_cases(estimate: Estimate, confidence: float = 0.95) -> float:
    """Return the effective number of cases behind a rate: Wilson's interval solved for n.

    Raises `ValueError` when the interval has no width, since no number of cases gives that.
    """
    half, spread = (estimate.high - estimate.low) / 2, estimate.value * (1 - estimate.value)
    if not half > 0:
        raise ValueError(f"{estimate.name}: an interval without width has no number of cases")
    z2 = z_value(confidence) ** 2
    # half² (n + z²)² = z² (n p(1-p) + z²/4), of which exactly one root is positive.
    b = 2 * half**2 * z2 - z2 * spread
    c = (half**2 - 0.25) * z2**2
    return (-b + math.sqrt(max(0.0, b * b - 4 * half**2 * c))) / (2 * half**2)


def product(one: Estimate, other: Estimate, *, name: str) -> Estimate:
    """Return the product of two independent shares, with limits made of theirs.

    The variance of each estimate is recovered from its distance to its own limit, and those of a b are a b ∓
    sqrt(b² (a - limit)² + a² (b - limit)²), kept within the products of the limits (MOVER: Zou and Donner 2008; Donner
    and Zou 2012). `n` and `clusters` are those of `other`, the note is that of `one`.
    """
    a, b = one.value, other.value
    value = a * b
    low = value - math.hypot(b * (a - one.low), a * (b - other.low))
    high = value + math.hypot(b * (one.high - a), a * (other.high - b))
    limits = min(value, max(low, one.low * other.low)), max(value, min(high, one.high * other.high))
    return Estimate(name, value, *limits, other.n, other.clusters, note=one.note)


def mean(
    values: ArrayLike, clusters: Sequence[str], *, name: str, unit: str = "share", confidence: float = 0.95
) -> Estimate:
    """Return the mean over cases with a cluster-robust t interval (G - 1 degrees of freedom).

    `values` and `clusters` have shape (n,). One cluster gives (-inf, inf). Raises `ValueError` on no values,
    on values that are not finite and on lengths that differ. Cameron and Miller 2015.
    """
    cases = numbers(values, name)
    codes, count = encode(clusters, cases.size, name)
    value = float(cases.mean())
    margin = t_margin(cluster_variance((cases - value) / cases.size, codes, count), count, confidence)
    return Estimate(name, value, value - margin, value + margin, cases.size, count, unit)


def ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    clusters: Sequence[str],
    *,
    name: str,
    unit: str = "ratio",
    confidence: float = 0.95,
) -> Estimate:
    """Return sum of numerators / sum of denominators with a linearised cluster-robust t interval.

    All three have shape (n,); for nats per token: -log p and tokens of each text. One cluster gives
    (-inf, inf). Raises `ValueError` on denominators below 0 or adding up to 0. Cochran 1977, chapter 6.
    """
    top, bottom = numbers(numerators, name), numbers(denominators, name)
    same_length(name, top, bottom)
    codes, count = encode(clusters, top.size, name)
    if bottom.min() < 0 or bottom.sum() == 0:
        raise ValueError(f"{name}: denominators must be 0 or more, and not all 0")
    value = float(top.sum() / bottom.sum())
    variance = cluster_variance((top - value * bottom) / bottom.sum(), codes, count)
    margin = t_margin(variance, count, confidence)
    return Estimate(name, value, value - margin, value + margin, top.size, count, unit)
