"""The estimate: what every probe reports, never a bare number."""

from __future__ import annotations

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
