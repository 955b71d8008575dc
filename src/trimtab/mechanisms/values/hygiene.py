"""Hygiene of preference pairs before training: each check a number with its interval, and whether it is a finding.

Here those that need no model; `value_checks` has those that ask one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from trimtab.probes.replies import words
from trimtab.records.record import Record
from trimtab.screens.duplicates import THRESHOLD, jaccard, shingles
from trimtab.screens.preference import preference_findings
from trimtab.screens.sample import Choice
from trimtab.statistics.estimate import Estimate, finite
from trimtab.statistics.intervals import mean, wilson

Status = Literal["found", "nothing found", "not run"]
LENGTH = 0.1  # of the mean length: a gap whose interval lies beyond it is a finding
Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Check:
    """What one check of the pairs came to; `limit` says when it is a finding."""

    name: str
    title: str
    status: Status
    limit: str
    estimate: Estimate | None = None
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "estimate": finite(self.estimate.to_json()) if self.estimate else None}


def hygiene(records: Sequence[Record], seed: int = 0) -> list[Check]:
    """Return the checks of preference records that need no model."""
    pairs = [Choice(r.id, _asked(r), _last(r.chosen), _last(r.rejected)) for r in records]
    principles = [r.cell for r in records]
    return [_length(pairs), *_shortcuts(pairs, seed), _duplicates(pairs), _contradictions(pairs, principles)]


def _asked(record: Record) -> str:
    return "\n".join(m.content for m in (record.chosen or ())[:-1])


def _last(turns: Sequence[Any] | None) -> str:
    return str((turns or ())[-1].content)


def _length(pairs: Sequence[Choice]) -> Check:
    about = "length_gap", "chosen minus rejected, of the mean length"
    limit = f"the interval lies beyond ±{LENGTH:.0%}"
    lengths = [(len(words(p.chosen)), len(words(p.rejected))) for p in pairs]
    usual = sum(map(sum, lengths)) / max(1, 2 * len(lengths))
    if len({p.prompt for p in pairs}) < 2 or not usual:
        return Check(*about, "not run", limit, text="pairs of two prompts or more are needed")
    gaps = [(a - b) / usual for a, b in lengths]
    found = mean(gaps, [p.prompt for p in pairs], name="length_gap", unit="share of the mean length")
    beyond = found.low > LENGTH or found.high < -LENGTH
    text = f"mean length {usual:.1f} words"
    return Check(*about, "found" if beyond else "nothing found", limit, found, text)


def _shortcuts(pairs: Sequence[Choice], seed: int) -> list[Check]:
    names = {
        "preference.words": ("shortcut_words", "AUC of a bag of words"),
        "preference.length": ("shortcut_length", "AUC of length alone"),
    }
    limit = "the interval lies above 0.6"
    return [
        Check(
            *names[f.code], "not run" if f.status == "not run" else "found" if f.status == "found" else "nothing found",
            limit, f.estimate, f.text,
        )
        for f in preference_findings(pairs, seed)
    ]  # fmt: skip


def _duplicates(pairs: Sequence[Choice]) -> Check:
    whole = [_shingled(f"{p.prompt} {p.chosen} {p.rejected}") for p in pairs]
    repeats = {j for _, j in _alike(whole)}
    title = f"pairs that repeat another ({THRESHOLD:.0%} of their word triples)"
    return _share("duplicates", title, len(repeats), len(pairs), "any")


def _contradictions(pairs: Sequence[Choice], principles: Sequence[str]) -> Check:
    """Count the pairs whose wanted reply is another's unwanted one, to nearly the same prompt."""
    prompts = [_shingled(p.prompt) for p in pairs]
    chosen, rejected = [_shingled(p.chosen) for p in pairs], [_shingled(p.rejected) for p in pairs]
    against: set[int] = set()
    between: Counter[str] = Counter()
    for i, j in _alike(prompts):
        if _near(chosen[i], rejected[j]) or _near(rejected[i], chosen[j]):
            against |= {i, j}
            between[" and ".join(sorted({principles[i], principles[j]}))] += 1
    title = "pairs that another pair contradicts"
    check = _share("contradictions", title, len(against), len(pairs), "any")
    return replace(check, text=", ".join(f"{names} ({n})" for names, n in between.most_common(3)))


def _share(name: str, title: str, found: int, n: int, limit: str) -> Check:
    if not n:
        return Check(name, title, "not run", limit, text="no pairs")
    low, high = wilson(found / n, n)
    estimate = Estimate(name, found / n, low, high, n, n)
    return Check(name, title, "found" if found else "nothing found", limit, estimate, f"{found} of {n}")


def _shingled(text: str) -> Shingles:
    return shingles(words(text))


def _near(one: Shingles, other: Shingles) -> bool:
    return jaccard(one, other) >= THRESHOLD


def _alike(texts: Sequence[Shingles]) -> list[tuple[int, int]]:
    """Return the places i < j of texts that are nearly the same.

    Two of them share one of their rarest word triples at least, so only those are looked up (Bayardo et al. 2007).
    """
    counts = Counter(s for text in texts for s in text)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        rarest = sorted(text, key=lambda s: (counts[s], s))
        for shingle in rarest[: len(text) - math.ceil(THRESHOLD * len(text)) + 1]:
            holders[shingle].append(i)
    candidates = {pair for places in holders.values() for pair in combinations(places, 2)}
    return sorted((i, j) for i, j in candidates if _near(texts[i], texts[j]))
