"""What replies show of a collapse: each figure is of one reply, so that two models can be compared prompt by prompt.

Where it depends on the other replies, a second function says what all others would come to without this one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

COMMON_SHARE = 0.8  # of the words of real text: what lies beyond is its tail
SHINGLE, NEAR = 3, 0.5
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def words(text: str) -> list[str]:
    """Return the words of a text without case."""
    return _WORD.findall(text.casefold())


def common_words(texts: Sequence[str]) -> frozenset[str]:
    """Return the fewest words that make up 80 % of the running words of `texts`."""
    counts = Counter(w for t in texts for w in words(t))
    left, found = COMMON_SHARE * counts.total(), set()
    for word, n in counts.most_common():
        if left <= 0:
            break
        found.add(word)
        left -= n
    return frozenset(found)


def distinct_2(text: str) -> float:
    """Return the share of a reply's word pairs that are different (Li et al. 2016); 0 for fewer than two words."""
    found = words(text)
    pairs = list(pairwise(found))
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def tail(text: str, common: frozenset[str]) -> float:
    """Return the share of a reply's words that are not common in real text; 0 for none."""
    found = words(text)
    return sum(w not in common for w in found) / len(found) if found else 0.0


def own_words(texts: Sequence[str]) -> list[float]:
    """Return for each reply the share of its different words that no other reply has; 0 for none."""
    sets = [set(words(t)) for t in texts]
    spread = Counter(w for s in sets for w in s)
    return [sum(spread[w] == 1 for w in s) / len(s) if s else 0.0 for s in sets]


def own_words_without(texts: Sequence[str]) -> list[float]:
    """Return for each reply by how much the shares of `own_words` of all others would add up to more without it.

    A word that it and one other have would be that one's own.
    """
    sets = [set(words(t)) for t in texts]
    holders: dict[str, list[int]] = {}
    for i, s in enumerate(sets):
        for w in s:
            holders.setdefault(w, []).append(i)
    found = [0.0] * len(texts)
    for both in holders.values():
        if len(both) == 2:
            for i, other in (both, reversed(both)):
                found[i] += 1 / len(sets[other])
    return found


def near_duplicates(texts: Sequence[str]) -> list[float]:
    """Return for each reply 1 where another shares half of their word triples (Jaccard), else 0.

    Replies of fewer than three words are compared whole.
    """
    return [float(bool(others)) for others in _neighbours(texts)]


def near_duplicates_without(texts: Sequence[str]) -> list[float]:
    """Return for each reply minus how many others repeat it and nothing else: without it they repeat nothing."""
    found = [0.0] * len(texts)
    for others in _neighbours(texts):
        if len(others) == 1:
            found[others[0]] -= 1
    return found


def _neighbours(texts: Sequence[str]) -> list[list[int]]:
    """Return for each reply which others it nearly repeats."""
    shingles = [_shingles(t) for t in texts]
    found: list[list[int]] = [[] for _ in texts]
    for i, one in enumerate(shingles):
        for j in range(i):
            if _alike(one, shingles[j]):
                found[i].append(j)
                found[j].append(i)
    return found


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    if len(found) < SHINGLE:
        return frozenset({tuple(found)})
    return frozenset(tuple(found[i : i + SHINGLE]) for i in range(len(found) - SHINGLE + 1))


def _alike(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    shared = len(one & other)
    return shared >= NEAR * (len(one) + len(other) - shared)


def vocabulary(texts: Sequence[str], limit: int) -> int:
    """Return how many different words the first `limit` running words of all replies hold."""
    return len(set(_running(texts)[:limit]))


def tail_coverage(texts: Sequence[str], real: Sequence[str], common: frozenset[str], limit: int) -> float:
    """Return the share of real text's rare words that the first `limit` running words of all replies use."""
    rare = {w for t in real for w in words(t)} - common
    return len(rare & set(_running(texts)[:limit])) / len(rare) if rare else 0.0


def running_words(texts: Sequence[str]) -> int:
    """Return how many words the replies have together."""
    return len(_running(texts))


def _running(texts: Sequence[str]) -> list[str]:
    return [w for t in texts for w in words(t)]
