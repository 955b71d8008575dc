"""What a mechanism hands over: records, and a reason for everything that it made and did not keep."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from trimtab.records.record import Record


@dataclass
class Made:
    """Records, and reason → number of candidates dropped for it."""

    records: list[Record] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Made) -> Made:
        """Join two."""
        return Made(self.records + other.records, self.dropped + other.dropped)
