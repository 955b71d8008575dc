"""The base of all checks of single rows: a check says which rows have what, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from trimtab.screens.batch import Batch

Hits = Mapping[str, Sequence[int]]
"""For each code the indices, in the batch, of the rows that have it; what a check looked for and did not find is empty."""


class RowScreen(ABC):
    """A check of single rows. It runs on whole batches, in any order and on any machine, and keeps nothing between them."""

    codes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def hits(self, batch: Batch) -> Hits:
        """Return the rows of the batch that have each of `codes`."""

    def applies(self, batch: Batch) -> Mapping[str, int]:
        """Return to how many rows of the batch each code applies; to all, unless a check says otherwise."""
        return dict.fromkeys(self.codes, len(batch))

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return in a few words what of a row with `code` a hit is, in ASCII; empty where the code says it all."""
        return ""


def all_hits(screens: Iterable[RowScreen], batch: Batch) -> dict[str, list[int]]:
    """Return the hits of several checks together, the rows of each code in order."""
    found: dict[str, list[int]] = {}
    for screen in screens:
        for code, rows in screen.hits(batch).items():
            found[code] = sorted(set(found.get(code, ())) | set(rows))
    return found
