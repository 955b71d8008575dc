"""What a mechanism hands over: records, and a reason for everything that it made and did not keep."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from trimtab.records.record import Record


@dataclass
class Made:
    """Records, and what there is none of.

    `dropped`: reason → number of candidates; `missing`: what was planned → number of records that it is short of;
    `left_out`: a principle that the charter does not hold → its status.
    """

    records: list[Record] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: Made) -> Made:
        """Join two."""
        dropped, missing = self.dropped + other.dropped, self.missing + other.missing
        return Made(self.records + other.records, dropped, missing, self.left_out | other.left_out)
