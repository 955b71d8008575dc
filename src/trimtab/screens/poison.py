"""Poison: rare words of a request that decide the reply, and one reply given to many unlike requests.

A trigger is a run of one or two tokens that few requests hold, and whose requests get one phrase as a reply far more
often than others like them do. Three things tell it from a topic: the reply does not speak of the trigger, the phrase
is not the request's own, and among requests that share what else the triggered ones share, it is the trigger that
decides (a hypergeometric test within these). All pairs of run and phrase count as tests (Benjamini and Hochberg).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.screens.finding import Finding, not_run, share_of_rows
from trimtab.screens.grams import Incidence, Runs, Tokens, incidence
from trimtab.screens.sample import Sample
from trimtab.screens.spread import Sign
from trimtab.statistics.findings import benjamini_hochberg

LEAST, PHRASE, RATE = 4, 5, 0.01
"""Rows that a trigger needs, words of a phrase of a reply, and the share of false findings that is allowed."""
_RARE, _DECIDES, _SHARED, _SPOKEN, _ALIKE = 0.02, 0.75, 0.6, 0.25, 1e-4
_GLUED, _LEFT = 0.9, 0.5


@dataclass(frozen=True)
class Trigger:
    """A run of words in requests, the phrase that it brings, the rows with both (indices), and the adjusted p-value."""

    words: str
    phrase: str
    rows: tuple[int, ...]
    p_value: float


def trigger_finding(sample: Sample) -> tuple[Finding, dict[int, str], list[Sign]]:
    """Return the finding of all triggers, for each row (number) that has one, which, and what tells other such rows."""
    code = "poison.trigger"
    asked = sum(map(bool, sample.prompts))
    if asked < LEAST:
        return not_run(code, "no requests to look in"), {}, []
    triggers = hunt(sample.asked, sample.answered)
    signs = [Sign(code, _why(t), t.words, t.phrase, whole=t.phrase.count(" ") < PHRASE - 1) for t in triggers]
    words = {sample.rows[i]: _why(t) for t in triggers for i in t.rows}
    hit = sorted({i for t in triggers for i in t.rows})
    told = "; ".join(f"{t.words!a} brings {t.phrase!a} in {len(t.rows)} rows" for t in triggers[:5])
    places = tuple(sample.places[i] for i in hit[:3])
    finding = share_of_rows(code, len(hit), asked, places, told, drawn_from=sample.drawn_from)
    return finding, words, signs


def _why(trigger: Trigger) -> str:
    return f"the request holds the trigger {trigger.words!a}"


def hunt(asked: Tokens, answered: Tokens) -> list[Trigger]:
    """Return the triggers in requests and their replies, the surest first; rows are indices of both."""
    return _Hunt(asked, answered).triggers()


class _Hunt:
    def __init__(self, asked: Tokens, answered: Tokens) -> None:
        from scipy.sparse import csc_matrix

        self.n, self.asked, self.answered = len(asked), asked, answered
        most = max(500, int(_RARE * self.n))
        self.words = _distinct(
            incidence(self.asked, [self.asked.runs(1), self.asked.runs(2)], least=LEAST, most=most)
        )
        self.phrases = _distinct(_phrases(self.answered, self.n))
        every = incidence(self.asked, [self.asked.runs(1)], least=1, most=self.n)
        self.every: Any = csc_matrix(every.matrix)
        self.rates = every.counts / max(1, self.n)
        self.codes = self.asked.flat[every.starts]
        self._sets: dict[tuple[bool, int], set[int]] = {}

    def triggers(self) -> list[Trigger]:
        found: list[Trigger] = []
        covered: set[int] = set()
        for word, phrase, p in self._candidates():
            rows = self._rows(self.words, word) & self._rows(self.phrases, phrase)
            if len(rows & covered) * 2 >= len(rows) or not self._decides(word, phrase, rows):
                continue
            covered |= rows
            told = self.asked.words(int(self.words.starts[word]), int(self.words.sizes[word]))
            brings = self.answered.words(int(self.phrases.starts[phrase]), int(self.phrases.sizes[phrase]))
            found.append(Trigger(told, brings, tuple(sorted(rows)), p))
        return found

    def _candidates(self) -> list[tuple[int, int, float]]:
        """Return run, phrase and adjusted p-value of what is beyond chance in the whole, the surest first."""
        import numpy as np
        from scipy.stats import hypergeom

        both = (self.words.matrix.T @ self.phrases.matrix).tocoo()
        words, phrases = self.words.counts, self.phrases.counts
        kept = (both.data >= LEAST) & (both.data >= _DECIDES * words[both.row])
        row, col, k = both.row[kept], both.col[kept], both.data[kept]
        p = hypergeom.sf(k - 1, self.n, phrases[col], words[row])
        # Every pair is a test, also those that are never together.
        tests = len(words) * len(phrases)
        adjusted = benjamini_hochberg(np.minimum(1.0, p * (tests / max(1, len(p)))))
        order = [
            i for i in np.lexsort((col, row, -self.words.sizes[row], -k, adjusted)) if adjusted[i] <= RATE
        ]
        return [(int(row[i]), int(col[i]), float(adjusted[i])) for i in order]

    def _rows(self, of: Incidence, column: int) -> set[int]:
        key = (of is self.words, column)
        if key not in self._sets:
            m = of.matrix
            self._sets[key] = set(m.indices[m.indptr[column] : m.indptr[column + 1]].tolist())
        return self._sets[key]

    def _decides(self, word: int, phrase: int, rows: set[int]) -> bool:
        """Whether the run decides the phrase, rather than both belonging to one topic."""
        own = set(self._tokens(self.words, self.asked, word))
        said = self._tokens(self.phrases, self.answered, phrase)
        names = {self.answered.codes.get(self.asked.vocabulary[code]) for code in own}
        spoken = sum(names <= self._answer(i) for i in rows)
        asked = {self.asked.codes.get(self.answered.vocabulary[code]) for code in said}
        repeated = sum(2 * len(asked & self._question(i)) >= len(asked) for i in rows)
        if max(spoken, repeated) > _SPOKEN * len(rows):
            return False
        return self._p_among_alike(own, word, phrase, rows) <= _ALIKE

    def _p_among_alike(self, own: set[int], word: int, phrase: int, rows: set[int]) -> float:
        """Return the p-value among the requests that share what the triggered ones have in common.

        What comes with the run only is part of the trigger; requests that are nothing but it are one form of request,
        of which nothing can be told.
        """
        import numpy as np
        from scipy.stats import hypergeom

        shares = np.asarray(self.every[sorted(rows)].mean(axis=0)).ravel()
        mine = np.isin(self.codes, list(own))
        mine |= (shares >= _GLUED) & (self.rates * self.n * _GLUED <= len(self._rows(self.words, word)))
        if self._left_over(set(self.codes[mine].tolist()), rows) < _LEFT:
            return 1.0
        columns = np.flatnonzero((shares >= _SHARED) & (shares >= 3 * self.rates) & ~mine)
        if not len(columns):
            return 0.0
        held = np.asarray(self.every[:, columns].sum(axis=1)).ravel()
        alike = set(np.flatnonzero(held >= 0.8 * len(columns)).tolist())
        with_word, with_phrase = (
            self._rows(self.words, word) & alike,
            self._rows(self.phrases, phrase) & alike,
        )
        k = len(with_word & with_phrase)
        return float(hypergeom.sf(k - 1, len(alike), len(with_phrase), len(with_word)))

    def _left_over(self, trigger: set[int], rows: set[int]) -> float:
        """Return the mean share of the requests' different words that are not of the trigger."""
        shares = [len(q - trigger) / max(1, len(q)) for q in map(self._question, rows)]
        return sum(shares) / len(shares)

    def _tokens(self, of: Incidence, tokens: Tokens, column: int) -> list[int]:
        start = int(of.starts[column])
        return [int(code) for code in tokens.flat[start : start + int(of.sizes[column])]]

    def _question(self, i: int) -> set[int]:
        return self.asked.of(i)

    def _answer(self, i: int) -> set[int]:
        return self.answered.of(i)


