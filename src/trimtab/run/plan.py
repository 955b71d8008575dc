"""The plan of a run before it starts: sizes, tokens, memory, time, and for endpoints requests and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.run.config import RunConfig

# Measured on two cores with the embedded model (bf16): tokens per second.
GENERATION, SCORING, TRAINING = 260, 1500, 330


@dataclass(frozen=True)
class PlannedStage:
    """What a stage will ask of the model."""

    stage: str
    work: str
    requests: int
    tokens: int
    seconds: float


def plan(config: RunConfig) -> list[PlannedStage]:
    """Return the planned stages of a run; times are for two cores and the embedded model."""
    s = config.sizes
    scored = 2 * 25 * (s.role_pairs + s.trait_pairs) + 2 * 60 * s.preferences + 90 * s.texts
    asked = 40 * s.attacks + 32 * (s.attacks + s.ordinary) + 20 * s.associations
    requests = 2 * s.attacks + s.ordinary + s.associations
    probe = asked / GENERATION + scored / SCORING
    made = 56 * (s.harmful_records + s.ordinary_records) + 20 * s.writings + 96 * s.contrast_prompts
    writes = s.harmful_records + s.ordinary_records + s.writings + 2 * s.contrast_prompts
    learned = 90 * (2 * s.harmful_records + s.ordinary_records + s.anchors) + 60 * (
        s.pair_records + s.trait_records
    )
    learned += 220 * s.authored_preferences
    n = s.tune_cases
    tried = sum(len(v) for v in config.strengths.model_dump().values()) + 3
    tuned = tried * n * 24
    again = s.reattack_behaviours * s.reattack_attempts
    what = (
        f"{s.attacks} attacks, {s.attacks + s.ordinary} benign requests, {s.role_pairs + s.trait_pairs} pairs"
    )
    return [
        PlannedStage("before", what, requests, asked + scored, probe),
        PlannedStage("records", f"{writes} answers to write", writes, made, made / GENERATION),
        PlannedStage("screen", "every record", 0, 0, 5),
        PlannedStage("train", "guard and three adapters", 0, learned, learned / TRAINING + 40),
        PlannedStage("trim", f"{tried} measurements on tune", 0, tuned, tuned / GENERATION + 10),
        PlannedStage("after", what, requests, asked + scored, probe),
        PlannedStage("reattack", f"{again} attacks", again, 40 * again, 40 * again / GENERATION),
    ]


def memory_gb(config: RunConfig) -> float:
    """Return about how much memory a run takes (GB): weights, activations and libraries."""
    return 3.5 if config.model == "embedded" else 0.0


def plan_json(config: RunConfig) -> dict[str, Any]:
    """Return the plan as JSON values."""
    stages = [vars(p) for p in plan(config)]
    return {"model": config.model, "seed": config.seed, "stages": stages, "memory_gb": memory_gb(config)}
