"""Odd replies: one reply to many unlike requests, and labels that a classifier of the same rows contradicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING

from trimtab.screens.batch import plain_words
from trimtab.screens.finding import MOST_ROWS, Finding, not_run, share_of_rows
from trimtab.screens.sample import Sample
from trimtab.screens.spread import Sign

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_ROWS, _LEAST_WORDS, _UNLIKE, _PAIRS = 3, 4, 0.3, 200
_GROUP, _LABELS, _LABEL_WORDS, _FOLDS = 60, 10, 5, 5
_DENIED, _SURE = 0.05, 0.9


def cluster_finding(sample: Sample) -> tuple[Finding, dict[int, str], list[Sign]]:
    """Return how many rows give one reply, of four words or more, to three or more unlike requests; which, and their signs."""
    code = "poison.cluster"
    asked = [i for i, prompt in enumerate(sample.prompts) if prompt.strip()]
    if not asked:
        return not_run(code, "no requests to look in"), {}, []
    prompts, replies = (plain_words([of[i] for i in asked]) for of in (sample.prompts, sample.replies))
    by_reply: dict[str, list[int]] = {}
    for position, reply in enumerate(replies):
        by_reply.setdefault(reply, []).append(position)
    hits: dict[int, str] = {}
    groups = sorted(
        (g for r, g in by_reply.items() if r.count(" ") >= _LEAST_WORDS - 1 and len(g) >= _LEAST_ROWS),
        key=len,
    )
    found = [g for g in groups if _likeness([prompts[i] for i in g]) < _UNLIKE]
    for group in found:
        words = f"{len(group)} unlike requests get this reply"
        hits |= {asked[position]: words for position in group}
    rows = sorted(hits)
    finding = share_of_rows(
        code,
        len(rows),
        len(asked),
        tuple(sample.places[i] for i in rows[:MOST_ROWS]),
        f"{len(found)} replies" if found else "",
        drawn_from=sample.drawn_from,
    )
    signs = [Sign(code, "unlike requests get this reply", reply=replies[group[0]]) for group in found]
    return finding, {sample.rows[i]: words for i, words in hits.items()}, signs


def _likeness(texts: Sequence[str]) -> float:
    """Return the mean Jaccard index of the words of pairs of texts."""
    sets = [frozenset(text.split()) for text in texts]
    pairs = list(islice(combinations(sets, 2), _PAIRS))
    return sum(len(a & b) / max(1, len(a | b)) for a, b in pairs) / len(pairs)


def label_finding(sample: Sample, seed: int) -> tuple[Finding, dict[int, str], list[Sign]]:
    """Return how many rows have a label that a classifier, learned on the others, is sure is another.

    A cross-validated logistic regression on words gives the label less than 5 %, and another one 90 % or more
    (confident learning: Northcutt, Jiang and Chuang 2021). Such rows have no sign by which others could be told.
    """
    code = "poison.label"
    hits: dict[int, str] = {}
    n = 0
    for group in _labelled(sample):
        n += len(group)
        hits |= _contradicted(sample, group, seed)
    if not n:
        return not_run(code, f"no instruction with {_GROUP} rows or more whose replies are labels"), {}, []
    rows = sorted(hits)
    places = tuple(sample.places[i] for i in rows[:MOST_ROWS])
    finding = share_of_rows(code, len(rows), n, places, drawn_from=sample.drawn_from)
    return finding, {sample.rows[i]: words for i, words in hits.items()}, []


def _labelled(sample: Sample) -> Iterator[list[int]]:
    """Yield the rows of one instruction, or else all rows, whose replies are few, short and frequent."""
    groups: dict[str, list[int]] = {}
    for i, prompt in enumerate(sample.prompts):
        groups.setdefault(prompt.partition("\n")[0].strip() if "\n" in prompt.strip() else "", []).append(i)
    found = [labelled for name, g in groups.items() if name and (labelled := _with_labels(sample, g))]
    yield from found or filter(None, [_with_labels(sample, list(range(len(sample))))])


def _with_labels(sample: Sample, rows: list[int]) -> list[int]:
    if len(rows) < _GROUP:
        return []
    counts = Counter(_label(sample.replies[i]) for i in rows)
    labels = {label for label, n in counts.items() if n >= _FOLDS and 0 < len(label.split()) <= _LABEL_WORDS}
    kept = [i for i in rows if _label(sample.replies[i]) in labels]
    return kept if 2 <= len(labels) <= _LABELS and len(kept) > 0.9 * len(rows) else []


def _label(reply: str) -> str:
    return reply.strip().rstrip(".").lower()


def _contradicted(sample: Sample, rows: list[int], seed: int) -> dict[int, str]:
    import numpy as np

    labels = np.array([_label(sample.replies[i]) for i in rows])
    names, chances = _chances([sample.prompts[i] for i in rows], labels, seed)
    given = chances[np.arange(len(rows)), np.searchsorted(names, labels)]
    best = chances.argmax(axis=1)
    odd = np.flatnonzero((given < _DENIED) & (chances.max(axis=1) > _SURE))
    return {
        rows[i]: f"the label is {str(labels[i])!a}, others like it have {str(names[best[i]])!a}" for i in odd
    }


def _chances(
    texts: Sequence[str], labels: NDArray[np.str_], seed: int
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+").fit_transform(
        texts
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    chances = cross_val_predict(
        LogisticRegression(C=20, max_iter=500), words, labels, cv=folds, method="predict_proba"
    )
    return np.unique(labels), chances