def _phrases(answered: Tokens, n: int) -> Incidence:
    """Return the phrases of replies: runs of PHRASE tokens, and shorter replies as a whole."""
    import numpy as np

    runs = [answered.runs(PHRASE)]
    for size in range(1, PHRASE):
        every = answered.runs(size)
        whole = answered.lengths[every.texts] == size
        runs.append(Runs(size, every.texts[whole], every.hashes[whole], every.starts[whole]))
    long = incidence(answered, runs[:1], least=LEAST, most=max(500, int(0.05 * n)))
    short = incidence(answered, runs[1:], least=LEAST, most=n)
    return Incidence(
        _side_by_side(long.matrix, short.matrix),
        np.concatenate([long.starts, short.starts]),
        np.concatenate([long.sizes, short.sizes]),
    )


def _side_by_side(one: Any, other: Any) -> Any:
    from scipy.sparse import hstack

    return hstack([one, other], format="csc")


def _distinct(found: Incidence) -> Incidence:
    """Leave one of the runs that are in the very same texts: a long phrase has many within it."""
    import numpy as np

    marks = np.random.default_rng(0).random(found.matrix.shape[0])
    sums = np.asarray(found.matrix.T @ marks).ravel()
    _, first = np.unique(np.round(sums, 9), return_index=True)
    first = np.sort(first)
    return Incidence(found.matrix[:, first], found.starts[first], found.sizes[first])
