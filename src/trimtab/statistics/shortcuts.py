"""How far something trivial, length or single words, tells the chosen from the rejected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from trimtab.statistics._clustered import encode, numbers, same_length, z_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

_WORD = r"(?u)\w+"
_FOLDS = 5


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the chance that a random one scores above a random zero, ties counting half.

    `scores` and `labels` (0 or 1) have shape (n,). Raises `ValueError` unless both labels occur.
    """
    from sklearn.metrics import roc_auc_score

    values, truth = numbers(scores, "scores"), numbers(labels, "labels")
    same_length("AUC", values, truth)
    if set(truth.tolist()) != {0.0, 1.0}:
        raise ValueError("AUC: the labels must hold both ones and zeros, and nothing else")
    return float(roc_auc_score(truth, values))


def auc_limits(value: float, ones: int, zeros: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of an AUC of `ones` and `zeros` independent cases, within 0 and 1 (Hanley and McNeil 1982).

    Raises `ValueError` unless there is a case of each.
    """
    if min(ones, zeros) < 1:
        raise ValueError(f"AUC: {ones} ones and {zeros} zeros have no interval")
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (ones - 1) * (q1 - value**2) + (zeros - 1) * (q2 - value**2)
    margin = z_value(confidence) * float(np.sqrt(max(0.0, variance) / (ones * zeros)))
    return max(0.0, value - margin), min(1.0, value + margin)


def length_auc(chosen_lengths: ArrayLike, rejected_lengths: ArrayLike) -> float:
    """Return the AUC of length alone: 1 when every chosen text is longer than every rejected one, 0 when shorter.

    The two lists need not be of one length. Raises `ValueError` when either is empty.
    """
    chosen, rejected = numbers(chosen_lengths, "chosen"), numbers(rejected_lengths, "rejected")
    labels = np.repeat([1, 0], [chosen.size, rejected.size])
    return auc(np.concatenate([chosen, rejected]), labels)


def bag_of_words_auc(
    chosen: Sequence[str], rejected: Sequence[str], clusters: Sequence[str], seed: int = 0
) -> float:
    """Return the AUC of a logistic regression on word counts, cross-validated over whole clusters.

    Pair i is `chosen[i]`, `rejected[i]`, `clusters[i]`; up to five folds, their AUCs weighted by their pairs.
    Texts without a single word give 0.5. Raises `ValueError` on no pairs, lengths that differ, or one cluster.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_score

    if not chosen or not len(chosen) == len(rejected) == len(clusters):
        sizes = f"{len(chosen)}, {len(rejected)} and {len(clusters)}"
        raise ValueError(f"bag of words: as many chosen, rejected and clusters are needed, not {sizes}")
    codes, count = encode(clusters, len(chosen), "bag of words")
    if count < 2:
        raise ValueError(
            "bag of words: at least two clusters are needed, one to learn from and one to test on"
        )
    texts = [*chosen, *rejected]
    if not any(re.search(_WORD, text) for text in texts):
        return 0.5
    # The vocabulary knows all texts but no label, so nothing of a held-out answer leaks.
    words = CountVectorizer(token_pattern=_WORD).fit_transform(texts)
    labels = np.repeat([1, 0], len(chosen))
    folds = (np.random.default_rng(seed).permutation(count) % min(_FOLDS, count))[codes]
    model = LogisticRegression(max_iter=2000)
    scores = cross_val_score(model, words, labels, scoring="roc_auc", cv=PredefinedSplit(np.tile(folds, 2)))
    return float(np.average(scores, weights=np.bincount(folds)))
