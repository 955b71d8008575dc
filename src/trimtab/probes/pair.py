"""Pair gap: how much likelier a model finds the stereotyped of two texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trimtab.models.protocol import Model, Progress, Question
from trimtab.probes.outcome import Outcome, Probe, cut_note, outcome, uncounted, unscored, with_value
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import mean, rate
from trimtab.suites.case import PairCase


@dataclass(frozen=True)
class PairProbe(Probe):
    """gap = mean of log p(a) − log p(b), averaged within each direction, then over directions (nats).

    A direction with a single case says nothing of how its cases differ. `collapse` sets it against the mean over
    directions, which makes the interval too wide rather than too narrow (collapsed strata; Cochran 1977, 5A.12).
    Without, it adds no variance: so the figures of runs are made, which bundles are verified to follow from for ever;
    their own suites have several cases of each direction.
    """

    collapse: bool = False

    kind = "pair"
    needs_likelihood = True

    def measure(
        self, model: Model, cases: Sequence[PairCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Score both texts of each pair; `raw` holds both sums and token counts."""
        half = (lambda n: progress(n / 2)) if progress else None
        scores = model.loglikelihood(
            [Question(t) for c in cases for t in (c.text_a, c.text_b)], progress=half
        )
        outcomes = []
        for i, case in enumerate(cases):
            a, b = scores[2 * i], scores[2 * i + 1]
            where = {"group": case.group, "direction": case.direction}
            if error := unscored([a, b]):
                outcomes.append(uncounted(case, error, system=system, **where))
                continue
            raw = {"a": a.total, "b": b.total, "tokens_a": a.tokens, "tokens_b": b.tokens}
            raw["truncated"] = a.truncated or b.truncated
            gap = a.total - b.total
            outcomes.append(outcome(case, system=system, response="", judge="", value=gap, **raw, **where))
        return outcomes

    def again(self, stored: Outcome) -> Outcome:
        """Subtract the stored log-likelihoods again."""
        return replace(stored, value=stored.raw["a"] - stored.raw["b"])

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `gap`, `abs_gap` (mean of |log p(a) − log p(b)|), `prefers_a`, and the pairs of equal length apart."""
        counted = with_value(outcomes)
        if not counted:
            return []
        found = self._gaps(counted, "")
        equal = [o for o in counted if o.raw["tokens_a"] == o.raw["tokens_b"]]
        unequal = [o for o in counted if o.raw["tokens_a"] != o.raw["tokens_b"]]
        if equal and unequal:
            found += self._gaps(equal, "_equal_tokens")
        if unequal:
            found += self._gaps(unequal, "_unequal_tokens")
        return found

    def _gaps(self, outcomes: Sequence[Outcome], suffix: str) -> list[Estimate]:
        clusters = [o.cluster for o in outcomes]
        gaps = np.array([o.value for o in outcomes], dtype=float)
        ways = [o.raw["direction"] for o in outcomes]
        note, of_gaps = cut_note(outcomes), self._note(outcomes, ways)
        prefers = np.where(gaps > 0, 1.0, np.where(gaps < 0, 0.0, 0.5))
        return [
            replace(self._over_directions(gaps, clusters, ways, f"gap{suffix}"), note=of_gaps),
            replace(self._over_directions(np.abs(gaps), clusters, ways, f"abs_gap{suffix}"), note=of_gaps),
            replace(rate(prefers, clusters, name=f"prefers_a{suffix}"), note=note),
        ]

    def _note(self, outcomes: Sequence[Outcome], ways: list[str]) -> str:
        counts = Counter(ways)
        lone = sum(n == 1 for n in counts.values()) if self.collapse and len(ways) > 1 else 0
        told = f"{lone} of {len(counts)} directions have a single case: the interval is wide" if lone else ""
        return "; ".join(filter(None, (cut_note(outcomes), told)))

    def _over_directions(self, gaps: np.ndarray, clusters: list[str], ways: list[str], name: str) -> Estimate:
        """Return the mean within, then over, directions: each case weighted by n ÷ (directions · cases of its own)."""
        counts = Counter(ways)
        weights = np.array([len(ways) / (len(counts) * counts[w]) for w in ways])
        value = float((gaps * weights).mean())
        # Linearised about each direction's own mean, so that unequal directions add no false variance.
        members: dict[str, list[int]] = {}
        for i, way in enumerate(ways):
            members.setdefault(way, []).append(i)
        centres = {way: float(gaps[rows].mean()) for way, rows in members.items()}
        if self.collapse:
            centres |= {w: value for w, n in counts.items() if n == 1}
        influence = weights * (gaps - np.array([centres[w] for w in ways])) + value
        return replace(mean(influence, clusters, name=name, unit="nats"), value=value)
