"""Standard errors of a figure that every case has a hand in: leave one out at a time, and see how far it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trimtab.statistics._clustered import numbers, same_length

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from trimtab.statistics._clustered import Floats


def pseudo_values(shares: ArrayLike, gained: ArrayLike) -> Floats:
    """Return values (n,) with the mean of `shares` and a standard error that knows of what cases do to one another.

    `shares` has shape (n,), one of each case, and `gained` (n,) is what the others' add up to more without it. A share that
    depends on the other cases ("nobody else has it") is not independent of theirs, and a t interval of such shares is too
    narrow. These are the jackknife's pseudo-values, n T - (n - 1) T without the case (Quenouille 1956; Tukey 1958), moved to the
    mean T. Where cases are independent, the variance that they give is in expectation not below that of T (Efron and
    Stein 1981; Steele 1986). Raises ValueError on no values, on values that are not finite and on lengths that differ.
    """
    own, others = numbers(shares, "shares"), numbers(gained, "gained")
    same_length("pseudo-values", own, others)
    return np.asarray(own - others + others.mean())
