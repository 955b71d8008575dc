"""Prompt injection: text in the data that gives orders to the model that reads it."""

from __future__ import annotations

from trimtab.screens.batch import Batch, any_of, matching
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen


class Injection(RowScreen):
    """Phrases that address a model behind its user's back."""

    codes = ("injection.instruction",)

    def __init__(self) -> None:
        self._pattern = any_of(read_patterns("injection")["instruction"])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with such a phrase in any text."""
        return {"injection.instruction": matching(batch.column, self._pattern)}
