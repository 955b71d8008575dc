"""How far two distributions over the same answers are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Floats


def jensen_shannon(one: ArrayLike, other: ArrayLike) -> Floats:
    """Return the Jensen-Shannon divergence in bits, 0 (equal) to 1 (nothing in common), along the last axis (Lin 1991).

    Both have shape (…, k) and are distributions over k answers. Raises `ValueError` where one is not, or the shapes differ.
    """
    p, q = (np.asarray(x, dtype=np.float64) for x in (one, other))
    if p.shape != q.shape or p.ndim == 0:
        raise ValueError(f"divergence: the shapes {p.shape} and {q.shape} cannot be compared")
    for x in (p, q):
        if not (np.isfinite(x).all() and (x >= 0).all() and np.allclose(x.sum(axis=-1), 1)):
            raise ValueError("divergence: shares must be 0 or more and add up to 1")
    middle = (p + q) / 2
    found = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    clipped: Floats = np.clip(found, 0.0, 1.0)
    return clipped


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    """Return Σ p log2(p / q), where q is above 0 wherever p is, but for the half of the smallest float."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    total: Floats = (p * np.log2(ratio)).sum(axis=-1)
    return total
