"""Lineage: what rows say of where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.records.shapes import short
from trimtab.screens.batch import Batch
from trimtab.screens.screen import Hits, RowScreen

DEEPEST = 3


class LineageScreen(RowScreen):
    """Source, depth and generator of each row, against what the policy allows."""

    codes = (
        "lineage.missing", "lineage.synthetic", "lineage.depth", "lineage.generator", "lineage.same_base",
    )  # fmt: skip

    def __init__(self, *, deepest: int = DEEPEST, allowed: Sequence[str] = (), student: str = "") -> None:
        self.deepest, self.allowed, self.student = deepest, frozenset(allowed), student

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each; generators are only looked at where the policy names some."""
        rows = [(i, r.source, r.lineage.generator, r.lineage.depth) for i, r in enumerate(batch.records)]
        made = [(i, generator) for i, source, generator, _ in rows if source in ("synthetic", "mixed")]
        return {
            "lineage.missing": [
                i for i, s, g, _ in rows if s == "unknown" or (s in ("synthetic", "mixed") and not g)
            ],
            "lineage.synthetic": [i for i, _ in made],
            "lineage.depth": [i for i, _, _, depth in rows if depth > self.deepest],
            "lineage.generator": [i for i, g in made if self.allowed and g not in self.allowed],
            "lineage.same_base": [i for i, g in made if self.student and g == self.student],
        }

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return the depth or the generator."""
        lineage = batch.records[row].lineage
        return (
            f"depth {lineage.depth}" if code == "lineage.depth" else short(lineage.generator or "none named")
        )

    def applies(self, batch: Batch) -> dict[str, int]:
        """A generator can be compared only where the policy names some, or the student."""
        n = len(batch)
        asked = {"lineage.generator": bool(self.allowed), "lineage.same_base": bool(self.student)}
        return {code: n if asked.get(code, True) else 0 for code in self.codes}
