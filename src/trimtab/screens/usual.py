"""What is usual in a dataset: the language of most rows, and lengths beyond which few are; only the whole can say so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.screens.finding import Finding, not_run, share_of_rows
from trimtab.screens.language import UNKNOWN
from trimtab.screens.tally import Place, Tally, keep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANGUAGE, LENGTH = "form.language", "form.length"
_STEP, _FAR, _NORMAL, _LEAST = 8, 4.0, 1.4826, 20


def step_of(characters: int) -> int:
    """Return the eighth of a factor of two that a length is in."""
    return math.floor(_STEP * math.log2(characters + 1))


@dataclass(frozen=True)
class Usual:
    """The language of most rows, and the least and most usual length as steps; None where too little speaks for one."""

    language: str | None = None
    lengths: tuple[float, float] | None = None

    def odd(self, table: Any) -> dict[str, NDArray[np.bool_]]:
        """Return for each code which rows of a part (columns `language` and `step`) are not as most are."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = {}
        if self.language is not None:
            known = pc.is_in(
                table["language"], value_set=pa.array([UNKNOWN, self.language, None], pa.string())
            )
            found[LANGUAGE] = ~known.to_numpy()
        if self.lengths is not None:
            steps = (
                table["step"].cast(pa.float64()).to_numpy()
            )  # NaN where there is none, which is beyond nothing
            found[LENGTH] = (steps < self.lengths[0]) | (steps > self.lengths[1])
        return found

    def is_far(self, step: int) -> bool:
        """Whether a length is beyond what is usual."""
        return self.lengths is not None and not self.lengths[0] <= step <= self.lengths[1]

    def why(self, code: str, language: str, step: int) -> str:
        """Return in words why a row has `code`."""
        if code == LANGUAGE:
            return f"the text is {language}, most are {self.language}"
        return f"{_characters(step):,} to {_characters(step + 1):,} characters; {self.told_lengths()}"

    def told_lengths(self) -> str:
        """Return the usual lengths in words."""
        low, high = self.lengths or (0, 0)
        return f"usual are {_characters(low):,} to {_characters(high):,}"


def usual_of(tally: Tally) -> Usual:
    """Return what is usual in the rows of a tally.

    A length is unusual beyond four robust deviations of its logarithm (Iglewicz and Hoaglin 1993).
    """
    known, lengths = _known(tally), _lengths(tally)
    language = known.most_common(1)[0][0] if known else None
    if sum(lengths.values()) < _LEAST:
        return Usual(language)
    middle = _median(lengths)
    spread = Counter[int]()
    for step, count in lengths.items():
        spread[abs(step - middle)] += count
    # Rows of one length have no spread; half of one step is the least that can be told.
    limit = _FAR * _NORMAL * max(_median(spread), 0.5)
    return Usual(language, (middle - limit, middle + limit))


def language_finding(tally: Tally, usual: Usual) -> Finding:
    """Return how many rows are in another language than most of those whose language is told."""
    known = _known(tally)
    if usual.language is None:
        return not_run(LANGUAGE, "no row is long enough to tell its language")
    others = [(name, n) for name, n in known.most_common() if name != usual.language]
    rows = _first(tally.speakers, [name for name, _ in others])
    told = ", ".join(f"{n:,} {name}" for name, n in others[:6])
    text = f"most are {usual.language}; others: {told}" if others else f"all are {usual.language}"
    return share_of_rows(LANGUAGE, sum(n for _, n in others), known.total(), rows, text)


def length_finding(tally: Tally, usual: Usual) -> Finding:
    """Return how many rows are far from the usual length."""
    lengths = _lengths(tally)
    n = sum(lengths.values())
    if usual.lengths is None:
        return not_run(LENGTH, f"{n} rows, {_LEAST} are needed to say what is usual")
    far = {step: count for step, count in lengths.items() if usual.is_far(step)}
    rows = _first(tally.sized, map(str, far))
    text = f"median {_characters(_median(lengths)):,} characters; {usual.told_lengths()}"
    return share_of_rows(LENGTH, sum(far.values()), n, rows, text)


def _known(tally: Tally) -> Counter[str]:
    return Counter({name: n for name, n in tally.languages.items() if name != UNKNOWN})


def _lengths(tally: Tally) -> dict[int, int]:
    return {int(step): n for step, n in tally.lengths.items()}


def _first(places: Mapping[str, list[Place]], keys: Iterable[str]) -> tuple[str, ...]:
    """Return the first few places that any of `keys` has."""
    first: dict[str, list[Place]] = {}
    for key in keys:
        keep(first, "", places.get(key, []))
    return tuple(place for _, place in first.get("", ()))


def _median(counts: Mapping[int, int]) -> int:
    half, seen = sum(counts.values()) / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    raise ValueError("no values")


def _characters(step: float) -> int:
    return max(0, round(math.exp2(step / _STEP) - 1))
