"""Prompt injection: text in the data that gives orders to the model that reads it."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.records.shapes import short
from trimtab.screens.batch import Batch, any_of, first_match, matching_each, open_ended
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

_CLAUSE = r"""(?:^|[.!?:;,\n"'*(>\]-]\s*|\bplease\s+|\bnow\s+)"""


class Injection(RowScreen):
    """Phrases that address a model behind its user's back."""

    codes = ("injection.instruction",)

    def __init__(self) -> None:
        known = read_patterns("injection")
        orders = [f"{_CLAUSE}(?:{order})" for order in known["order"]]
        self._pattern = _spaced([*known["instruction"], *orders])
        # An order at the beginning of a clause is one anywhere.
        self._guard = open_ended(_spaced([*known["instruction"], *known["order"]]))

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with such a phrase in any text."""
        return matching_each(batch.column, {"injection.instruction": self._pattern}, self._guard)

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return the phrase."""
        return short(first_match(batch.texts[row], self._pattern))


def _spaced(patterns: Iterable[str]) -> str:
    # Line breaks and double spaces hide nothing from a model.
    return any_of(pattern.replace(" ", r"\s+") for pattern in patterns)
