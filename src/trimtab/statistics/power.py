"""How many cases a decision needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.statistics.estimate import Estimate


def cases_to_decide(change: Estimate, limit: float) -> int | None:
    """Return about how many cases would part the interval of `change` from `limit`, were its value to stay.

    The width is taken to shrink with the square root of the cases, their clusters growing alike. None when
    no finite number does: the value sits on the limit, or the interval is infinite. Unit of `limit`: `change`'s.
    """
    side = change.high - change.value if change.value < limit else change.value - change.low
    distance = abs(limit - change.value)
    if distance < 1e-12 or not math.isfinite(side):
        return None
    # Rounding must not add a case: 196.00000000000003 is 196.
    return max(change.n + 1, math.ceil(change.n * (side / distance) ** 2 - 1e-6))
