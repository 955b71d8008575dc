"""False-discovery control for lists of findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.statistics._clustered import shares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Floats


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Return the adjusted p-values, in the order given (shape (n,)); no findings give an empty array.

    Keeping those at or below q holds the expected share of false findings at q. Raises `ValueError` on
    values outside 0 to 1. Benjamini and Hochberg 1995.
    """
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    if np.size(p_values) == 0:
        return np.empty(0)
    adjusted = multipletests(shares(p_values, "p-values"), method="fdr_bh")[1]
    return np.asarray(adjusted, dtype=np.float64)
