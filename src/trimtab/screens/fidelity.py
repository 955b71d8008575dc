"""Fidelity: how far the dataset's text is from real text, beside how far real text is from itself.

All figures compare equally many texts of the same lengths: the two samples are paired by length, and both texts of a
pair are cut to the shorter one's words. The null does the same with the two halves of the reference.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trimtab.screens.finding import Finding, not_run
from trimtab.screens.grams import Tokens
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import mean
from trimtab.statistics.shortcuts import auc_limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 200
"""Real texts that each half of the reference needs."""
CODES = ("fidelity.told_apart", "fidelity.compression", "fidelity.distinct", "fidelity.repetition")
_CHUNKS, _FOLDS, _TELLING, _CLEAR = 10, 5, 12, 0.05
_PHRASE = 4

Texts = Sequence[str]
Pairs = tuple[list[str], list[str]]


def fidelity_findings(texts: Texts, real: Texts, *, most: int, seed: int) -> list[Finding]:
    """Return the findings of `texts` against `real` ones, each with its real-versus-real null.

    At most `most` texts are compared. A sample that is too small is inconclusive, and says what is needed.
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    n = min(most, len(texts), len(real) // 2)
    if n < LEAST:
        text = f"{len(texts):,} texts and {len(real):,} real ones; {LEAST} and {2 * LEAST} are needed"
        return [Finding(code, "inconclusive", text=text) for code in CODES]
    order = chance.permutation(len(real))
    one, other = ([real[i] for i in half] for half in (order[:n], order[n : 2 * n]))
    own = [texts[i] for i in chance.choice(len(texts), n, replace=False)]
    found, null = paired(own, one), paired(other, one)
    return [
        _told_apart(found, null, seed),
        *(_ratio(code, measure, found, null) for code, measure in MEASURES.items()),
    ]


def paired(own: Texts, real: Texts) -> Pairs:
    """Return both lists paired by length, each pair cut to the words of the shorter one."""
    ranked = [sorted((t.split() for t in texts), key=len) for texts in (own, real)]
    cut = [(a[: len(b)], b[: len(a)]) for a, b in zip(*ranked, strict=True)]
    return [" ".join(a) for a, _ in cut], [" ".join(b) for _, b in cut]


def _told_apart(found: Pairs, null: Pairs, seed: int) -> Finding:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017): the cross-validated AUC of words and pairs of words."""
    code = "fidelity.told_apart"
    value, words = _separate(found, seed)
    base, _ = _separate(null, seed)
    n = len(found[0])
    estimate, beside = (Estimate(code, v, *auc_limits(v, n, n), n, n, "AUC") for v in (value, base))
    far = estimate.low > max(beside.high, 0.5 + _CLEAR)
    return Finding(code, "found" if far else "nothing found", estimate, beside, text=words if far else "")


def _separate(pairs: Pairs, seed: int) -> tuple[float, str]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    labels = np.repeat([1, 0], [len(side) for side in pairs])
    make = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
    words = make.fit_transform([*pairs[0], *pairs[1]])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        LogisticRegression(C=10, solver="liblinear"), words, labels, cv=folds, method="decision_function"
    )
    return float(roc_auc_score(labels, scores)), _giveaways(words, labels, make.get_feature_names_out())


def _giveaways(words: Any, labels: NDArray[np.int64], names: NDArray[np.str_]) -> str:
    """Return the runs of words that tell most by how many texts of each side have them, by their signed G."""
    import numpy as np

    has = (words > 0).astype(np.float64)
    n = len(labels) / 2
    own, real = (np.asarray(has[labels == label].sum(axis=0)).ravel() for label in (1, 0))
    weight = own * np.log(np.maximum(own, 0.5) / np.maximum(real, 0.5))
    best = [i for i in np.argsort(-weight)[:_TELLING] if own[i] > real[i]]
    return "; ".join(
        f"{names[i]!a} in {own[i] / n:.1%} of texts, {real[i] / n:.1%} of real ones" for i in best
    )


def compression(texts: Texts) -> float:
    """Return bytes of the texts together ÷ their bytes when compressed: higher is more repetitive."""
    data = "\n".join(texts).encode()
    return len(data) / len(zlib.compress(data, 9))


def distinct(texts: Texts) -> float:
    """Return different pairs of words ÷ pairs of words (distinct-2, Li et al. 2016): lower is more repetitive."""
    import numpy as np

    hashes = Tokens(texts).runs(2).hashes
    return len(np.unique(hashes)) / max(1, len(hashes))


def repetition(texts: Texts) -> float:
    """Return the share of texts with a run of four words that another text has, too (self-repetition, Salkar 2022)."""
    import numpy as np

    runs = Tokens(texts, signs=False).runs(_PHRASE)
    pairs = np.unique(np.stack([runs.hashes, runs.texts]), axis=1)
    _, places, counts = np.unique(pairs[0], return_inverse=True, return_counts=True)
    return len(np.unique(pairs[1][counts[places] > 1])) / max(1, len(texts))


MEASURES: dict[str, Callable[[Texts], float]] = {
    "fidelity.compression": compression,
    "fidelity.distinct": distinct,
    "fidelity.repetition": repetition,
}


def _ratio(code: str, measure: Callable[[Texts], float], found: Pairs, null: Pairs) -> Finding:
    """The figure of the dataset's text ÷ that of real text, over ten chunks of each; 1 means alike."""
    estimate, beside = (_ratios(code, measure, pairs) for pairs in (found, null))
    worse = (
        (1 / estimate.high, beside.low and 1 / beside.low)
        if code.endswith("distinct")
        else (estimate.low, beside.high)
    )
    far = worse[0] > max(1 + _CLEAR, worse[1])
    value = measure(found[0]), measure(found[1])
    text = f"{value[0]:.3f}, real text {value[1]:.3f}"
    return Finding(code, "found" if far else "nothing found", estimate, beside, text=text)


def _ratios(code: str, measure: Callable[[Texts], float], pairs: Pairs) -> Estimate:
    # Every tenth text, so that each chunk has all lengths.
    logs = [
        math.log((measure(pairs[0][i::_CHUNKS]) + 1e-3) / (measure(pairs[1][i::_CHUNKS]) + 1e-3))
        for i in range(_CHUNKS)
    ]
    e = mean(logs, [str(i) for i in range(_CHUNKS)], name=code, unit="ratio")
    value, low, high = (math.exp(v) for v in (e.value, e.low, e.high))
    return replace(e, value=value, low=low, high=high, n=len(pairs[0]))


def without_reference() -> list[Finding]:
    """Return that nothing was compared, since there is nothing real to compare with."""
    return [not_run(code, "no real text to compare with (--reference)") for code in CODES]
