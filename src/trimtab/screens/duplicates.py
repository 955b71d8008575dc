"""Duplicates: rows that repeat an earlier one exactly, or nearly (MinHash, bands, then the Jaccard index).

Within a batch a row only gets its key and its bands; what repeats what is found over the whole dataset, one band
at a time, so that no more than one column of it is in memory. Broder 1997; Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.engine import load_daft
from trimtab.screens.batch import arrow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BANDS, IN_BAND, SHINGLE = 14, 8, 3
"""14 bands of 8 hashes over runs of three words: half of the pairs at a Jaccard index of 0.70 share a band, 98 % at 0.85."""
THRESHOLD = 0.8
LEAST_WORDS = 5
_SEED = 1


def keys(plain: Sequence[str]) -> list[str]:
    """Return 32 hex digits for each text (in plain words): only two rows with the same can be exact duplicates."""
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in plain]


def band_hashes(plain: Sequence[str]) -> list[Any]:
    """Return, for each of BANDS bands, an Arrow column of one hash a text (in plain words); null for a very short one."""
    import numpy as np
    import pyarrow as pa

    daft = load_daft()
    if not plain:
        return [pa.nulls(0, pa.int64())] * BANDS
    short = np.array([len(text.split(" ", LEAST_WORDS - 1)) < LEAST_WORDS for text in plain], bool)
    series = daft.Series.from_arrow(arrow(plain), name="plain")
    made = series.minhash(num_hashes=BANDS * IN_BAND, ngram_size=SHINGLE, seed=_SEED).to_arrow()
    hashes = made.values.to_numpy().reshape(len(plain), BANDS, IN_BAND)
    mixed = _mixed(hashes.astype(np.uint64))
    return [pa.array(mixed[:, band], mask=short) for band in range(BANDS)]


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return one number for the hashes of each band (FNV-1a over 64-bit words)."""
    import numpy as np

    mixed = np.full(hashes.shape[:2], 14695981039346656037, np.uint64)
    for i in range(hashes.shape[2]):
        mixed = (mixed ^ hashes[:, :, i]) * np.uint64(1099511628211)
    return mixed.view(np.int64)


def shingles(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """Return the runs of SHINGLE words; of a shorter text the text itself."""
    runs = zip(*(words[i:] for i in range(SHINGLE)), strict=False)
    return frozenset(runs) or frozenset([tuple(words)])


def jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    """Return the share that two sets have in common; 1 for two empty ones (Jaccard 1901)."""
    together = len(one | other)
    return len(one & other) / together if together else 1.0


def groups(table: Any, column: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows that share their value in `column` of a Daft table, group by group, and where each group begins.

    Within a group rows are in order; single rows are left out.
    """
    import numpy as np
    import pyarrow.compute as pc

    col = load_daft().col
    found = table.where(col(column).not_null()).groupby(column).agg(col("row").count().alias("n"))
    many = found.where(col("n") > 1).select(column)
    again = table.select("row", column).join(many, on=column, how="inner").sort([column, "row"]).to_arrow()
    # As arrays: a group may be millions of rows, and lists of them would take ten times the memory.
    first = np.ones(len(again), bool)
    if len(again):
        values = again[column]
        first[1:] = pc.not_equal(values[1:], values[: len(again) - 1]).to_numpy()
    return again["row"].to_numpy(), first


class Clusters:
    """Rows joined into clusters, each named by its first row."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def first(self, row: int) -> int:
        """Return the first row of the cluster of `row`."""
        root = row
        while (above := self._parent.get(root, root)) != root:
            root = above
        while (above := self._parent.get(row, row)) != root:
            self._parent[row], row = root, above
        return root

    def joined(self, one: int, other: int) -> bool:
        """Whether two rows are in one cluster."""
        return self.first(one) == self.first(other)

    def join(self, one: int, other: int) -> None:
        """Put two rows, and their clusters, into one."""
        a, b = sorted((self.first(one), self.first(other)))
        self._parent.setdefault(a, a)
        self._parent[b] = a

    def repeats(self) -> dict[int, int]:
        """Return, for each row that repeats an earlier one, the first row of its cluster."""
        return {row: first for row in self._parent if (first := self.first(row)) != row}


def exact_repeats(rows: NDArray[np.int64], texts: NDArray[np.int64]) -> dict[int, int]:
    """Return the rows that repeat an earlier one, each with the first: `rows` in order, with the hashes of their texts."""
    import numpy as np

    _, first, which = np.unique(texts, return_index=True, return_inverse=True)
    firsts = rows[first[which]]
    repeated = firsts != rows
    return dict(zip(rows[repeated].tolist(), firsts[repeated].tolist(), strict=True))


def candidate_pairs(table: Any, column: str, left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs of rows (earlier, later), shape (n, 2), alike in `column`, a band or the key; `left_out` are exact repeats."""
    import numpy as np

    rows, start = groups(table, column)
    group = np.cumsum(start)
    kept = ~np.isin(rows, left_out)
    rows, start = rows[kept], np.diff(group[kept], prepend=0) > 0
    later = np.flatnonzero(~start)
    first = np.maximum.accumulate(np.where(start, np.arange(len(rows)), 0))
    # The first row may be exempt from, or unlike, some of them: neighbours are compared as well.
    beside = later[~start[later - 1]]
    pairs = [(rows[first[later]], rows[later]), (rows[beside - 1], rows[beside])]
    return np.concatenate([np.stack(pair, axis=1) for pair in pairs])


def sketch(plain: str) -> NDArray[np.int64]:
    """Return the hashed shingles of a text in plain words, sorted; they hold within this process only."""
    import numpy as np

    return np.unique(np.fromiter(map(hash, shingles(plain.split())), np.int64))


def overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the Jaccard index of two sketches."""
    together = len(set(one.tolist()).intersection(other.tolist()))
    return together / (len(one) + len(other) - together)


def join_near(
    clusters: Clusters,
    pairs: Iterable[tuple[int, int]],
    sketches: Mapping[int, NDArray[np.int64]],
    exempt: Callable[[int, int], bool] = lambda one, other: False,
) -> None:
    """Join the rows of each pair with a Jaccard index of THRESHOLD; `exempt` names pairs that are alike by design."""
    for one, other in pairs:
        alike = not clusters.joined(one, other) and overlap(sketches[one], sketches[other]) >= THRESHOLD
        if alike and not exempt(one, other):
            clusters.join(one, other)
