"""Prompt injection: text in the data that gives orders to the model that reads it."""

from __future__ import annotations

from trimtab.screens.batch import Batch, any_of, matching
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

_CLAUSE = r"""(?:^|[.!?:;,\n"'*(>\]-]\s*|\bplease\s+|\bnow\s+)"""


class Injection(RowScreen):
    """Phrases that address a model behind its user's back."""

    codes = ("injection.instruction",)

    def __init__(self) -> None:
        known = read_patterns("injection")
        orders = [f"{_CLAUSE}(?:{order})" for order in known["order"]]
        # Line breaks and double spaces hide nothing from a model.
        self._pattern = any_of(pattern.replace(" ", r"\s+") for pattern in [*known["instruction"], *orders])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with such a phrase in any text."""
        return {"injection.instruction": matching(batch.column, self._pattern)}
