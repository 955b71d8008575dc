"""The estimate: what every probe reports, never a bare number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, the number of cases and of independent clusters, and its unit."""

    name: str
    value: float
    low: float
    high: float
    n: int
    clusters: int
    unit: str = "share"
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return asdict(self)


def finite(value: Any) -> Any:
    """Return JSON values with null for every number that is not finite: JSON has none, and a limit may be."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
