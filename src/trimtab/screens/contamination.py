"""Contamination: rows that share many words in a row with a held-out case, or nearly repeat one."""

from __future__ import annotations

import re
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
Of a script without spaces it is twenty characters, or 12 to 19 as a whole.

Thirteen is the length of Brown et al. 2020, appendix C: eight words are shared by chance in a large dataset.
"""
_SHARED = 3
# Twenty characters of a script without spaces say about as much as thirteen words.
_CHARACTERS = 1.5
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)

UNWRAPPED = 0.5
"""The Jaccard index, without a wrapping, below which a row does not nearly repeat a case."""

Gram = tuple[str, ...]
Shingles = frozenset[tuple[str, ...]]


class Contamination(RowScreen):
    """Compares rows with the texts of held-out cases: `cases` holds, for each case, all of its texts."""

    codes = ("contamination.grams", "contamination.near")

    def __init__(self, cases: Iterable[Sequence[str]], *, gram: int = GRAM, near: bool = True) -> None:
        texts = split([list(case) for case in cases])
        self._cases = texts
        grams, wrapping = rare_grams(texts, gram)
        self._known = {word for one in grams for word in one}
        self._ends = {one[-LEAST:] for one in grams}
        self._grams = {size: {g for g in grams if len(g) == size} for size in {len(g) for g in grams}}
        self._near = _Near(texts, wrapping) if near else None

    def hits(self, batch: Batch) -> Hits:
        """Return the rows that share a run of words, and those that nearly repeat a case."""
        found = {"contamination.grams": [i for i, words in enumerate(batch.words) if self.shares(words)]}
        return found if self._near is None else {**found, "contamination.near": self._near.hits(batch)}

    def applies(self, batch: Batch) -> dict[str, int]:
        """Nothing to compare with says nothing."""
        return dict.fromkeys(self.codes, len(batch) if self._grams or self._near else 0)

    def shares(self, words: list[str]) -> bool:
        """Whether `words` hold a run of words that is a held-out case's own."""
        return self._shared(words) is not None

    def sources(self, batch: Batch) -> dict[str, dict[int, int]]:
        """Return for each code the rows that have it, each with the first case (index) that it shares that with.

        All cases are gone through for each row: this is for the few rows that are told.
        """
        shared = {i: gram for i, words in enumerate(batch.words) if (gram := self._shared(words))}
        found = {"contamination.grams": {i: self._first_with(gram) for i, gram in shared.items()}}
        return found if self._near is None else {**found, "contamination.near": self._near.cases(batch)}

    def _first_with(self, gram: Gram) -> int:
        run = f" {' '.join(gram)} "
        return next(
            i for i, case in enumerate(self._cases) if any(run in f" {' '.join(words)} " for words in case)
        )

    def _shared(self, words: list[str]) -> Gram | None:
        known, run = self._known, 0
        # A run can only begin where enough known words follow each other, which is rare in other text.
        for end, word in enumerate(words, start=1):
            run = run + 1 if word in known else 0
            if (
                run >= LEAST
                and tuple(words[end - LEAST : end]) in self._ends
                and (gram := self._ends_here(words[:end], run))
            ):
                return gram
        return None

    def _ends_here(self, words: list[str], run: int) -> Gram | None:
        sizes = (size for size, grams in self._grams.items() if run >= size and tuple(words[-size:]) in grams)
        return next((tuple(words[-size:]) for size in sizes), None)


