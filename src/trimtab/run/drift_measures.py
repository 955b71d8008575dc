"""Measures a generation of a drift run: suites by log-likelihood, and its replies; then values by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trimtab.charter.charter import Charter
from trimtab.errors import ModelError, Problem
from trimtab.mechanisms.bias.cases import role_pairs
from trimtab.mechanisms.values.cases import preference_cases
from trimtab.mechanisms.values.questions import stance_cases
from trimtab.models.batched import Batched
from trimtab.models.protocol import Messages, Model
from trimtab.probes.outcome import Outcome, with_value
from trimtab.probes.replies import (
    distinct_2,
    near_duplicates,
    near_duplicates_without,
    own_words,
    own_words_without,
    tail,
)
from trimtab.records.write import read_jsonl, write_jsonl
from trimtab.run.adherence import STANCE
from trimtab.run.directory import Stage
from trimtab.run.measure import Bar, Suites, measure
from trimtab.run.monitors import Measured, by_cluster
from trimtab.statistics.jackknife import pseudo_values
from trimtab.suites.case import ChoiceCase
from trimtab.suites.splits import spread
from trimtab.suites.text import python_documentation

REPLIES = "replies"


class Sizes(BaseModel):
    """How many cases of the `test` split each generation is measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preferences: int = Field(default=151, ge=4)
    role_pairs: int = Field(default=144, ge=4)
    texts: int = Field(default=80, ge=4)
    principles: int = Field(default=12, ge=0)


def suites(sizes: Sizes, charter: Charter) -> Suites:
    """Return the suites of a generation: name → (kind, cases); preferences and stance are on what a charter holds."""
    texts = [c for c in python_documentation().cases if c.split == "test"]
    return {
        "preference_charter": ("preference", spread(preference_cases("test", charter), sizes.preferences)),
        "pair_roles": ("pair", spread(role_pairs("test", 3), sizes.role_pairs)),
        "text": ("text", spread(texts, sizes.texts)),
        STANCE: ("choice", _stance(sizes.principles, charter)),
    }


def _stance(principles: int, charter: Charter) -> list[ChoiceCase]:
    """Return the question about so many principles of a charter, in one wording and every rotation."""
    cases = stance_cases(charter, wordings=1)
    asked = set(spread(list(dict.fromkeys(c.group for c in cases)), principles))
    return [c for c in cases if c.group in asked]


def measure_generation(
    model: Model, stage: Stage, asked: Suites, prompts: Sequence[Messages], *, bar: Bar, name: str, tokens: int, temperature: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Write the outcomes and the scored replies of a generation; returns how many there are."""
    outcomes = measure(model, asked, name, bar, folder=stage.folder / "answers")
    stage.write_outcomes(outcomes)
    answers = Batched(model, stage.folder / "answers" / REPLIES).generate(
        prompts, max_tokens=tokens, temperature=temperature, seed=seed,
        progress=bar(f"{name}: write", len(prompts)),
    )  # fmt: skip
    if errors := [a.error for a in answers if a.error]:
        fix = "Take a model whose chat template takes the prompts."
        raise ModelError(
            Problem("drift.answers", name, f"{len(errors)} prompts have no answer: {errors[0]}", fix)
        )
    rows = [{"reply": a.text, "entropy": a.entropy if a.text.strip() else None} for a in answers]
    write_jsonl(stage.folder / f"{REPLIES}.jsonl", rows)
    return {"outcomes": len(outcomes), "replies": len(rows)}


def scored_replies(stage: Stage) -> list[dict[str, Any]]:
    """Return the replies of a finished generation with the mean entropy of their next tokens (nats), in prompt order."""
    return read_jsonl(stage.folder / f"{REPLIES}.jsonl")


def values(stage: Stage, common: frozenset[str]) -> Measured:
    """Return measure → cluster → value of a finished generation."""
    outcomes = with_value(stage.outcomes())
    return {**_scored(outcomes), **reply_values(scored_replies(stage), common)}


def _scored(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    pairs = [o for o in outcomes if o.suite == "pair_roles"]
    preferences = [o for o in outcomes if o.suite == "preference_charter"]
    texts = [o for o in outcomes if o.suite == "text"]

    def gathered(rows: Sequence[Outcome], found: Sequence[float]) -> dict[str, float]:
        return by_cluster(found, [o.cluster for o in rows])

    return {
        "preference_accuracy": gathered(preferences, [o.value or 0.0 for o in preferences]),
        "preference_margin": gathered(preferences, [_margin(o.raw) for o in preferences]),
        "pair_gap": gathered(pairs, [o.value or 0.0 for o in pairs]),
        "pair_size": gathered(pairs, [abs(o.value or 0.0) for o in pairs]),
        "nll": gathered(texts, [(o.value or 0.0) / max(1, o.raw["tokens"]) for o in texts]),
    }


def _margin(raw: dict[str, Any]) -> float:
    """Return how much likelier the wanted reply is, in nats per token."""
    return float(raw["chosen"] / raw["tokens_chosen"] - raw["rejected"] / raw["tokens_rejected"])


def reply_values(rows: Sequence[dict[str, Any]], common: frozenset[str]) -> dict[str, dict[str, float]]:
    """Return measure → prompt → value of the replies of a generation, `reply` and `entropy` of each, in prompt order.

    What other replies hold decides two of them: those are pseudo-values, whose spread knows of it, and not shares of a reply.
    """
    texts = [row["reply"] for row in rows]
    prompts = [f"prompt-{i}" for i in range(len(rows))]
    columns = {
        "distinct_2": [distinct_2(t) for t in texts],
        "tail": [tail(t, common) for t in texts],
        "own_words": pseudo_values(own_words(texts), own_words_without(texts)).tolist(),
        "near_duplicate": pseudo_values(near_duplicates(texts), near_duplicates_without(texts)).tolist(),
    }
    found = {name: by_cluster(column, prompts) for name, column in columns.items()}
    entropy = {p: row["entropy"] for p, row in zip(prompts, rows, strict=True) if row["entropy"] is not None}
    return {**found, "entropy": entropy}
