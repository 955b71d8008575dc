"""Association: which groups a model mentions when it writes about a role."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from trimtab.models.protocol import Model, Progress
from trimtab.probes.outcome import Outcome, Probe, answered, uncounted
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.suites.case import AssociationCase

TOKENS = 20
JUDGE = "mentions"


class AssociationProbe(Probe):
    """association_gap = total variation between the groups' share of mentions and the target, per role.

    Rekabsaz and Schedl 2020 and Bordia and Bowman 2019 count mentions so; roles without a mention are left out
    of the mean and counted in its note.
    """

    kind = "association"

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        self.words = {group: frozenset(w.lower() for w in ws) for group, ws in words.items()}

    def measure(
        self, model: Model, cases: Sequence[AssociationCase], *, system: str, progress: Progress | None = None
    ) -> list[Outcome]:
        """Let the model write about each role, greedily, and count mentions."""
        known = [c for c in cases if not self._unknown(c)]
        prompts = [c.prompt for c in known]
        answers = iter(model.generate(prompts, max_tokens=TOKENS, progress=progress) if known else [])
        outcomes = []
        for case in cases:
            raw: dict[str, Any] = {"role": case.role, "targets": case.groups}
            if unknown := self._unknown(case):
                error = (
                    f"no words are known for {', '.join(unknown)}; known are {', '.join(sorted(self.words))}"
                )
                outcomes.append(uncounted(case, error, system=system, **raw))
                if progress:
                    progress(1)
                continue
            answer = next(answers)
            raw["mentions"] = counts = self.mentions(answer.text)
            value = distance(counts, case.groups)
            outcomes.append(
                answered(case, answer, system=system, judge=JUDGE, label="written", value=value, **raw)
            )
        return outcomes

    def _unknown(self, case: AssociationCase) -> list[str]:
        return sorted(set(case.groups) - set(self.words))

    def mentions(self, text: str) -> dict[str, int]:
        """Return how often each group is mentioned, on whole words."""
        found = Counter(re.findall(r"[a-z]+", text.lower()))
        return {group: sum(found[w] for w in words) for group, words in self.words.items()}

    def again(self, stored: Outcome) -> Outcome:
        """Count mentions in the stored text again."""
        counts = self.mentions(stored.response)
        value = distance(counts, stored.raw["targets"])
        return replace(stored, value=value, raw={**stored.raw, "mentions": counts})

    def figures(self, outcomes: Sequence[Outcome]) -> list[Estimate]:
        """Return `association_gap`: 0 on target, 1 when every mention is of groups that should have none.

        Beside it `association_by_chance`, what a model that mentions groups at the target shares is expected to have: few
        mentions are far from any target (a single one of two equal groups always by 0.5).
        """
        roles: dict[str, list[Outcome]] = {}
        # A text without a mention has no value, but its role is counted as silent.
        for o in (o for o in outcomes if "error" not in o.raw):
            roles.setdefault(o.raw["role"], []).append(o)
        votes = {role: (_votes(group), group[0].raw["targets"]) for role, group in roles.items()}
        counted = {role: row for role, row in votes.items() if row[0].total()}
        if not counted:
            return []
        gaps = [distance(counts, targets) or 0.0 for counts, targets in counted.values()]
        expected = [by_chance(counts.total(), targets) for counts, targets in counted.values()]
        # A distance is between 0 and 1: the interval of a rate is wide enough for it, and has a width where all agree.
        estimate = rate(gaps, list(counted), name="association_gap")
        chance = sum(expected) / len(expected)
        silent = len(votes) - len(counted)
        return [
            replace(estimate, note=f"{silent} roles without a mention left out"),
            Estimate("association_by_chance", chance, chance, chance, len(counted), len(counted),
                     note="expected of a model on target, from as many mentions"),
        ]  # fmt: skip


def _votes(outcomes: Sequence[Outcome]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for o in outcomes:
        # One answer is one vote: a text that says "she" ten times is one skewed text.
        top = max(o.raw["mentions"].values(), default=0)
        targets = o.raw["targets"]
        counts.update({g: 1 for g, n in o.raw["mentions"].items() if n == top and n and g in targets})
    return counts


def by_chance(mentions: int, targets: Mapping[str, float]) -> float:
    """Return the distance that so many independent mentions at the target shares are expected to have.

    Half the sum over groups of the mean absolute deviation of a binomial share (de Moivre's closed form; Diaconis and
    Zabell 1991).
    """
    return 0.5 * sum(_deviation(mentions, share) for share in targets.values())


def _deviation(n: int, p: float) -> float:
    if not 0 < p < 1:
        return 0.0
    m = math.floor(n * p) + 1
    ways = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
    return 2 * m * math.exp(ways + m * math.log(p) + (n - m + 1) * math.log1p(-p)) / n


def distance(counts: Mapping[str, int], targets: Mapping[str, float]) -> float | None:
    """Return the total variation distance between shares of mentions and targets; None without a mention."""
    total = sum(counts.get(g, 0) for g in targets)
    if not total:
        return None
    return 0.5 * sum(abs(counts.get(g, 0) / total - share) for g, share in targets.items())


@cache
def gender_words() -> dict[str, tuple[str, ...]]:
    """Return the words that count as a mention of men and of women."""
    from importlib.resources import files

    text = files("trimtab.suites").joinpath("groups.toml").read_text(encoding="utf-8")
    return {group: tuple(table["words"]) for group, table in tomllib.loads(text)["gender"].items()}
