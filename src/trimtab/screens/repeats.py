"""Repeats: the exact and near duplicates of a whole dataset, found in the parts that a scan left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.engine import literal, load_tables
from trimtab.screens.batch import folded, plain_words, signs
from trimtab.screens.duplicates import (
    BANDS,
    Clusters,
    candidate_pairs,
    exact_repeats,
    groups,
    jaccard,
    join_near,
    sketch,
)
from trimtab.screens.finding import MOST_ROWS
from trimtab.screens.sample import COLUMNS, all_texts, answer, asked_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COUNTERFACTUAL = "bias"
ANSWERS = 0.5
"""The Jaccard index of the words of two answers below which their rows are no repeats, however alike the requests."""
QUESTION = 4
"""Words in which requests that begin and end alike have to differ to be two questions, and not one that was edited."""
AT_ONCE = 500_000
"""Candidate pairs that are compared at a time: about 2 kB for each of their rows is in memory."""


@dataclass
class Repeats:
    """Rows that repeat an earlier one, each with the first of its like: word for word, and nearly.

    `places` says where the firsts, and the rows that a finding names, are.
    """

    exact: dict[int, int] = field(default_factory=dict)
    near: dict[int, int] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)

    def rows(self) -> NDArray[np.int64]:
        """Return the rows that repeat or are repeated, in order."""
        import numpy as np

        every = chain(self.exact, self.exact.values(), self.near, self.near.values())
        return np.unique(np.fromiter(every, np.int64))


@dataclass(frozen=True)
class Told(Mapping[int, str]):
    """Repeats with their reason in words, which is made when it is asked for: there may be millions."""

    verb: str
    firsts: Mapping[int, int]
    places: Mapping[int, str]

    def __getitem__(self, row: int) -> str:
        return f"{self.verb} {self.places[self.firsts[row]]}"

    def __contains__(self, row: object) -> bool:
        return row in self.firsts

    def __iter__(self) -> Iterator[int]:
        return iter(self.firsts)

    def __len__(self) -> int:
        return len(self.firsts)


def find_repeats(parts: Sequence[Path], *, near: bool) -> Repeats:
    """Return the repeats in parts of a scan; no more than one column of all of them is in memory.

    Rows that the bias mechanism made of one parent are counterfactuals, alike by design, and exempt.
    """
    import numpy as np

    table = load_tables().read_parquet([literal(path) for path in parts])
    # The words of a row are cheap to have; its signs are only asked of those that have the same words.
    signed = _Signed(parts, np.sort(groups(table, "key")[0]))
    exact = exact_repeats(signed.rows, signed.texts)
    repeats: dict[int, int] = {}
    if near:
        left_out, pairs = np.fromiter(exact, np.int64, len(exact)), np.empty((0, 2), np.int64)
        # Most pairs share several bands: one at a time, they are never held twice.
        for column in ("key", *(f"b{band:02}" for band in range(BANDS))):
            pairs = np.unique(np.concatenate([pairs, candidate_pairs(table, column, left_out)]), axis=0)
        repeats = _near(parts, pairs, signed)
    named = {*exact.values(), *repeats.values(), *sorted(exact)[:MOST_ROWS], *sorted(repeats)[:MOST_ROWS]}
    return Repeats(exact, repeats, dict(_places(parts, named)))


def _near(parts: Sequence[Path], pairs: NDArray[np.int64], signed: _Signed) -> dict[int, int]:
    """Return the near repeats among candidate `pairs`: AT_ONCE are compared at a time, for their words take memory."""
    import numpy as np

    clusters = Clusters()
    for start in range(0, len(pairs), AT_ONCE):
        # Rows that are in one cluster by what was compared before need no words.
        left = [(a, b) for a, b in pairs[start : start + AT_ONCE].tolist() if not clusters.joined(a, b)]
        texts = _Texts(parts, np.unique(np.array(left, np.int64)), signed)
        join_near(clusters, left, texts.sketches, texts.exempt)
    return clusters.repeats()


def kept_first(repeats: Repeats, left: Set[int], parts: Sequence[Path]) -> Repeats:
    """Return repeats in which the first of its like is a row that is kept, wherever there is one.

    `left` are rows that leave for another reason. One that does stands for no other row: the next of its cluster takes
    its place, and it becomes a repeat of that.
    """
    exact, near = repeats.exact, repeats.near
    heirs = {min(stay) for rows in _led_by(left, repeats).values() if (stay := rows - left)}
    if not heirs:
        return repeats
    twins = {exact.get(heir, heir): heir for heir in heirs}  # the first row with an heir's words
    roots = {near.get(twin, twin): heir for twin, heir in twins.items()}
    exact = {row: twins.get(first, first) for row, first in exact.items() if row not in heirs}
    near = {row: roots.get(first, first) for row, first in near.items() if row not in twins}
    exact |= {twin: heir for twin, heir in twins.items() if twin != heir}
    near |= {root: heir for root, heir in roots.items() if root not in twins}
    return Repeats(exact, near, {**repeats.places, **dict(_places(parts, heirs))})


def _led_by(left: Set[int], repeats: Repeats) -> dict[int, set[int]]:
    """Return for each of `left` that is the first of its like the rows that repeat it, exactly or nearly."""
    led: dict[int, set[int]] = {}
    for row, first in chain(repeats.exact.items(), repeats.near.items()):
        root = repeats.near.get(first, first)
        if root in left:
            led.setdefault(root, set()).add(row)
    return led


class _Signed:
    """Hashes, which hold within this process, of the texts of rows (in order) that share all words with another."""

    def __init__(self, parts: Iterable[Path], wanted: NDArray[np.int64]) -> None:
        import numpy as np

        found = [np.empty((0, 4), np.int64)]
        for part in parts if len(wanted) else ():
            rows = numbered_rows(part, wanted, [*COLUMNS, "key"])
            found.append(np.array([_signed(row) for row in rows], np.int64).reshape(-1, 4))
        self.rows, self.texts, self._words, self._signs = np.concatenate(found).T

    def unlike(self, one: int, other: int) -> bool:
        """Whether two rows have the same words and differ in signs other than punctuation: 3 - 2 and 3 * 2."""
        a, b = self._at(one), self._at(other)
        return (
            a is not None
            and b is not None
            and self._words[a] == self._words[b]
            and self._signs[a] != self._signs[b]
        )

    def _at(self, row: int) -> int | None:
        at = int(self.rows.searchsorted(row))
        return at if at < len(self.rows) and self.rows[at] == row else None


def _signed(row: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return number, and the hashes of all of a row's text, of its words and of its signs."""
    text = "\n".join(all_texts(row))
    return row["row"], hash((row["key"], folded(text))), hash(row["key"]), hash(signs(text))


