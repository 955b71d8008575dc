"""Preference pairs: how far something trivial tells the chosen reply from the rejected one."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.screens.finding import Finding, not_run
from trimtab.screens.sample import Choice
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.shortcuts import auc_limits, bag_of_words_auc, length_auc

SHORTCUT = 0.6
"""An AUC whose interval lies above this is a shortcut."""
_LEAST, _MOST = 20, 4000


def preference_findings(choices: Sequence[Choice], seed: int) -> list[Finding]:
    """Return how well words, and length, tell chosen from rejected: 0.5 not at all, 1 always.

    Of more than 4,000 preferences, so many are drawn at random: those of one source often stand together.
    """
    codes = ("preference.words", "preference.length")
    chosen = choices if len(choices) <= _MOST else drawn(choices, _MOST, seed)
    if len(chosen) < _LEAST or len({c.prompt for c in chosen}) < 2:
        why = (
            "no preferences"
            if not chosen
            else f"{len(chosen)} preferences, {_LEAST} of several prompts are needed"
        )
        return [not_run(code, why) for code in codes]
    return [_words(chosen, seed), _length(chosen)]


def drawn(choices: Sequence[Choice], n: int, seed: int) -> list[Choice]:
    """Return `n` of the choices, drawn at random, in their order."""
    import numpy as np

    return [choices[i] for i in sorted(np.random.default_rng(seed).choice(len(choices), n, replace=False))]


def _words(choices: Sequence[Choice], seed: int) -> Finding:
    prompts = [c.prompt for c in choices]
    value = bag_of_words_auc([c.chosen for c in choices], [c.rejected for c in choices], prompts, seed)
    return _finding("preference.words", value, choices, "")


def _length(choices: Sequence[Choice]) -> Finding:
    lengths = [(len(c.chosen.split()), len(c.rejected.split())) for c in choices]
    value = length_auc(*map(list, zip(*lengths, strict=True)))
    gap = sum(a - b for a, b in lengths) / len(lengths)
    longer = "longer" if gap > 0 else "shorter"
    text = f"chosen replies are {abs(gap):.1f} words {longer} on average"
    return _finding("preference.length", max(value, 1 - value), choices, text)


def _finding(code: str, value: float, choices: Sequence[Choice], text: str) -> Finding:
    n = len(choices)
    low, high = auc_limits(value, n, n)
    estimate = Estimate(code, value, low, high, n, len({c.prompt for c in choices}), "AUC")
    rows = tuple(c.place for c in choices[:3]) if low > SHORTCUT else ()
    return Finding(code, "found" if low > SHORTCUT else "nothing found", estimate, rows=rows, text=text)
