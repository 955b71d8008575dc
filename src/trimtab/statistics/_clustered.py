"""What all intervals here share: checked columns of numbers, clusters, and the cluster-robust variance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.intp]


def numbers(values: ArrayLike, what: str) -> Floats:
    """Return `values` as a non-empty 1-d array of finite numbers, or raise `ValueError` naming `what`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{what}: a non-empty list of numbers is needed, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what}: {int((~np.isfinite(array)).sum())} of {array.size} values are not finite")
    return array


def shares(values: ArrayLike, what: str) -> Floats:
    """Return `values` as `numbers` does; anything outside 0 to 1 is a `ValueError`."""
    array = numbers(values, what)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{what}: outcomes must lie between 0 and 1")
    return array


def same_length(what: str, *columns: Floats | Sequence[str]) -> None:
    """Raise `ValueError` unless all columns have one entry per case."""
    sizes = [len(column) for column in columns]
    if len(set(sizes)) > 1:
        raise ValueError(f"{what}: the columns have different lengths: {sizes}")


def encode(labels: Sequence[str], cases: int, what: str) -> tuple[Codes, int]:
    """Return each case's label as a number (in the order of the labels), and how many labels there are."""
    if len(labels) != cases:
        raise ValueError(f"{what}: {cases} values but {len(labels)} clusters")
    index = {label: i for i, label in enumerate(sorted(set(labels)))}
    return np.fromiter((index[label] for label in labels), dtype=np.intp, count=cases), len(index)


def cluster_variance(influence: Floats, codes: Codes, count: int) -> float:
    """Return the variance of the sum of `influence`, cases of a cluster being dependent.

    The sandwich estimator with the factor G / (G - 1) (Liang and Zeger 1986; Cameron and Miller 2015).
    It is infinite for a single cluster, which says nothing about how clusters differ.
    """
    if count < 2:
        return math.inf
    totals = np.bincount(codes, weights=influence, minlength=count)
    return float(count / (count - 1) * (totals @ totals))


def t_margin(variance: float, count: int, confidence: float) -> float:
    """Return half the width of a t interval with `count` - 1 degrees of freedom; infinite for one cluster."""
    from scipy.stats import t

    if count < 2:
        return math.inf
    return float(t.ppf(0.5 + confidence / 2, count - 1)) * math.sqrt(variance)


def z_value(confidence: float) -> float:
    """Return the two-sided critical value of the normal distribution (1.96 at 95 %)."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(ndtri(0.5 + confidence / 2))
