"""Correction of judged rates for the judge's own errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trimtab.statistics._clustered import numbers, same_length, z_value
from trimtab.statistics.intervals import rate, wilson, wilson_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from trimtab.statistics.estimate import Estimate

LEAST_INFORMATIVE = 0.5
"""A judge whose sensitivity + specificity - 1 is below this is reported as unusable (the design's section 7)."""


@dataclass(frozen=True)
class Corrected:
    """A judged rate after correction; there is no estimate where the judge is unusable, and `note` says why."""

    estimate: Estimate | None
    usable: bool
    note: str


def sensitivity_specificity(
    truth: ArrayLike, judged: ArrayLike, clusters: Sequence[str], weights: ArrayLike | None = None
) -> tuple[Estimate, Estimate]:
    """Return the share of true ones the judge called one, and of true zeros it called zero.

    `truth` and `judged` are 0 or 1, shape (n,). `weights`: how many cases each stands for, where a sample was
    drawn by the judge's label, which biases both otherwise (Begg and Greenes 1983). Raises `ValueError` when
    either class is missing from `truth`.
    """
    facts, calls = numbers(truth, "truth"), numbers(judged, "judged")
    shares_of = numbers([1.0] * facts.size if weights is None else weights, "weights")
    same_length("judge", facts, calls, clusters, shares_of)
    if set(facts.tolist()) != {0.0, 1.0}:
        raise ValueError("judge: the truth must hold both ones and zeros, and nothing else")
    ones = [i for i, fact in enumerate(facts) if fact]
    zeros = [i for i, fact in enumerate(facts) if not fact]
    return (
        weighted_rate(calls[ones], [clusters[i] for i in ones], shares_of[ones], name="sensitivity"),
        weighted_rate(1 - calls[zeros], [clusters[i] for i in zeros], shares_of[zeros], name="specificity"),
    )


def weighted_rate(values: ArrayLike, clusters: Sequence[str], weights: ArrayLike, *, name: str) -> Estimate:
    """Return a weighted share of ones (all shape (n,), weights above 0) with Wilson's interval.

    The effective number of cases is that of `rate`, times Kish's (sum w)^2 / (n sum w^2) for unequal weights
    (Kish 1965). Equal weights give what `rate` gives.
    """
    cases, shares_of = numbers(values, name), numbers(weights, "weights")
    same_length(name, cases, shares_of)
    if shares_of.min() <= 0:
        raise ValueError(f"{name}: weights must be above 0")
    plain = rate(cases, clusters, name=name)
    if shares_of.min() == shares_of.max():
        return plain
    kish = float(shares_of.sum() ** 2 / (shares_of.size * (shares_of @ shares_of)))
    value = min(1.0, float(cases @ shares_of / shares_of.sum()))
    low, high = wilson(value, wilson_cases(plain) * kish)
    return replace(plain, value=value, low=low, high=high)


def rogan_gladen(judged: Estimate, sensitivity: Estimate, specificity: Estimate) -> Corrected:
    """Correct a judged rate for the judge's sensitivity and specificity, point and interval together.

    All three are 95 % rates of `intervals.rate`; their effective numbers of cases are read back from their
    intervals. Point: Rogan and Gladen 1978; interval: Lang and Reiczigel 2014. Both are cut to [0, 1].
    """
    told = f"sensitivity {sensitivity.value:.3f}, specificity {specificity.value:.3f}"
    informative = sensitivity.value + specificity.value - 1
    # Two shares such as 0.7 and 0.8 add up to a hair less than 1.5.
    if informative < LEAST_INFORMATIVE - 1e-9:
        note = f"judge unusable: {told}; their sum - 1 is {informative:.3f}, below {LEAST_INFORMATIVE}"
        return Corrected(None, False, note)
    uncut = (judged.value + specificity.value - 1) / informative
    value = _cut(uncut)
    low, high = _lang_reiczigel(judged, sensitivity, specificity)
    note = f"corrected for the judge: {told}; judged {judged.value:.3f}"
    if abs(uncut - value) > 1e-9:
        note += f"; the corrected value is {uncut:.3f}, outside 0 to 1, and shown as {value:.0f}"
    # The interval's centre is shifted, so at the ends the cut point can lie outside it.
    estimate = replace(judged, value=value, low=min(low, value), high=max(high, value), note=note)
    return Corrected(estimate, True, note)


def _lang_reiczigel(judged: Estimate, sensitivity: Estimate, specificity: Estimate) -> tuple[float, float]:
    """Return the interval of equations 6, 7, 16 and 17 of Lang and Reiczigel 2014, cut to [0, 1]."""
    z = z_value(0.95)
    n, n_se, n_sp = wilson_cases(judged) + z * z, wilson_cases(sensitivity) + 2, wilson_cases(specificity) + 2
    apparent = ((n - z * z) * judged.value + z * z / 2) / n
    se = ((n_se - 2) * sensitivity.value + 1) / n_se
    sp = ((n_sp - 2) * specificity.value + 1) / n_sp
    p = (apparent + sp - 1) / (se + sp - 1)
    se_part, sp_part = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * z * z * (p * se_part - (1 - p) * sp_part)
    variance = apparent * (1 - apparent) / n + p * p * se_part + (1 - p) ** 2 * sp_part
    half = z * math.sqrt(variance) / (se + sp - 1)
    return _cut(p + shift - half), _cut(p + shift + half)


def _cut(value: float) -> float:
    return min(1.0, max(0.0, value))