def split(cases: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Return the words of every text of every case; all are split in one go, which is many times faster."""
    plain = iter(plain_words([text for case in cases for text in case]))
    return [[next(plain).split() for _ in case] for case in cases]


def rare_grams(
    cases: Sequence[Sequence[Sequence[str]]], gram: int = GRAM
) -> tuple[frozenset[Gram], frozenset[Gram]]:
    """Return the runs of words of cases (each a list of texts, each a list of words) that fewer than three share; the others.

    Wrappings are shared by design: what is compared is what remains without text that many cases share. One text that
    stands in many cases (the same set given twice, a passage with several questions) is no wrapping: different texts
    have to share a run, of different cases. Runs of fewer than four different words, such as counting, are nobody's own.
    """
    texts = dict.fromkeys(tuple(words) for case in cases for words in case)
    counts = Counter(g for words in texts for g in set(_grams(words, gram)))
    shared = {g for g, n in counts.items() if n >= _SHARED}
    if shared:
        owners = dict.fromkeys(tuple(map(tuple, case)) for case in cases)
        grams = ({g for words in case for g in _grams(words, gram)} for case in owners)
        of_cases = Counter(g for own in grams for g in own & shared)
        shared = {g for g, n in of_cases.items() if n >= _SHARED}
    own = (g for g in counts if g not in shared and len(set(g)) >= 4 and not _counts(g))
    return frozenset(own), frozenset(shared)


def _counts(gram: Gram) -> bool:
    return sum(map(str.isdigit, gram)) * 2 > len(gram)


def _grams(words: Sequence[str], gram: int) -> list[Gram]:
    scale = _CHARACTERS if 2 * sum(map(bool, map(UNSPACED.match, words))) > len(words) else 1
    size = min(round(gram * scale), len(words))
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)] if size >= LEAST * scale else []


class _Near:
    """Held-out texts by their bands; a row that shares a band is compared word by word, and without what wraps many cases."""

    def __init__(self, cases: Sequence[Sequence[Sequence[str]]], wrapping: Iterable[Gram]) -> None:
        self._wrapping = frozenset(run for gram in wrapping for run in shingles(gram))
        first: dict[str, int] = {}
        for i, case in enumerate(cases):
            for words in case:
                first.setdefault(" ".join(words), i)
        texts, self._cases = list(first), list(first.values())
        self._shingles = [shingles(text.split()) for text in texts]
        self._bands: dict[tuple[int, int], list[int]] = {}
        for band, values in enumerate(band_hashes(texts)):
            for text, value in enumerate(values.to_pylist()):
                if value is not None:
                    self._bands.setdefault((band, value), []).append(text)
        self._known: list[list[int]] = [[] for _ in range(BANDS)]
        for band, value in self._bands:
            self._known[band].append(value)

    def hits(self, batch: Batch) -> list[int]:
        return sorted(self.cases(batch))

    def cases(self, batch: Batch) -> dict[int, int]:
        """Return the rows that nearly repeat a case, each with the first such case (index)."""
        texts = (batch.plain, plain_words(batch.prompts), plain_words(batch.replies))
        found: dict[int, int] = {}
        for row, text in (hit for one in texts for hit in self._hits(one).items()):
            found[row] = min(self._cases[text], found.get(row, self._cases[text]))
        return found

    def _hits(self, texts: Sequence[str]) -> dict[int, int]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        candidates: dict[int, set[int]] = {}
        for band, values in enumerate(band_hashes(texts)):
            known = pc.is_in(values, pa.array(self._known[band], pa.int64()))
            for row in np.flatnonzero(known.to_numpy(zero_copy_only=False)).tolist():
                candidates.setdefault(row, set()).update(self._bands[band, values[row].as_py()])
        near = {}
        for row, others in candidates.items():
            own = shingles(texts[row].split())
            alike = (text for text in sorted(others) if self._alike(own, self._shingles[text]))
            if (first := next(alike, None)) is not None:
                near[row] = first
        return near

    def _alike(self, own: Shingles, case: Shingles) -> bool:
        if jaccard(own, case) < THRESHOLD:
            return False
        wrapped = case & self._wrapping
        # Without a long wrapping little is left: one changed word weighs more there.
        return not wrapped or (case > wrapped and jaccard(own - wrapped, case - wrapped) >= UNWRAPPED)


def case_texts(case: Case) -> list[str]:
    """Return every text of a case that a row could give away."""
    more = (getattr(case, name, "") for name in ("text_b", "chosen", "rejected"))
    return [t for t in (case.text, *more) if t]
