"""Alarms that may be looked at after every generation, at one stated false-alarm rate for the whole run.

A p-value per generation alarms too often: each look is another chance. Here each look gives an e-value (mean at
most 1 where there is no drift), and the alarm goes by the weighted sum of all of them, with weights that add up to 1 over the
planned looks. The sum of the whole run has a mean of at most 1 under any dependence between looks and measures,
and it only grows; so it reaches 1 / α at any time with a chance of at most α (Markov; Vovk and Wang 2021). The
same cases can be asked in every generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Floats

SMALLEST = 1e-300


def p_above(differences: ArrayLike, margin: float) -> Floats:
    """Return one-sided p-values of the hypothesis that the mean is at most `margin`, by Student's t test.

    `differences` has shape (..., n), one of each independent cluster along the last axis; the result has shape (...).
    Where all are equal the t test is not defined: p is 1 at or below the margin and 2^-n above it (sign test).
    Raises ValueError for fewer than two clusters.
    """
    from scipy.stats import t

    found = np.asarray(differences, dtype=np.float64)
    n = found.shape[-1] if found.ndim else 0
    if n < 2:
        raise ValueError("at least two clusters are needed")
    above = found.mean(axis=-1) - margin
    error = found.std(axis=-1, ddof=1) / np.sqrt(n)
    flat = error <= 1e-15 * np.maximum(1, np.abs(above))
    statistic = np.divide(above, error, out=np.zeros_like(above), where=~flat)
    return np.where(flat, np.where(above > 0, 0.5**n, 1.0), t.sf(statistic, n - 1))


def e_value(p: ArrayLike) -> Floats:
    """Return e-values of p-values, same shape: (1 - p + p ln p) / (p ln² p), of mean 1 for uniform p.

    That is the even mixture of the calibrators k p^(k - 1) over k in 0 to 1 (Shafer et al. 2011).
    """
    q = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1.0)
    log = np.log(q)
    near = q > 1 - 1e-4  # the limit at 1 is one half; the formula is 0 / 0 there
    safe = np.where(near, 0.5, q)
    value = (1 - safe + safe * np.log(safe)) / (safe * np.log(safe) ** 2)
    return np.where(near, 0.5 - log / 6, value)


def evidence(e_values: ArrayLike, looks: int) -> Floats:
    """Return the running evidence of shape (..., T): e-values (..., T) summed at weight 1 / `looks`, T of them done.

    Raises ValueError for more looks than were planned: their weights would add up to more than 1.
    """
    found = np.asarray(e_values, dtype=np.float64)
    if found.shape[-1] > looks:
        raise ValueError(f"{found.shape[-1]} looks, and {looks} were planned")
    return np.asarray(np.cumsum(found, axis=-1) / looks)


@dataclass(frozen=True)
class Alarm:
    """What a monitor came to: its evidence after each look, the threshold, and the first look that reached it."""

    evidence: tuple[float, ...]
    threshold: float
    first: int | None

    @property
    def raised(self) -> bool:
        """Whether it went off."""
        return self.first is not None


def alarm(e_values: ArrayLike, looks: int, rate: float) -> Alarm:
    """Return the alarm of one monitor: e-values (T,) of looks 1 to T of `looks`; `rate` is its false-alarm rate."""
    found = evidence(e_values, looks)
    if not 0 < rate < 1:
        raise ValueError("the false-alarm rate must lie between 0 and 1")
    reached = np.flatnonzero(found >= 1 / rate)
    first = int(reached[0]) + 1 if len(reached) else None
    return Alarm(tuple(map(float, found)), 1 / rate, first)
