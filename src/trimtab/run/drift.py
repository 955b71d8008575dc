"""Drift: a model learns from its own output again and again, in several arms, beside a control on real data alone.

Every generation trains the bare weights anew, on what the generation before wrote (Shumailov et al. 2024), on
a share of real data, or on everything written so far (Gerstgrasser et al. 2024). What is trained is a
LoRA adapter, or all weights.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trimtab.charter.charter import Charter
from trimtab.errors import ConfigError, ModelError, Problem
from trimtab.mechanisms.values.records import make_values
from trimtab.mechanisms.writer import Writer
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Messages, Progress
from trimtab.records.record import Lineage, Message, Record, digest
from trimtab.run.config import charter_of
from trimtab.run.directory import Stage
from trimtab.run.drift_measures import Sizes, measure_generation, scored_replies, suites
from trimtab.run.measure import Bar, Suites
from trimtab.training.anchor import anchor_records

Arm = Literal["control", "uncontrolled", "mixed", "reinforced"]
ALL = 100_000  # more than any built-in pool holds
MECHANISM = "drift"
LEAST = 4  # preferences: as few as may be asked for


class DriftConfig(BaseModel):
    """Everything that decides what a drift run does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    seed: int = Field(default=0, ge=0)
    generations: int = Field(default=4, ge=1)
    real_share: float = Field(default=0.25, ge=0, lt=1)
    reinforce: bool = False
    accumulate: bool = False
    records: int = Field(default=80, ge=2)
    tokens: int = Field(default=80, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    authored: int = Field(default=144, ge=4)
    full: bool = False
    sizes: Sizes = Sizes()
    real: str | None = None
    charter: str | None = Field(default=None, min_length=1)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the control first."""
        found: list[Arm] = ["control", "uncontrolled"]
        found += ["mixed"] if self.real_share else []
        found += ["reinforced"] if self.reinforce else []
        return tuple(found)

    def real_records(self, arm: Arm) -> int:
        """Return how many of an arm's records in a generation are real."""
        share = {"control": 1.0, "uncontrolled": 0.0}.get(arm, self.real_share)
        return round(share * self.records)


@dataclass
class Drift:
    """What every generation needs."""

    folder: Path
    config: DriftConfig
    model: LocalModel
    bar: Bar
    time: str = ""

    @cached_property
    def charter(self) -> Charter:
        """The charter that is reinforced and measured, the built-in one where none is named; raises ConfigError."""
        return charter_of(self.config)

    @cached_property
    def suites(self) -> Suites:
        """What each generation is measured on; see `suites_of`."""
        return suites_of(self.config)

    @cached_property
    def pool(self) -> list[Record]:
        """The real records, in an order drawn by the seed."""
        rows = list(self._found[0])
        random.Random(self.config.seed).shuffle(rows)
        if len(rows) < self.config.records:
            fix = f"Ask for fewer with --records, or name other real data with --real; {len(rows)} are here."
            what = f"{self.config.records} records are more than there is real data"
            raise ConfigError(Problem("drift.real", "--records", what, fix))
        return rows

    @cached_property
    def not_real(self) -> str:
        """Which rows of the file of real data are not learned from, and why; empty where all are, or none was named."""
        return "; ".join(f"{n} rows: {why}" for why, n in self._found[1].items())

    @cached_property
    def _found(self) -> tuple[list[Record], Counter[str]]:
        return _read_real(Path(self.config.real)) if self.config.real else (_built_in(self.time), Counter())

    def fresh(self, generation: int) -> list[Record]:
        """Return the real records of a generation (from 1); none is used again before all were."""
        n, start = self.config.records, (generation - 1) * self.config.records
        return [self.pool[(start + i) % len(self.pool)] for i in range(n)]

    def real(self, arm: Arm, generation: int) -> list[Record]:
        """Return the real records that an arm learns from in a generation."""
        return self.fresh(generation)[: self.config.real_records(arm)]

    def seen_before(self, arm: Arm, generation: int) -> int:
        """Return how many of those texts the arm had in an earlier generation: all data is used before any is again."""
        known = {r.id for g in range(1, generation) for r in self.real(arm, g)}
        return sum(r.id in known for r in self.real(arm, generation))

    def prompts(self, generation: int) -> list[Messages]:
        """Return what those records answer: the same prompts in every arm."""
        return [[m.model_dump() for m in (r.messages or ())[:-1]] for r in self.fresh(generation)]

    def stage(self, *names: str) -> Stage:
        """Return a part of the run that is done once."""
        return Stage(self.folder.joinpath("stages", *names))


def suites_of(config: DriftConfig) -> Suites:
    """Return what each generation is measured on; raises ConfigError where the charter leaves too few preferences."""
    found = suites(config.sizes, charter_of(config))
    if (n := len(found["preference_charter"][1])) < LEAST:
        fix = f"Give its principles examples with a prompt, so that {LEAST} or more are held out."
        what = f"{n} preferences of it are held out, too few to watch values by"
        raise ConfigError(Problem("drift.charter", config.charter or "the charter", what, fix))
    return found


def _built_in(time: str) -> list[Record]:
    return anchor_records(ALL, mechanism=MECHANISM, time=time)


def _read_real(path: Path) -> tuple[list[Record], Counter[str]]:
    """Return the records of a file that can be learned from, and how many rows cannot, by reason."""
    from trimtab.records.read import read_records
    from trimtab.training.sft import why_not

    reading = read_records(path)
    reasons = [why_not(r) if r.kind == "sft" else f"of kind {r.kind}" for r in reading.records]
    left_out = Counter(["not a record"] * len(reading.rejected) + [why for why in reasons if why])
    return [r for r, why in zip(reading.records, reasons, strict=True) if not why], left_out


def run_drift(drift: Drift) -> None:
    """Do every generation of every arm that is not finished: generation 0 once, then arm after arm, turn by turn."""
    _same_as_begun(drift)
    _once(drift.stage("start"), lambda stage: _start(drift, stage))
    if drift.config.reinforce:
        _once(drift.stage("values"), lambda stage: _reinforcement(drift, stage))
    for generation in range(1, drift.config.generations + 1):
        for arm in drift.config.arms:
            _once(drift.stage(arm, f"{generation:02d}"), _generation(drift, arm, generation))


def _same_as_begun(drift: Drift) -> None:
    """Refuse to go on with a run on other weights, another charter or other real data under the same name."""
    begun, found = drift.stage("start").done or {}, _about_begun(drift)
    about = {
        "model": f"{drift.config.model} has other weights",
        "charter": f"{drift.config.charter} says something else",
        "real": f"{drift.config.real or 'the documentation of Python'} has other texts",
    }
    for key, now in found.items():
        if begun.get(key, now) != now:
            what = f"{about[key]} than when the unfinished run was started"
            raise ConfigError(
                Problem(f"drift.{key}-changed", str(drift.folder), what, "Start anew with --fresh.")
            )


def _about_begun(drift: Drift) -> dict[str, str]:
    texts = [[m.content for m in r.messages or ()] for r in drift.pool]
    return {"model": drift.model.digest, "charter": drift.charter.digest, "real": digest(texts)}


def _once(stage: Stage, work: Callable[[Stage], dict[str, Any]]) -> None:
    if stage.done is None:
        stage.begin()
        stage.finish(**work(stage))


def _start(drift: Drift, stage: Stage) -> dict[str, Any]:
    """Generation 0: measure the bare model, and let it write what generation 1 learns from."""
    drift.model.set_adapters({})
    return {**_about_begun(drift), **_measured(drift, stage, 1, "start", drift.model)}


def _reinforcement(drift: Drift, stage: Stage) -> dict[str, Any]:
    """Train the values adapter once; the reinforced arm has it beside that of each generation."""
    from trimtab.training.dpo import train_dpo

    writer = Writer(drift.model, stage.folder / "answers", seed=drift.config.seed, progress=drift.bar)
    records = make_values(
        writer, drift.charter, authored=drift.config.authored, contrast=0, time=drift.time
    ).records
    progress = drift.bar("train: values", len(records))
    trained = train_dpo(
        drift.model, records, stage.folder / "adapter", seed=drift.config.seed, progress=progress
    )
    return trained.to_json() | {"folder": "adapter"}


def _generation(drift: Drift, arm: Arm, generation: int) -> Callable[[Stage], dict[str, Any]]:
    def work(stage: Stage) -> dict[str, Any]:
        rows, dropped = learned_from(drift, arm, generation)
        stage.write_records(rows, "learned")
        progress = drift.bar(f"{arm} {generation}: train", len(rows))
        made = stage.folder / ("weights" if drift.config.full else "adapter")
        trained = stage.once("train", lambda: _train(drift, rows, made, generation, progress), made)
        found = _measured(drift, stage, generation + 1, f"{arm} {generation}", _trained(drift, arm, made))
        return {"loss": [trained["first_loss"], trained["last_loss"]], **about(rows, dropped), **found}

    return work


def _train(
    drift: Drift, rows: Sequence[Record], made: Path, generation: int, progress: Progress
) -> dict[str, Any]:
    from trimtab.training.full import train_full
    from trimtab.training.sft import train_sft

    train = train_full if drift.config.full else train_sft
    seed = drift.config.seed * 1000 + generation  # the same for all arms: they differ by their data alone
    return train(drift.model, rows, made, seed=seed, progress=progress).to_json()


def _trained(drift: Drift, arm: Arm, made: Path) -> LocalModel:
    """Return the model that a generation made: the bare weights with an adapter, or weights of its own."""
    reinforcement = {drift.stage("values").folder / "adapter": 1.0} if arm == "reinforced" else {}
    if drift.config.full:
        model = LocalModel(made, name=drift.model.name)
        model.set_adapters(reinforcement)
        return model
    drift.model.set_adapters({made: 1.0, **reinforcement})
    return drift.model


def learned_from(drift: Drift, arm: Arm, generation: int) -> tuple[list[Record], dict[str, int]]:
    """Return what an arm's generation learns from, and how many replies were dropped, by reason.

    With `accumulate` that is what all generations so far learned from, and not the last one's alone.
    """
    real = drift.real(arm, generation)
    written, dropped = _written(drift, arm, generation, len(real))
    before: list[Record] = []
    if drift.config.accumulate and generation > 1:
        before = drift.stage(arm, f"{generation - 1:02d}").records("learned")
    rows = [*before, *real, *written]
    if not rows:
        fix = "Take a model that writes something, or a share of real data with --real-share."
        where = f"{arm}, generation {generation}"
        raise ModelError(Problem("drift.nothing", where, "the model wrote nothing to learn from", fix))
    return rows, dropped


def _written(drift: Drift, arm: Arm, generation: int, skip: int) -> tuple[list[Record], dict[str, int]]:
    before = drift.stage("start") if generation == 1 else drift.stage(arm, f"{generation - 1:02d}")
    replies = [row["reply"] for row in scored_replies(before)]
    lineage = Lineage(
        generator=drift.model.digest, operator="drift", template="{prompt}",
        seed=str(drift.config.seed), depth=generation, time=drift.time,
    )  # fmt: skip
    kept, empty = [], 0
    for prompt, reply in list(zip(drift.prompts(generation), replies, strict=True))[skip:]:
        if not reply.strip():
            empty += 1
            continue
        turns = (*(Message(**m) for m in prompt), Message(role="assistant", content=reply))
        kept.append(
            Record(
                kind="sft", messages=turns, mechanism=MECHANISM, cell=arm, source="synthetic",
                lineage=lineage,
            )
        )  # fmt: skip
    return kept, {"empty reply": empty} if empty else {}


def about(rows: Sequence[Record], dropped: dict[str, int]) -> dict[str, Any]:
    """Return what an auditor asks of the data: how much of it is real, how deep, and by a teacher of the same base."""
    made = [r for r in rows if r.source != "human"]
    return {
        "records": len(rows),
        "real": len(rows) - len(made),
        "depth": max((r.lineage.depth for r in made), default=0),
        "same_base_teacher": len(made) / len(rows) if rows else 0.0,
        "dropped": dropped,
    }


def _measured(
    drift: Drift, stage: Stage, next_generation: int, name: str, model: LocalModel
) -> dict[str, Any]:
    """Measure a model as it is, and keep its replies to the prompts of the next generation."""
    return measure_generation(
        model, stage, drift.suites, drift.prompts(next_generation), bar=drift.bar, name=name,
        tokens=drift.config.tokens, temperature=drift.config.temperature, seed=drift.config.seed,
    )  # fmt: skip
