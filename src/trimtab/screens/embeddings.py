"""Figures of two clouds of embeddings: how far apart, how much of one the other covers, how varied. Numpy alone.

Clouds are arrays of shape (texts, dimensions) and may be of different sizes; no figure depends on the order of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Cloud = NDArray[np.float64]
    Flags = NDArray[np.bool_]

NEAREST = 5
TAIL = 0.1


def frechet(one: Cloud, other: Cloud) -> float:
    """Return the squared Fréchet distance of the normal distributions with both clouds' means and covariances.

    Dowson and Landau 1982. It grows as the clouds get small: compare at equal size only.
    """
    (m1, s1), (m2, s2) = ((c.mean(axis=0), np.cov(c, rowvar=False)) for c in (one, other))
    # The trace of the root of s1 s2 is the sum of the singular values of the product of both roots.
    cross = np.linalg.svd(_root(s1) @ _root(s2), compute_uv=False).sum()
    return max(0.0, float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross))


def _root(matrix: Cloud) -> Cloud:
    values, vectors = np.linalg.eigh(np.atleast_2d(matrix))
    root: Cloud = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def distances(one: Cloud, other: Cloud) -> Cloud:
    """Return the Euclidean distances, shape (len(one), len(other))."""
    square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T
    return np.asarray(np.sqrt(np.clip(square, 0, None)), np.float64)


def reach(cloud: Cloud, nearest: int = NEAREST) -> Cloud:
    """Return the distance of each point to its `nearest`-th neighbour in its own cloud, itself not counted."""
    apart = distances(cloud, cloud)
    np.fill_diagonal(apart, np.inf)
    kth = min(nearest, len(cloud) - 1) - 1
    return np.asarray(np.partition(apart, kth, axis=1)[:, kth], np.float64)


def covered(points: Cloud, by: Cloud, nearest: int = NEAREST) -> Flags:
    """Return for each of `points` whether it lies within the reach of a point of `by`.

    The mean is precision for synthetic points by real ones, and recall the other way (Kynkäänniemi et al. 2019).
    """
    return np.asarray((distances(points, by) <= reach(by, nearest)[None, :]).any(axis=1))


def tail(real: Cloud, share: float = TAIL) -> Flags:
    """Return which points are among the `share` that lie farthest from their neighbours; ties are all in."""
    far = reach(real)
    return np.asarray(far >= np.quantile(far, 1 - share))


def authentic(synthetic: Cloud, real: Cloud) -> Flags:
    """Return for each synthetic point whether its nearest real one is nearer to another real one than to it.

    Alaa et al. 2022, Authenticity.
    """
    apart = distances(synthetic, real)
    closest = apart.argmin(axis=1)
    return np.asarray(apart[np.arange(len(synthetic)), closest] > reach(real, 1)[closest])


def vendi(cloud: Cloud, order: float = 1.0) -> float:
    """Return the Vendi score of order q: the effective number of different points (Friedman and Dieng 2023).

    The exponential of the Rényi entropy of order q of the eigenvalues of the cosine similarities ÷ n; 1 when all
    points are alike. Raises ValueError for an order below 0.
    """
    if order < 0:
        raise ValueError(f"Vendi: the order must be 0 or more, not {order:g}")
    unit = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    # The smaller of both products has the same eigenvalues but for zeros.
    product = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = np.linalg.eigvalsh(product / len(unit))
    values = values[values > 1e-9]
    if order == 1:
        return float(np.exp(-(values * np.log(values)).sum()))
    if np.isinf(order):
        return float(1 / values.max())
    return float((values**order).sum() ** (1 / (1 - order)))
