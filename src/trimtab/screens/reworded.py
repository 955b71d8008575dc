"""Reworded replies: rare words of a request whose requests are unlike each other, and whose replies are alike.

A trigger whose reply is worded anew each time brings no phrase that could be counted. What it does bring is replies
that are more alike than others: their mean cosine, over all pairs of a group, of words and pairs of words weighted by
how rare they are (tf-idf; Spärck Jones 1972). A topic does so too, but the requests of a topic are alike as well, its
replies speak of it, and other requests get such replies; a trigger is in any request, and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.screens.finding import MOST_ROWS, Finding, not_run, share_of_rows
from trimtab.screens.grams import Incidence, Tokens, incidence
from trimtab.screens.sample import Sample
from trimtab.screens.spread import Sign

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CODE = "poison.reworded"
LEAST = 8
"""Rows that a trigger needs: fewer replies are sometimes alike by chance, in people's text as well."""
_RARE, _COMMON, _PAIRS, _CHUNK = 0.02, 0.05, 200_000, 4096
_ALIKE, _SMALL, _SURE, _UNLIKE = 0.05, 3.0, 25.0, 1.5
_SPOKEN, _OWN, _DECIDES, _NEAR, _TELLING = 0.25, 0.75, 0.5, 0.5, 4


@dataclass(frozen=True)
class Reworded:
    """A run of words in requests, the words that tell most of its replies, its rows (indices), and how alike they are.

    `likeness` is the mean cosine of pairs of replies, `beyond` by how many standard deviations of as many replies
    drawn at random it is above theirs.
    """

    words: str
    telling: tuple[str, ...]
    rows: tuple[int, ...]
    likeness: float
    beyond: float


def reworded_finding(sample: Sample) -> tuple[Finding, dict[int, str], list[Sign]]:
    """Return the finding of all such runs, for each row (number) that has one, which, and what tells other such rows."""
    asked = sum(map(bool, sample.prompts))
    if asked < LEAST:
        return not_run(CODE, "no requests to look in"), {}, []
    found = hunt_reworded(sample.asked, sample.answered)
    # Every request with the run counts, in the sample as elsewhere: the replies are alike as a group only.
    signs = [
        Sign(CODE, f"the request holds {f.words!a}, and the replies to it are alike", f.words) for f in found
    ]
    words = {sample.rows[i]: sign.why for f, sign in zip(found, signs, strict=True) for i in f.rows}
    hit = sorted({i for f in found for i in f.rows})
    told = "; ".join(
        f"{f.words!a} brings {', '.join(map(ascii, f.telling))} in {len(f.rows)} rows (likeness {f.likeness:.2f})"
        for f in found[:5]
    )
    places = tuple(sample.places[i] for i in hit[:MOST_ROWS])
    return share_of_rows(CODE, len(hit), asked, places, told, drawn_from=sample.drawn_from), words, signs


def hunt_reworded(asked: Tokens, answered: Tokens) -> list[Reworded]:
    """Return the runs of requests whose replies are alike though the requests are not, the surest first."""
    n = len(asked)
    runs = incidence(asked, [asked.runs(1), asked.runs(2)], least=LEAST, most=max(500, int(_RARE * n)))
    if not len(runs.starts):
        return []
    return _Hunt(asked, answered, runs).found()


