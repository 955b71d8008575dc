"""Repeats: the exact and near duplicates of a whole dataset, found in the parts that a scan left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.engine import literal, load_daft
from trimtab.screens.batch import folded, signs
from trimtab.screens.duplicates import BANDS, candidate_pairs, exact_repeats, groups, near_repeats, sketch
from trimtab.screens.finding import MOST_ROWS
from trimtab.screens.sample import COLUMNS, all_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COUNTERFACTUAL = "bias"


@dataclass
class Repeats:
    """Rows that repeat an earlier one, each with the first of its like: word for word, and nearly.

    `places` says where the firsts, and the rows that a finding names, are.
    """

    exact: dict[int, int] = field(default_factory=dict)
    near: dict[int, int] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)


def find_repeats(parts: Sequence[Path], *, near: bool) -> Repeats:
    """Return the repeats in parts of a scan; no more than one column of all of them is in memory.

    Rows that the bias mechanism made of one parent are counterfactuals, alike by design, and exempt.
    """
    table = load_daft().read_parquet([literal(path) for path in parts])
    # The words of a row are cheap to have; its signs are only asked of those that have the same words.
    alike = list(groups(table, "key"))
    signed = _Signed(parts, {row for rows in alike for row in rows})
    exact = exact_repeats(alike, signed.texts)
    found = [candidate_pairs(table, band, exact) for band in range(BANDS)] if near else []
    pairs = _unique(found)
    texts = _Texts(parts, {int(row) for row in pairs.ravel()})
    repeats = near_repeats(
        map(tuple, pairs.tolist()),
        texts.sketches,
        lambda one, other: texts.counterfactual(one, other) or signed.unlike(one, other),
    )
    named = {*exact.values(), *repeats.values(), *sorted(exact)[:MOST_ROWS], *sorted(repeats)[:MOST_ROWS]}
    return Repeats(exact, repeats, dict(_places(parts, named)))


def _unique(found: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    import numpy as np

    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)


class _Signed:
    """Hashes, which hold within this process, of the texts of rows that share all words with another."""

    def __init__(self, parts: Iterable[Path], wanted: set[int]) -> None:
        self.texts: dict[int, int] = {}
        self._words: dict[int, str] = {}
        self._signs: dict[int, int] = {}
        for part in parts if wanted else ():
            for row in numbered_rows(part, wanted, [*COLUMNS, "key"]):
                text = "\n".join(all_texts(row))
                self.texts[row["row"]] = hash(folded(text))
                self._words[row["row"]], self._signs[row["row"]] = row["key"], hash(signs(text))

    def unlike(self, one: int, other: int) -> bool:
        """Whether two rows have the same words and differ in signs other than punctuation: 3 - 2 and 3 * 2."""
        same_words = one in self._words and self._words[one] == self._words.get(other)
        return same_words and self._signs[one] != self._signs[other]


class _Texts:
    """What is compared of the rows that share a band with another."""

    def __init__(self, parts: Iterable[Path], wanted: set[int]) -> None:
        self.sketches: dict[int, NDArray[np.int64]] = {}
        self._family: dict[int, tuple[str, frozenset[str]]] = {}
        for part in parts if wanted else ():
            self._read(part, wanted)

    def _read(self, part: Path, wanted: set[int]) -> None:
        for row in numbered_rows(part, wanted, ["row", "plain", "id", "mechanism", "lineage"]):
            self.sketches[row["row"]] = sketch(row["plain"])
            if row["mechanism"] == _COUNTERFACTUAL:
                self._family[row["row"]] = (row["id"], frozenset(row["lineage"]["parents"]))

    def counterfactual(self, one: int, other: int) -> bool:
        """Whether two rows were made as each other's counterfactual: of one parent, or one of the other."""
        if one not in self._family or other not in self._family:
            return False
        (a, parents), (b, others) = self._family[one], self._family[other]
        return bool(parents & others) or a in others or b in parents


def _places(parts: Iterable[Path], wanted: set[int]) -> Iterable[tuple[int, str]]:
    for part in parts if wanted else ():
        yield from ((row["row"], row["place"]) for row in numbered_rows(part, wanted, ["row", "place"]))


def numbered_rows(part: Path, wanted: set[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of those rows of a part whose number is wanted."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    numbers = pq.read_table(part, columns=["row"])["row"]
    here = [number for number in numbers.to_pylist() if number in wanted]
    if not here:
        return []
    table = pq.read_table(part, columns=list(columns))
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["row"], pa.array(here, pa.int64()))).to_pylist()
    return rows
