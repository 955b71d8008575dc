"""Votes on statements, sparse: who said what about which statement, and what nobody asked them stays unknown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]
    Flags = NDArray[np.bool_]

AGREE, PASS, DISAGREE = 1, 0, -1
OUT, UNMODERATED, IN = -1, 0, 1
Kind = Literal["opinions", "approval", "ranking"]


@dataclass(frozen=True)
class Statement:
    """What is voted on: its text, whether moderators took it out (-1), in (1) or not yet (0), and whether it is meta."""

    id: str
    text: str = ""
    moderated: int = UNMODERATED
    meta: bool = False


@dataclass(frozen=True, eq=False)
class Votes:
    """N votes of P participants on S statements, each pair at most once.

    `row`, `column` and `value` have shape (N,). In `opinions` a value is 1 agree, 0 pass, -1 disagree; in
    `approval` 1 approved, -1 not approved; in `ranking` minus the place, so that higher is better. `given` (P,) is the group that the
    source put a participant in, "" for none, and `weight` (P,) how many ballots a participant stands for.
    """

    kind: Kind
    participants: tuple[str, ...]
    statements: tuple[Statement, ...]
    row: Ints
    column: Ints
    value: NDArray[np.int32]
    given: tuple[str, ...] = ()
    weight: Floats = field(default_factory=lambda: np.ones(0))
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Return (P, S)."""
        return len(self.participants), len(self.statements)

    @cached_property
    def weights(self) -> Floats:
        """How many ballots each participant stands for (P,)."""
        return self.weight if self.weight.size else np.ones(len(self.participants))

    def matrix(self, values: Any = 1.0, where: Flags | None = None) -> Any:
        """Return a sparse (P, S) matrix with `values` at the votes chosen by `where` (N,), zero elsewhere."""
        from scipy.sparse import csr_array

        chosen = np.ones(self.row.size, dtype=bool) if where is None else where
        data = np.broadcast_to(np.asarray(values, dtype=np.float64), self.row.shape)[chosen]
        return csr_array((data, (self.row[chosen], self.column[chosen])), shape=self.shape)

    def cast(self) -> Ints:
        """Return how many votes each participant cast (P,)."""
        return np.bincount(self.row, minlength=len(self.participants))

    def only(self, keep: Flags) -> Votes:
        """Return the votes on the statements chosen by `keep` (S,); participants stay."""
        place = np.cumsum(keep) - 1
        chosen = keep[self.column]
        return replace(
            self,
            statements=tuple(s for s, k in zip(self.statements, keep, strict=True) if k),
            row=self.row[chosen],
            column=place[self.column[chosen]],
            value=self.value[chosen],
        )


def moderated_in(statements: Sequence[Statement], *, strict: bool = False) -> Flags:
    """Return which statements count (S,): not taken out; with `strict` moderation those let in only."""
    least = IN if strict else UNMODERATED
    return np.array([s.moderated >= least for s in statements], dtype=bool)
