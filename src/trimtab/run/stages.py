"""The loop, stage by stage. Each stage reads what the earlier ones wrote, and is not done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.charter.charter import Charter
from trimtab.errors import ConfigError, Problem
from trimtab.mechanisms.adversarial.guard_prompts import about_prompts, learn_prompts, tune_prompts
from trimtab.mechanisms.adversarial.records import make_adversarial
from trimtab.mechanisms.bias.records import make_bias
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.values.cases import held_out
from trimtab.mechanisms.values.hygiene import hygiene
from trimtab.mechanisms.values.records import make_values
from trimtab.mechanisms.writer import Writer
from trimtab.models.batched import Batched
from trimtab.models.guard import Guard, load_guard
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Model
from trimtab.models.system import System, adapter_folder, part_digests, write_system
from trimtab.probes.registry import probe_for
from trimtab.records.record import Record
from trimtab.run import evidence
from trimtab.run.config import RunConfig, charter_of
from trimtab.run.directory import RunDirectory, Stage
from trimtab.run.frontier import frontier
from trimtab.run.measure import (
    Bar,
    blocked_items,
    guarded,
    measure,
    reattack_cases,
    test_suites,
    tune_suites,
)
from trimtab.run.screen import screen
from trimtab.run.together import settle
from trimtab.run.trim import RULE, Tuning, sweep
from trimtab.training.anchor import anchor_about, anchor_records, own_answers, refusals, retention_about

if TYPE_CHECKING:
    from trimtab.training.adapter import Trained

REFUSAL_RANK = 32  # of the adversarial adapter: what to refuse is many things, and rank 8 breaks more answers
ANSWERS = "answers"  # the folder of a stage in which finished batches are kept


@dataclass
class Loop:
    """What every stage needs."""

    run: RunDirectory
    config: RunConfig
    model: Model
    bar: Bar

    @cached_property
    def charter(self) -> Charter:
        """The charter that is taught, and that preferences are measured on."""
        return charter_of(self.config)

    @cached_property
    def guard(self) -> Guard | None:
        """The guard that was fitted, None where none was: after the stage `train`; its readers are loaded once."""
        folder = self.run.folder / "guard"
        return load_guard(folder) if folder.exists() else None

    @property
    def trained(self) -> LocalModel | None:
        """The model, where adapters can be trained on it here; records and the guard are made in any case."""
        model = self.model
        return model if isinstance(model, LocalModel) and model.capabilities.trainable else None


def run_loop(loop: Loop) -> None:
    """Run every stage that is not finished, in order; the ledger holds the terms first and then each result."""
    _same_model(loop)
    evidence.started(loop.run, loop.config, loop.model.digest)
    for name, work in STAGES.items():
        stage = loop.run.stage(name)
        if stage.done is None:
            stage.begin()
            stage.finish(**work(loop, stage))
        evidence.stage_done(loop.run, name)


def _same_model(loop: Loop) -> None:
    """Refuse to go on with a run on other weights under the same name."""
    known = (loop.run.stage("before").done or {}).get("model", loop.model.digest)
    if known != loop.model.digest:
        fix = "Use the model that the run was started with, or start anew with --fresh."
        what = f"{loop.config.model} has other weights than when the unfinished run was started"
        raise ConfigError(Problem("run.model-changed", f"{loop.run.folder}, model", what, fix))


def before(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Measure the bare model on `test`."""
    _bare(loop)
    suites = test_suites(loop.config.sizes, loop.charter)
    outcomes = measure(loop.model, suites, "before", loop.bar, folder=stage.folder / ANSWERS)
    stage.write_outcomes(outcomes)
    out, bare = held_out(loop.charter)
    about = {"not_held": out, "without_pairs": bare}
    return {"outcomes": len(outcomes), "model": loop.model.digest, "preferences": about}


