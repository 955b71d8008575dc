"""The tally: what is counted of a dataset, unit by unit, in any order and on any machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.screens.finding import MOST_ROWS

Place = tuple[int, str]
"""Number of a row in the order of the input, and where it is for people."""


@dataclass
class Tally:
    """Counts of rows with each code, the first of them, and counts by kind, language and length.

    `applies` counts the rows that a code could be found in. `lengths` counts rows by the eighth of a factor of
    two of their characters, `ignored` those with a value under a key that records do not hold. Tallies add up; the sum does not depend on the order.
    """

    rows: int = 0
    records: int = 0
    found: Counter[str] = field(default_factory=Counter)
    applies: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Place]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    speakers: dict[str, list[Place]] = field(default_factory=dict)
    lengths: Counter[str] = field(default_factory=Counter)
    sized: dict[str, list[Place]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def see(self, code: str, places: list[Place]) -> None:
        """Count rows with a code, given in order."""
        self.found[code] += len(places)
        keep(self.first, code, places[:MOST_ROWS])

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.rows, self.records = self.rows + other.rows, self.records + other.records
        for name in ("found", "applies", "kinds", "sources", "languages", "lengths", "reasons", "ignored"):
            getattr(self, name).update(getattr(other, name))
        for name in ("first", "speakers", "sized"):
            for key, places in getattr(other, name).items():
                keep(getattr(self, name), key, places)

    def to_json(self) -> str:
        """Return the tally as JSON."""
        return json.dumps(vars(self), sort_keys=True)


def keep(first: dict[str, list[Place]], key: str, places: list[Place]) -> None:
    """Keep the first few places of a key, whichever order they come in."""
    if places:
        first[key] = sorted([*first.get(key, ()), *places])[:MOST_ROWS]


def tally_of(text: str) -> Tally:
    """Return the tally that `to_json` wrote."""
    rows: Mapping[str, object] = json.loads(text)
    made = Tally()
    for name, value in rows.items():
        if isinstance(getattr(made, name), Counter):
            getattr(made, name).update(value)
        elif isinstance(value, dict):
            getattr(made, name).update({k: [(p[0], p[1]) for p in places] for k, places in value.items()})
        else:
            setattr(made, name, value)
    return made