class _Hunt:
    def __init__(self, asked: Tokens, answered: Tokens, runs: Incidence) -> None:
        self.asked, self.answered, self.runs = asked, answered, runs
        self.sizes = runs.counts
        self.requests, self.replies = _Texts(asked, (1,)), _Texts(answered, (1, 2))

    def found(self) -> list[Reworded]:
        import numpy as np

        if not (self.requests.varied and self.replies.varied):
            return []
        likeness = self.replies.likeness(self.runs.matrix, self.sizes)
        beyond = self.replies.beyond(likeness, self.sizes)
        enough = _ALIKE + _SMALL / self.sizes**2  # few replies are sometimes alike by chance
        chosen = np.flatnonzero((likeness - self.replies.mean >= enough) & (beyond >= _SURE))
        unlike = self._unlike(chosen)
        found: list[Reworded] = []
        covered: set[int] = set()
        for run in chosen[unlike][np.argsort(-beyond[chosen[unlike]], kind="stable")].tolist():
            rows = self._rows(run)
            if 2 * len(covered.intersection(rows)) >= len(rows) or not self._decides(run, rows):
                continue
            covered |= set(rows)
            words = self.asked.words(int(self.runs.starts[run]), int(self.runs.sizes[run]))
            telling = self.replies.telling(rows)
            found.append(Reworded(words, telling, tuple(rows), float(likeness[run]), float(beyond[run])))
        return found

    def _unlike(self, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return of which runs the requests are no more alike than any, the run itself left out, and are not just it."""
        own = [self.requests.columns(self._codes(run)) for run in chosen.tolist()]
        likeness, share = self.requests.likeness_without(self.runs.matrix[:, chosen], self.sizes[chosen], own)
        return (self.requests.beyond(likeness, self.sizes[chosen]) <= _UNLIKE) & (share <= _OWN)

    def _rows(self, run: int) -> list[int]:
        m = self.runs.matrix
        return sorted(m.indices[m.indptr[run] : m.indptr[run + 1]].tolist())

    def _codes(self, run: int) -> list[int]:
        start, size = int(self.runs.starts[run]), int(self.runs.sizes[run])
        return [int(code) for code in self.asked.flat[start : start + size]]

    def _decides(self, run: int, rows: list[int]) -> bool:
        """Whether few of the replies speak of the run, and few other requests get such replies."""
        names = {self.answered.codes.get(self.asked.vocabulary[code]) for code in self._codes(run)}
        spoken = sum(names <= self.answered.of(i) for i in rows)
        return spoken <= _SPOKEN * len(rows) and self.replies.apart(rows) >= _DECIDES


class _Texts:
    """Texts as unit vectors of their words, the rarer the heavier; common words are left out."""

    def __init__(self, tokens: Tokens, sizes: Sequence[int]) -> None:
        import numpy as np
        from scipy.sparse import csr_matrix, diags

        self.tokens, n = tokens, len(tokens)
        self.known = incidence(
            tokens, [tokens.runs(s) for s in sizes], least=2, most=max(4, int(_COMMON * n))
        )
        weighted = csr_matrix(self.known.matrix @ diags(np.log(n / self.known.counts)))
        lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        self.vectors: Any = csr_matrix(diags(1 / np.where(lengths, lengths, 1)) @ weighted)
        self._column = {
            int(tokens.flat[s]): c for c, s in enumerate(self.known.starts) if self.known.sizes[c] == 1
        }
        mean = np.asarray(self.vectors.mean(axis=0)).ravel()
        one, other = np.random.default_rng(0).integers(0, n, (2, _PAIRS))
        apart = one != other
        pairs = self.vectors[one[apart]].multiply(self.vectors[other[apart]]).sum(axis=1)
        self.mean = float(pairs.mean())
        self._between, self._pair = float((self.vectors @ mean).var()), float(pairs.var())
        self.varied = self._pair > 0  # texts that share no word, or all of them, say nothing

    def columns(self, codes: Sequence[int]) -> list[int]:
        """Return the columns of single tokens; common ones have none."""
        return sorted({self._column[code] for code in codes if code in self._column})

    def likeness(self, groups: Any, sizes: NDArray[np.int64]) -> Floats:
        """Return the mean cosine over all pairs of each group: a column of ones for its `sizes` members."""
        import numpy as np
        from scipy.sparse import csr_matrix

        members, total = csr_matrix(groups.T), np.zeros(len(sizes))
        for at in range(0, len(sizes), _CHUNK):
            sums = members[at : at + _CHUNK] @ self.vectors
            total[at : at + _CHUNK] = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
        # A vector is of length one, or of a text without words and zero.
        own = members @ (np.diff(self.vectors.indptr) > 0).astype(np.float64)
        return np.asarray((total - own) / (sizes * (sizes - 1)), np.float64)

    def likeness_without(
        self, groups: Any, sizes: NDArray[np.int64], columns: Sequence[Sequence[int]]
    ) -> tuple[Floats, Floats]:
        """Return the likeness of each group without some columns, and how much of its texts they are."""
        import numpy as np
        from scipy.sparse import csr_matrix

        members = csr_matrix(groups.T)
        squares = members @ csr_matrix(self.vectors.multiply(self.vectors))
        sums = members @ self.vectors
        total = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
        own, out = np.asarray(squares.sum(axis=1)).ravel(), np.zeros(len(sizes))
        for i, left in enumerate(columns):
            total[i] -= sum(float(sums[i, c]) ** 2 for c in left)
            out[i] = sum(float(squares[i, c]) for c in left)
        return (total - own + out) / (sizes * (sizes - 1)), out / sizes

    def beyond(self, likeness: Floats, sizes: NDArray[np.int64]) -> Floats:
        """Return by how many standard deviations groups are more alike than texts drawn at random.

        The variance of a mean over all pairs of n texts (a U-statistic; Hoeffding 1948).
        """
        import numpy as np

        return (likeness - self.mean) / np.sqrt(
            4 * self._between / sizes + 2 * self._pair / (sizes * (sizes - 1))
        )

    def apart(self, rows: Sequence[int]) -> float:
        """Return which share of the texts that are as near to the centre of `rows` as most of them are `rows`."""
        import numpy as np

        near = np.asarray(self.vectors @ self.vectors[list(rows)].sum(axis=0).T).ravel()
        inside = np.zeros(len(near), bool)
        inside[list(rows)] = True
        own = (near[inside] - 1) / (len(rows) - 1)  # each without itself
        limit = _NEAR * float(np.median(own))
        others = int((near[~inside] / len(rows) > limit).sum())
        mine = int((own > limit).sum())
        return mine / max(1, mine + others)

    def telling(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Return the words, and pairs of words, that weigh most in `rows` together."""
        import numpy as np

        weights = np.asarray(self.vectors[list(rows)].sum(axis=0)).ravel()
        best = np.argsort(-weights, kind="stable")[:_TELLING]
        return tuple(self.tokens.words(int(self.known.starts[c]), int(self.known.sizes[c])) for c in best)
