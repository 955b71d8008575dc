"""Contamination: rows that share many words in a row with a held-out case, or nearly repeat one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from trimtab.screens.batch import Batch, plain_words
from trimtab.screens.duplicates import BANDS, THRESHOLD, band_hashes, jaccard, shingles
from trimtab.screens.screen import Hits, RowScreen

if TYPE_CHECKING:
    from trimtab.suites.case import Case

GRAM, LEAST = 13, 8
"""Words in a row that a row may not share with a held-out case; a case's text of 8 to 12 words counts as a whole.

Thirteen is the length of Brown et al. 2020, appendix C: eight words are shared by chance in a large dataset.
"""
_SHARED = 3

Gram = tuple[str, ...]


class Contamination(RowScreen):
    """Compares rows with the texts of held-out cases: `cases` holds, for each case, all of its texts."""

    codes = ("contamination.grams", "contamination.near")

    def __init__(self, cases: Iterable[Sequence[str]], *, gram: int = GRAM, near: bool = True) -> None:
        texts = split([list(case) for case in cases])
        self._gram = gram
        grams = rare_grams(texts, gram)
        self._known = {word for one in grams for word in one}
        self._ends = {one[-LEAST:] for one in grams}
        self._grams = {size: {g for g in grams if len(g) == size} for size in {len(g) for g in grams}}
        self._near = _Near([words for case in texts for words in case]) if near else None

    def hits(self, batch: Batch) -> Hits:
        """Return the rows that share a run of words, and those that nearly repeat a case."""
        found = {"contamination.grams": [i for i, words in enumerate(batch.words) if self.shares(words)]}
        return found if self._near is None else {**found, "contamination.near": self._near.hits(batch)}

    def applies(self, batch: Batch) -> dict[str, int]:
        """Nothing to compare with says nothing."""
        return dict.fromkeys(self.codes, len(batch) if self._grams or self._near else 0)

    def shares(self, words: list[str]) -> bool:
        """Whether `words` hold a run of words that is a held-out case's own."""
        known, run = self._known, 0
        # A run can only begin where enough known words follow each other, which is rare in other text.
        for end, word in enumerate(words, start=1):
            run = run + 1 if word in known else 0
            if (
                run >= LEAST
                and tuple(words[end - LEAST : end]) in self._ends
                and self._ends_here(words[:end], run)
            ):
                return True
        return False

    def _ends_here(self, words: list[str], run: int) -> bool:
        return any(run >= size and tuple(words[-size:]) in grams for size, grams in self._grams.items())


def split(cases: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Return the words of every text of every case; all are split in one go, which is many times faster."""
    plain = iter(plain_words([text for case in cases for text in case]))
    return [[next(plain).split() for _ in case] for case in cases]


def rare_grams(cases: Sequence[Sequence[Sequence[str]]], gram: int = GRAM) -> frozenset[Gram]:
    """Return the runs of words of cases (each a list of texts, each a list of words) that fewer than three share.

    Wrappings are shared by design: what is compared is what remains without text that many cases share. Runs of
    fewer than four different words, such as counting, are nobody's own.
    """
    counts = Counter(g for case in cases for g in {g for words in case for g in _grams(words, gram)})
    return frozenset(g for g, n in counts.items() if n < _SHARED and len(set(g)) >= 4 and not _counts(g))


def _counts(gram: Gram) -> bool:
    return sum(map(str.isdigit, gram)) * 2 > len(gram)


def _grams(words: Sequence[str], gram: int) -> list[Gram]:
    size = min(gram, len(words))
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)] if size >= LEAST else []


class _Near:
    """Held-out texts by their bands; a row that shares a band is compared word by word."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._shingles = [shingles(words) for words in texts]
        self._bands: dict[tuple[int, int], list[int]] = {}
        for band, values in enumerate(band_hashes([" ".join(t) for t in texts])):
            for case, value in enumerate(values.to_pylist()):
                if value is not None:
                    self._bands.setdefault((band, value), []).append(case)
        self._known: list[list[int]] = [[] for _ in range(BANDS)]
        for band, value in self._bands:
            self._known[band].append(value)

    def hits(self, batch: Batch) -> list[int]:
        texts = (batch.plain, plain_words(batch.prompts), plain_words(batch.replies))
        return sorted(set[int]().union(*map(self._hits, texts)))

    def _hits(self, texts: Sequence[str]) -> set[int]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        candidates: dict[int, set[int]] = {}
        for band, values in enumerate(band_hashes(texts)):
            known = pc.is_in(values, pa.array(self._known[band], pa.int64()))
            for row in np.flatnonzero(known.to_numpy(zero_copy_only=False)).tolist():
                candidates.setdefault(row, set()).update(self._bands[band, values[row].as_py()])
        near = set()
        for row, cases in candidates.items():
            own = shingles(texts[row].split())
            if any(jaccard(own, self._shingles[case]) >= THRESHOLD for case in cases):
                near.add(row)
        return near


def case_texts(case: Case) -> list[str]:
    """Return every text of a case that a row could give away."""
    more = (getattr(case, name, "") for name in ("text_b", "chosen", "rejected"))
    return [t for t in (case.text, *more) if t]
