"""How many cases a decision needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab.statistics._clustered import z_value

if TYPE_CHECKING:
    from trimtab.statistics.estimate import Estimate


def n_needed_for_margin(
    p: float, margin: float, *, correlation: float = 0.0, design_effect: float = 1.0, confidence: float = 0.95
) -> int:
    """Return about how many paired cases a harm gate on a share needs, when nothing truly changes.

    `p` is the expected share, `margin` the harm tolerated (a share above 0), `correlation` that of a case
    before and after, `design_effect` by how much clusters inflate the variance. The larger of the normal
    approximation of the paired difference and of Wilson's limit at a share of 0. Raises `ValueError`.
    """
    if not (0 <= p <= 1 and 0 < margin < 1 and -1 <= correlation <= 1 and design_effect > 0):
        raise ValueError(
            "cases needed: p within 0 to 1, margin between 0 and 1, correlation within -1 to 1 and "
            f"a design effect above 0 are needed, not {p}, {margin}, {correlation}, {design_effect}"
        )
    z2 = z_value(confidence) ** 2
    spread = z2 * 2 * p * (1 - p) * (1 - correlation) / margin**2
    return math.ceil(design_effect * max(spread, z2 * (1 - margin) / margin))


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
