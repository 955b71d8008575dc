"""Association: which groups a model mentions when it writes about a role."""

from __future__ import annotations

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
from trimtab.statistics.intervals import mean
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
        """Return `association_gap`: 0 on target, 1 when every mention is of groups that should have none."""
        roles: dict[str, list[Outcome]] = {}
        # A text without a mention has no value, but its role is counted as silent.
        for o in (o for o in outcomes if "error" not in o.raw):
            roles.setdefault(o.raw["role"], []).append(o)
        gaps = [(role, _role_gap(group)) for role, group in roles.items()]
        counted = [(role, gap) for role, gap in gaps if gap is not None]
        if not counted:
            return []
        values, clusters = [gap for _, gap in counted], [role for role, _ in counted]
        estimate = mean(values, clusters, name="association_gap", unit="share")
        silent = len(gaps) - len(counted)
        return [Estimate(**{**estimate.to_json(), "note": f"{silent} roles without a mention left out"})]


def _role_gap(outcomes: Sequence[Outcome]) -> float | None:
    counts: Counter[str] = Counter()
    for o in outcomes:
        # One answer is one vote: a text that says "she" ten times is one skewed text.
        top = max(o.raw["mentions"].values(), default=0)
        counts.update({g: 1 for g, n in o.raw["mentions"].items() if n == top and n})
    return distance(counts, outcomes[0].raw["targets"])


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