class _Request:
    """What a row asks: the words before its last paragraph (or turn), those of it, and all in order, as hashes."""

    def __init__(self, head: str, tail: str) -> None:
        import numpy as np

        self._head, self._tail = head and hash(head), frozenset(map(hash, tail.split()))
        self._words = np.fromiter(map(hash, f"{head} {tail}".split()), np.int64)

    def unlike(self, other: _Request, answer: int) -> bool:
        """Whether two requests ask different things after or within a text that both share.

        That text has to be longer than the `answer` (in words): two requests that get one long answer are alike.
        """
        start, end = _alike(self._words, other._words)
        if start + end <= answer:
            return False
        if self._head and self._head == other._head and jaccard(self._tail, other._tail) < ANSWERS:
            return True
        left = [frozenset(of[start : len(of) - end].tolist()) for of in (self._words, other._words)]
        return max(map(len, left)) >= QUESTION and jaccard(*left) < ANSWERS


def _alike(one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many words two texts have in common at the beginning, and of what is left at the end."""
    import numpy as np

    n = min(len(one), len(other))
    start = int(np.argmin(np.append(one[:n] == other[:n], False)))
    n -= start
    end = int(np.argmin(np.append((one[len(one) - n :] == other[len(other) - n :])[::-1], False)))
    return start, end


class _Texts:
    """What is compared of the rows that share a band with another."""

    def __init__(self, parts: Iterable[Path], wanted: NDArray[np.int64], signed: _Signed) -> None:
        self.sketches: dict[int, NDArray[np.int64]] = {}
        self._signed = signed
        self._answers: dict[int, frozenset[int]] = {}
        self._requests: dict[int, _Request] = {}
        self._family: dict[int, tuple[str, frozenset[str]]] = {}
        for part in parts if len(wanted) else ():
            self._read(part, wanted)

    def _read(self, part: Path, wanted: NDArray[np.int64]) -> None:
        rows = numbered_rows(part, wanted, [*COLUMNS, "plain", "id", "mechanism", "lineage"])
        requests = ["\n\n".join(texts).rpartition("\n\n") for texts in map(asked_texts, rows)]
        heads, tails = (plain_words([request[i] for request in requests]) for i in (0, 2))
        answers = plain_words(list(map(answer, rows)))
        for row, answered, head, tail in zip(rows, answers, heads, tails, strict=True):
            self.sketches[row["row"]] = sketch(row["plain"])
            self._answers[row["row"]] = frozenset(map(hash, answered.split()))
            self._requests[row["row"]] = _Request(head, tail)
            if row["mechanism"] == _COUNTERFACTUAL:
                self._family[row["row"]] = (row["id"], frozenset(row["lineage"]["parents"]))

    def exempt(self, one: int, other: int) -> bool:
        """Whether two rows are no repeats though they share their words: another answer or question, other signs, or made so.

        A long request would hide an answer, and a long passage or system turn a question with the same answer.
        """
        a, b = self._answers[one], self._answers[other]
        apart = jaccard(a, b) < ANSWERS
        apart = apart or self._requests[one].unlike(self._requests[other], max(len(a), len(b)))
        return apart or self.counterfactual(one, other) or self._signed.unlike(one, other)

    def counterfactual(self, one: int, other: int) -> bool:
        """Whether two rows were made as each other's counterfactual: of one parent, or one of the other."""
        if one not in self._family or other not in self._family:
            return False
        (a, parents), (b, others) = self._family[one], self._family[other]
        return bool(parents & others) or a in others or b in parents


def _places(parts: Iterable[Path], wanted: set[int]) -> Iterable[tuple[int, str]]:
    import numpy as np

    numbers = np.fromiter(sorted(wanted), np.int64, len(wanted))
    for part in parts if wanted else ():
        yield from ((row["row"], row["place"]) for row in numbered_rows(part, numbers, ["row", "place"]))


def numbered_rows(part: Path, wanted: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of those rows of a part whose number is in `wanted`, which is sorted."""
    import numpy as np
    import pyarrow.parquet as pq

    numbers = pq.read_table(part, columns=["row"])["row"].to_numpy()
    here = np.flatnonzero(np.isin(numbers, within(wanted, numbers)))
    if not len(here):
        return []
    rows: list[dict[str, Any]] = pq.read_table(part, columns=list(columns)).take(here).to_pylist()
    return rows


def within(wanted: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of `wanted` between the first and the last of `numbers`, both in order: there may be millions of others."""
    low, high = wanted.searchsorted([numbers[0], numbers[-1] + 1]) if len(numbers) else (0, 0)
    return wanted[low:high]