def records(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Let each mechanism make its records."""
    _bare(loop)
    sizes, time = loop.config.sizes, loop.run.about["started"]
    writer = Writer(loop.model, stage.folder / ANSWERS, seed=loop.config.seed, progress=loop.bar)
    charter = loop.charter
    makers: Mapping[str, Callable[[], Made]] = {
        "adversarial": lambda: make_adversarial(
            writer, harmful=sizes.harmful_records, ordinary_requests=sizes.ordinary_records, time=time
        ),
        "bias": lambda: make_bias(
            writer, writings=sizes.writings, pairs=sizes.pair_records, traits=sizes.trait_records, time=time
        ),
        "values": lambda: make_values(
            writer, charter, authored=sizes.authored_preferences, contrast=sizes.contrast_prompts, time=time
        ),
    }
    results: dict[str, Any] = {"charter": charter.digest}
    for mechanism in loop.config.mechanisms:
        made = makers[mechanism]()
        stage.write_records(made.records, mechanism)
        about = {"dropped": dict(made.dropped), "missing": dict(made.missing), "left_out": made.left_out}
        results[mechanism] = {"made": len(made.records), **about}
    return results


def screened(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Screen the records of each mechanism against the cases of `test`."""
    measured = [c for _, cases in test_suites(loop.config.sizes, loop.charter).values() for c in cases]
    results: dict[str, Any] = {}
    for mechanism in loop.config.mechanisms:
        kept, dropped = screen(loop.run.stage("records").records(mechanism), measured)
        stage.write_records(kept, mechanism)
        reasons = Counter(reason for _, reason in dropped)
        results[mechanism] = {"kept": len(kept), "dropped": dict(reasons)}
        if mechanism == "values":
            results[mechanism]["hygiene"] = [c.to_json() for c in hygiene(kept, loop.config.seed)]
    return results


def train(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Fit the guard, and one adapter for each mechanism where the model can be trained."""
    guard = loop.run.folder / "guard"
    results: dict[str, Any] = {"guard": stage.once("guard", lambda: _train_guard(loop, guard), guard)}
    if model := loop.trained:
        for mechanism in loop.config.mechanisms:
            work = partial(_train_adapter, loop, model, mechanism)
            results[mechanism] = stage.once(mechanism, work, adapter_folder(loop.run.folder, mechanism))
    return results


def _train_guard(loop: Loop, folder: Path) -> dict[str, Any]:
    from trimtab.training.guard import GuardData, guard_steps, train_guard

    if "adversarial" not in loop.config.mechanisms:
        return {}
    most = loop.config.sizes.guard_prompts
    data = GuardData(*learn_prompts(most), *tune_prompts(most))
    progress = loop.bar("train: guard", guard_steps(data))
    guard = train_guard(data, folder, seed=loop.config.seed, progress=progress)
    prompts = about_prompts(vars(data), most)
    return {"digest": guard.digest, "threshold": guard.threshold, **guard.about, "prompts": prompts}


def _train_adapter(loop: Loop, model: LocalModel, mechanism: str) -> dict[str, Any]:
    kept = loop.run.stage("screen").records(mechanism)
    if not kept:
        return {"records": 0}
    trainer, rows, about = _training(loop, model, mechanism, kept)
    folder = adapter_folder(loop.run.folder, mechanism)
    progress = loop.bar(f"train: {mechanism}", len(rows))
    trained = trainer(model, rows, folder, seed=loop.config.seed, progress=progress)
    return {**trained.to_json(), "folder": folder.name, **about}


def _training(
    loop: Loop, model: LocalModel, mechanism: str, kept: list[Record]
) -> tuple[Callable[..., Trained], list[Record], dict[str, Any]]:
    """Return what trains the adapter of a mechanism, all that it learns, and what is told of texts beside its records."""
    from trimtab.training import dpo, equalise
    from trimtab.training.retention import is_read
    from trimtab.training.sft import train_sft

    def real_texts(number: int) -> list[Record]:
        return anchor_records(number, mechanism=mechanism, time=loop.run.about["started"])

    if mechanism == "adversarial":
        anchors = real_texts(loop.config.sizes.anchors)
        about = {"anchor": anchor_about(len(kept), len(anchors))}
        return partial(train_sft, rank=REFUSAL_RANK), [*kept, *anchors], about
    real = real_texts(loop.config.sizes.retained_texts)
    # Refusals too: what teaches a model to answer in one way makes it answer what it refused before.
    requests = _requests(loop) if real else []
    kinds = real, own_answers(requests, model.digest), refusals(requests)
    real, own, refused = ([t for t in texts if is_read(model, t)] for texts in kinds)
    too_long = sum(map(len, kinds)) - len(real) - len(own) - len(refused)
    bias = mechanism == "bias"
    train: Callable[..., Trained] = equalise.train_equalise if bias else dpo.train_dpo
    loops = equalise.LOOPS if bias else dpo.LOOPS
    about = {"retention": retention_about(len(real), len(own), len(refused), loops) | {"too_long": too_long}}
    return partial(train, texts=[*real, *own, *refused]), kept, about


def _requests(loop: Loop) -> list[Record]:
    """Return the records of the adversarial mechanism, some of which the model answered itself."""
    return loop.run.stage("screen").records("adversarial") if "adversarial" in loop.config.mechanisms else []


def trim(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Sweep the strengths on `tune`, choose, and write the system."""
    trained = loop.run.stage("train").done or {}
    mechanisms = [m for m in loop.config.mechanisms if trained.get(m, {}).get("records")]
    points: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    together: list[dict[str, Any]] = []
    if model := loop.trained:
        strengths = loop.config.strengths.model_dump()
        suites = tune_suites(loop.config.sizes, loop.charter)
        answers = stage.folder / ANSWERS
        asked = {n: suites[n] for n in ("attack", "twins", "ordinary")}
        blocked = blocked_items(loop.guard, asked) if loop.guard else {}
        tuning = Tuning(model, loop.run.folder, suites, loop.bar, blocked, answers)
        points = sweep(tuning, mechanisms, strengths)
        together = settle(model, loop.run.folder, points, suites, loop.bar, answers)
        if "values" in mechanisms:
            values = frontier(model, loop.run.folder, strengths["values"], suites, loop.bar, answers)
    chosen = {p["mechanism"]: p["strength"] for p in points if p["chosen"]}
    write_system(
        loop.run.folder,
        # Of a hub model its commit too: the name alone will be another model one day.
        base=loop.model.name if loop.trained else loop.config.model,
        base_digest=loop.model.digest,
        strengths=chosen,
        guard=bool(trained.get("guard")),
    )
    return {"rule": RULE, "points": points, "together": together, "strengths": chosen, "frontier": values}


def after(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Measure the system on `test`; adapters without the guard, and the guard alone, beside it."""
    system = _system(loop)
    suites = test_suites(loop.config.sizes, loop.charter)
    alone = loop.run.stage("before").outcomes()
    if any(system.strengths.values()):
        adapters = measure(system.model, suites, "without guard", loop.bar, folder=stage.folder / ANSWERS)
        stage.write_outcomes(adapters, "without_guard")
    else:
        adapters = alone
    blocked = blocked_items(system.guard, suites) if system.guard else {}
    stage.write_outcomes(guarded(adapters, blocked, "after"))
    stage.write_outcomes(guarded(alone, blocked, "guard alone"), "guard_alone")
    return {"system": system.digest, "name": system.name, "blocked": sum(blocked.values())}


def reattack(loop: Loop, stage: Stage) -> dict[str, Any]:
    """Attack the hardened system again, with a fresh budget of other wrappings on each behaviour."""
    cases = reattack_cases(loop.config.sizes)
    progress = loop.bar("re-attack", len(cases))
    system = _system(loop)
    system = replace(system, model=Batched(system.model, stage.folder / ANSWERS))
    outcomes = probe_for("attack").measure(system, cases, system="after", progress=progress) if cases else []
    stage.write_outcomes(outcomes)
    behaviours, attempts = len({c.behavior for c in cases}), loop.config.sizes.reattack_attempts
    return {"behaviours": behaviours, "attempts": attempts, "cases": len(cases)}


def _bare(loop: Loop) -> None:
    if isinstance(loop.model, LocalModel):
        loop.model.set_adapters({})


def _system(loop: Loop) -> System:
    """Return the system that trim wrote, on the model that is loaded already."""
    done = loop.run.stage("trim").done or {}
    strengths: dict[str, float] = done.get("strengths", {})
    if isinstance(loop.model, LocalModel):
        loop.model.set_adapters({adapter_folder(loop.run.folder, m): s for m, s in strengths.items()})
    used = [m for m, s in strengths.items() if s]
    return System(loop.model, loop.guard, strengths, part_digests(loop.run.folder, used))


STAGES: Mapping[str, Callable[[Loop, Stage], dict[str, Any]]] = {
    "before": before,
    "records": records,
    "screen": screened,
    "train": train,
    "trim": trim,
    "after": after,
    "reattack": reattack,
}
