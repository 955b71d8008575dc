"""Runs of words as numbers: what is counted over many texts is counted in arrays, not in dictionaries of tuples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNS, _NOT_WORDS = r"([^\pL\pN_\s]+)", r"[^\pL\pN_]+"
_MIX = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Runs:
    """Runs of `n` words in texts: for each the text that it is in, a hash, and where it starts in `Tokens.flat`."""

    n: int
    texts: NDArray[np.int64]
    hashes: NDArray[np.int64]
    starts: NDArray[np.int64]


class Tokens:
    """Texts as lower-case tokens (words, and runs of other signs), each a number."""

    def __init__(self, texts: Sequence[str], *, signs: bool = True) -> None:
        import numpy as np
        import pyarrow.compute as pc

        # In Arrow throughout: millions of words are never Python's.
        words = _apart(texts, signs=signs)
        flat = pc.list_flatten(words)
        kept = pc.not_equal(flat, "")  # an empty text is split into one empty word
        owners = pc.list_parent_indices(words).filter(kept).to_numpy()
        coded = flat.filter(kept).dictionary_encode()
        self.lengths: NDArray[np.int64] = np.bincount(owners, minlength=len(texts))
        self.flat: NDArray[np.int64] = coded.indices.to_numpy().astype(np.int64)
        self.vocabulary: list[str] = coded.dictionary.to_pylist()
        self.codes = {word: code for code, word in enumerate(self.vocabulary)}

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The text of each token."""
        import numpy as np

        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def runs(self, n: int) -> Runs:
        """Return every run of `n` tokens that lies in one text."""
        import numpy as np

        count = max(0, len(self.flat) - n + 1)
        owners = self.owners
        inside = owners[:count] == owners[n - 1 : n - 1 + count]
        starts = np.flatnonzero(inside)
        hashes = np.zeros(len(starts), np.uint64)
        for i in range(n):
            hashes = (hashes ^ (self.flat[starts + i].astype(np.uint64) + np.uint64(1))) * np.uint64(_MIX)
            hashes ^= hashes >> np.uint64(29)
        return Runs(n, owners[starts], hashes.view(np.int64), starts)

    def of(self, i: int) -> set[int]:
        """Return the different tokens of text `i`."""
        import numpy as np

        start, stop = np.searchsorted(self.owners, [i, i + 1])
        return set(self.flat[start:stop].tolist())

    def words(self, start: int, n: int) -> str:
        """Return the `n` tokens from `start` on, apart by spaces."""
        return " ".join(self.vocabulary[code] for code in self.flat[start : start + n])


def spelled(texts: Sequence[str]) -> list[str]:
    """Return the tokens of each text apart by one space, as `Tokens.words` gives a run of them."""
    return [" ".join(words) for words in _apart(texts, signs=True).to_pylist()]


def _apart(texts: Sequence[str], *, signs: bool) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    apart = (_SIGNS, r" \1 ") if signs else (_NOT_WORDS, " ")
    column = pc.utf8_lower(pa.array(texts, pa.large_string()))
    return pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.replace_substring_regex(column, *apart)))


@dataclass(frozen=True)
class Incidence:
    """Which text has which run: a sparse matrix of ones, texts by runs, and where each run can be read."""

    matrix: Any
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """In how many texts each run is."""
        import numpy as np

        return np.asarray(self.matrix.sum(axis=0), np.int64).ravel()


def incidence(tokens: Tokens, runs: Sequence[Runs], *, least: int, most: int) -> Incidence:
    """Return the incidence of the runs that `least` to `most` texts have."""
    import numpy as np
    from scipy.sparse import csc_matrix, hstack

    matrices, starts, sizes = [], [], []
    for one in runs:
        order = np.argsort(one.hashes, kind="stable")  # runs are in the order of their texts
        hashes, texts = one.hashes[order], one.texts[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
        hashes, texts, first = hashes[fresh], texts[fresh], one.starts[order][fresh]
        _, begin, counts = np.unique(hashes, return_index=True, return_counts=True)
        chosen = (counts >= least) & (counts <= most)
        kept = np.repeat(chosen, counts)
        pointers = np.concatenate([[0], np.cumsum(counts[chosen])])
        ones = np.ones(int(kept.sum()), np.int32)
        matrices.append(csc_matrix((ones, texts[kept], pointers), shape=(len(tokens), int(chosen.sum()))))
        starts.append(first[begin[chosen]])
        sizes.append(np.full(int(chosen.sum()), one.n))
    return Incidence(hstack(matrices, format="csc"), np.concatenate(starts), np.concatenate(sizes))
