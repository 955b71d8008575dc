"""Keys that rows have and records do not hold: what is in them is not in the kept rows, which must be said."""

from __future__ import annotations

from collections import Counter

from trimtab.records.shapes import Row, ignored_keys, short

MOST_KEYS = 100
"""Of one unit; the others are counted under one name."""
OTHERS = "(other keys)"
_LONGEST = 60
_NESTED = frozenset((list, type(None)))
_TURN = frozenset(("role", "content", "from", "value"))


class Ignored:
    """Counts the rows with a value under each such key; rows of one file mostly share their keys."""

    def __init__(self) -> None:
        self._alike: Counter[tuple[str, ...]] = Counter()
        self._single: Counter[str] = Counter()

    def see(self, row: Row) -> None:
        """Count a row that became a record."""
        # What its keys alone decide is looked up once for all rows alike, at the end: a row costs under a microsecond.
        keys = tuple(row) if _NESTED.isdisjoint(map(type, row.values())) else _deciding(row)
        if keys is None or "kind" in keys:
            self._single.update(ignored_keys(row))
        else:
            self._alike[keys] += 1

    def counts(self) -> dict[str, int]:
        """Return the rows by key, of the most usual keys."""
        counts = self._single.copy()
        for keys, n in self._alike.items():
            counts.update(dict.fromkeys(ignored_keys(dict.fromkeys(keys, "")), n))
        named = Counter[str]()
        for i, (key, n) in enumerate(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))):
            named[_shown(key) if i < MOST_KEYS else OTHERS] += n
        return dict(named)


def _shown(key: str) -> str:
    return key if len(key) <= _LONGEST else short(key, _LONGEST)


def _deciding(row: Row) -> tuple[str, ...] | None:
    """Return the keys of a row that have a value; None when a list in it has turns with keys of their own."""
    for value in row.values():
        if type(value) is list:
            for turn in value:
                if type(turn) is dict and not turn.keys() <= _TURN:
                    return None
    return tuple(key for key, value in row.items() if value is not None)
