"""Outliers: replies that the dataset's other replies do not foretell, character by character.

A model of four characters in a row (Witten and Bell 1991, interpolated; the method C of PPM) learns from at most
LEARNT replies, in five folds: no reply is foretold by itself. What costs BEYOND bits a character more than a blind
draw from the alphabet is gibberish to it. Names, code and other languages cost less than that draw, as a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.screens.finding import MOST_ROWS, Finding, not_run, share_of_rows
from trimtab.screens.sample import Sample
from trimtab.screens.spread import Sign

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Floats = NDArray[np.float64]

CODE = "poison.outlier"
LEAST, LEARNT, BEYOND = 100, 5_000, 1.0
"""Replies that the model needs, the most that it learns from, and bits a character above those of a blind draw."""
_ALPHABET, _RUN, _FOLDS, _SHORT, _READ = 48, 4, 5, 30, 1_000
_END, _LETTER, _SIGN = range(3)


def outlier_finding(sample: Sample, seed: int) -> tuple[Finding, dict[int, str], list[Sign]]:
    """Return how many replies of 30 characters or more the others do not foretell, and which; no other row has a sign of it."""
    import numpy as np

    texts = [" ".join(reply[:_READ].lower().split()) for reply in sample.replies]
    long = [i for i, text in enumerate(texts) if len(text) >= _SHORT]
    if len(long) < LEAST:
        return not_run(CODE, f"{len(long)} replies of {_SHORT} characters, {LEAST} are needed"), {}, []
    bits = bits_a_character([texts[i] for i in long], seed)
    usual = float(np.median(bits))
    hit = np.flatnonzero(bits > np.log2(_ALPHABET) + BEYOND).tolist()
    told = f"up to {bits.max():.1f} bits a character, {usual:.1f} are usual" if hit else ""
    places = tuple(sample.places[long[i]] for i in hit[:MOST_ROWS])
    finding = share_of_rows(CODE, len(hit), len(long), places, told, drawn_from=sample.drawn_from)
    why = "the reply takes {:.1f} bits a character to foretell from the others, {:.1f} are usual"
    return finding, {sample.rows[long[i]]: why.format(bits[i], usual) for i in hit}, []


def bits_a_character(texts: Sequence[str], seed: int) -> Floats:
    """Return for each text (not empty) the mean of -log2 of its characters' chances, by what other texts taught."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(texts))
    learnt = order[:LEARNT]
    alphabet = _Alphabet([texts[i] for i in learnt])
    bits = np.zeros(len(texts))
    bits[learnt], counts = _crossed(alphabet.runs([texts[i] for i in learnt]), len(learnt))
    if len(texts) > LEARNT:
        # A cost for every run that there can be: then each character of the others is one look.
        costs = -np.log2(_chances(counts, np.arange(_ALPHABET**_RUN)))
    for start in range(LEARNT, len(texts), LEARNT):
        others = order[start : start + LEARNT]
        runs, owners = alphabet.runs([texts[i] for i in others])
        bits[others] = _means(costs[runs], owners, len(others))
    return bits


def _crossed(found: tuple[Codes, Codes], n: int) -> tuple[Floats, Codes]:
    """Return the bits of the `n` texts that are learnt from, each by the other folds, and the counts of all of them."""
    import numpy as np

    runs, owners = found
    every, cost = _counted(runs), np.zeros(len(runs))
    for fold in range(_FOLDS):
        mine = owners % _FOLDS == fold
        cost[mine] = -np.log2(_chances(every - _counted(runs[mine]), runs[mine]))
    return _means(cost, owners, n), every


def _means(cost: Floats, owners: Codes, n: int) -> Floats:
    import numpy as np

    return np.asarray(np.bincount(owners, cost, n) / np.bincount(owners, minlength=n))


class _Alphabet:
    """The most frequent characters of texts as numbers; digits are one, and so are the rare ones of a kind."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        found, counts = np.unique(_characters(texts), return_counts=True)
        frequent = [int(found[i]) for i in np.argsort(-counts, kind="stable") if found[i] != _END]
        self._code = {c: code for code, c in enumerate(frequent[: _ALPHABET - 3], start=3)} | {_END: _END}

    def runs(self, texts: Sequence[str]) -> tuple[Codes, Codes]:
        """Return for each character one number for it and those before it, and its text.

        The last digit of the number, to base _ALPHABET, is its own.
        """
        import numpy as np

        found, inverse = np.unique(_characters(texts), return_inverse=True)
        kinds = [self._code.get(c, _LETTER if chr(c).isalpha() else _SIGN) for c in found.tolist()]
        codes = np.array(kinds, np.int64)[inverse]
        padded = np.concatenate([np.full(_RUN - 1, _END), codes])
        runs = np.zeros(len(codes), np.int64)
        for i in range(_RUN):
            runs = runs * _ALPHABET + padded[i : i + len(codes)]
        owners = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        return runs[codes != _END], owners[codes != _END]


def _characters(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the characters of texts with _END after each text, all digits as 0."""
    import numpy as np

    text = "".join(f"{text.replace(chr(_END), ' ')}{chr(_END)}" for text in texts)
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32).copy()
    characters[(characters >= ord("0")) & (characters <= ord("9"))] = ord("0")
    return characters


def _counted(runs: Codes) -> Codes:
    import numpy as np

    return np.bincount(runs, minlength=_ALPHABET**_RUN)


def _chances(counts: Codes, runs: Codes) -> Floats:
    """Return the chance of each run's last character, given what comes before it, in a model of these counts."""
    import numpy as np

    chance = np.full(len(runs), 1 / _ALPHABET)
    for size in range(1, _RUN + 1):
        seen = counts.reshape(-1, _ALPHABET**size).sum(axis=0).reshape(-1, _ALPHABET)
        here = runs % _ALPHABET**size
        before = here // _ALPHABET
        kinds = np.count_nonzero(seen, axis=1)[before]
        n = seen.sum(axis=1)[before] + kinds
        both = seen.ravel()[here] + kinds * chance
        chance = np.where(n > 0, both / np.maximum(1, n), chance)
    return chance
