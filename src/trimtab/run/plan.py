"""The plan of a run before it starts: sizes, tokens, memory, time, and for endpoints requests and cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trimtab.engine import check_engine
from trimtab.errors import ConfigError, Problem, TrimtabError
from trimtab.models.folder import weights_in
from trimtab.models.load import check_model
from trimtab.run.config import FRONTIER_TWINS, RunConfig, charter_of, check_charter
from trimtab.run.directory import check_root
from trimtab.run.measure import test_suites


@dataclass(frozen=True)
class Pace:
    """Tokens that two cores write, score and learn in a second with the embedded model, in a number format of some bytes.

    `guard`: those that the fit of the guard comes to, as if they were scored. `begin`: seconds by which few answers, asked
    together or learned from, take longer than their tokens say.
    """

    format: str
    bytes: int
    generation: float
    scoring: float
    training: float
    guard: float
    begin: float


# Measured on the stages of a run and their suites; what it takes to begin in bfloat16 is reckoned from float32, where
# prompts of a hundred tokens are read within what it writes.
BF16 = Pace("bfloat16", 2, 190, 1080, 385, 650, 1.8)
FLOAT32 = Pace("float32", 4, 72, 290, 130, 290, 4.5)
# What fitting the guard takes for each of `guard_prompts`, as tokens that the model would score: counted from
# what 3,320 prompts took in float32, 13 minutes.
GUARD = 67
RETAINED = 85  # what keeping to the bare model, and from loops, takes for each pair, likewise as tokens that are learned
EMBEDDED = 134_515_008  # weights
# Of torch and the embedder; of weights, activations and an adapter; of a batch that is learned from, for each byte of a number
# (its logits, and what is kept of texts that come again): the embedded model's run came to 6.8 GB in bfloat16. Training
# gives memory back since then, and a whole run was not measured again: this is rather too much.
LIBRARIES_GB, PER_WEIGHTS, BATCH_GB = 3.0, 2.0, 1.6
# Of an endpoint: tokens that one request writes in a second, and seconds until it begins.
ENDPOINT_RATE, ENDPOINT_WAIT = 40, 0.5
# Mean tokens of a prompt in the built-in suites, at four characters a token.
ATTACK, TWIN, ORDINARY, SHORT, PAIR, REPLY, TEXT = 95, 95, 70, 20, 20, 60, 90


@dataclass(frozen=True)
class PlannedStage:
    """What a stage will ask of the model: requests, tokens read and written by them, tokens scored or learned.

    Tokens written are a ceiling: an answer may end early. `seconds` on two cores at the plan's pace, or as an endpoint usually answers.
    """

    stage: str
    work: str
    requests: int
    read: int
    written: int
    other: int
    seconds: float

    @property
    def tokens(self) -> int:
        """All tokens of the stage."""
        return self.read + self.written + self.other


@dataclass(frozen=True)
class Plan:
    """The stages, memory (GB; None where the weights are not here yet) and cost (USD; None without a price).

    `machine_gb`: what this machine has; None where it is not known or does not count, such as beside a GPU.
    """

    config: RunConfig
    pace: Pace
    stages: list[PlannedStage]
    memory_gb: float | None
    cost_usd: float | None
    machine_gb: float | None = None

    @property
    def requests(self) -> int:
        """All requests of the run, if the model is an endpoint."""
        return sum(s.requests for s in self.stages)

    @property
    def warnings(self) -> list[str]:
        """What would stop the run before its end, and where the plan is not what was asked for."""
        caps, found = self.config.endpoint, beyond(self.config)
        if self.memory_gb is None:
            found.append(
                f"the time is that of a model of {EMBEDDED / 1e6:.0f} million weights: how many {self.config.model} has shows once it is here"
            )
        if self.memory_gb and self.machine_gb and self.memory_gb > self.machine_gb:
            found.append(
                f"about {self.memory_gb} GB of memory is more than the {self.machine_gb:.1f} GB that are here"
            )
        if is_endpoint(self.config):
            if caps.max_requests is not None and self.requests > caps.max_requests:
                found.append(f"endpoint.max_requests = {caps.max_requests} is less than the plan")
            if caps.max_cost_usd is not None and (self.cost_usd or 0) > caps.max_cost_usd:
                found.append(f"endpoint.max_cost_usd = {caps.max_cost_usd:g} is less than the plan")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        stages = [{**asdict(s), "tokens": s.tokens} for s in self.stages]
        about = {"model": self.config.model, "seed": self.config.seed, "stages": stages}
        total = {"requests": self.requests, "tokens": sum(s.tokens for s in self.stages)}
        seconds = round(sum(s.seconds for s in self.stages), 1)
        about["format"] = None if is_endpoint(self.config) else self.pace.format
        costs = {"memory_gb": self.memory_gb, "cost_usd": self.cost_usd, "warnings": self.warnings}
        return {**about, **total, "seconds": seconds, **costs}


def plan(config: RunConfig, pace: Pace = BF16, machine_gb: float | None = None) -> Plan:
    """Return the plan of a run at a pace, on a machine of so much memory; nothing is loaded, fetched or asked for it."""
    stages = [
        _measure(config, pace, "before"),
        _records(config, pace),
        PlannedStage("screen", "every record", 0, 0, 0, 0, 5),
    ]
    stages += [_train(config, pace), _trim(config, pace), _after(config, pace), _reattack(config, pace)]
    return Plan(config, pace, stages, memory_gb(config, pace), _cost(config, stages), machine_gb)


def pace_here(config: RunConfig) -> Pace:
    """Return the pace that fits the number format which a model would be run in on this machine."""
    if is_endpoint(config) or find_spec("torch") is None:
        return BF16
    import torch

    from trimtab.models.local import pick_device

    return FLOAT32 if pick_device()[1] == torch.float32 else BF16


def check_run(config: RunConfig, engine: str = "native", root: Path | None = None) -> None:
    """Raise ConfigError with everything that would end a run in `root` before its first stage, as far as it shows unloaded."""
    checks: list[Callable[[], object]] = [
        partial(check_engine, engine),
        partial(check_model, config.model, config.endpoint.limits),
        partial(check_charter, config),
    ]
    checks += [partial(check_root, root)] if root else []
    problems: list[Problem] = []
    for check in checks:
        try:
            check()
        except TrimtabError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


def is_endpoint(config: RunConfig) -> bool:
    """Return whether the model is behind an endpoint: asked by request, and not trained here."""
    return config.model.startswith("openai/")


def memory_gb(config: RunConfig, pace: Pace = BF16) -> float | None:
    """Return about how much memory a run takes (GB): weights, activations, libraries; None if the size is not known.

    Weights are held in the pace's number format, whatever they were saved in.
    """
    if is_endpoint(config):
        return LIBRARIES_GB  # the guard's embedder
    weights = _weights(config)
    if weights is None:
        return None
    return round(LIBRARIES_GB + pace.bytes * (BATCH_GB + PER_WEIGHTS * weights / 1e9), 1)


def _weights(config: RunConfig) -> int | None:
    if config.model == "embedded":
        return EMBEDDED
    folder = Path(config.model.removeprefix("dir/"))
    return weights_in(folder) if config.model.startswith("dir/") and folder.is_dir() else None


def memory_here(config: RunConfig) -> float | None:
    """Return the memory of this machine or its container (GB); None where a GPU holds the model, or it cannot be told."""
    if not is_endpoint(config) and find_spec("torch"):
        from trimtab.models.local import pick_device

        if pick_device()[0] != "cpu":
            return None
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return None  # no such figure on this system
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        sizes.append(int(text))
    return min(sizes) / 1e9


def beyond(config: RunConfig) -> list[str]:
    """Return the sizes of the `test` split that are more than there is; how many preferences, the charter decides."""
    asked = config.sizes.model_dump(exclude={"preferences"})
    there = cases_there(config)
    return [
        f"sizes.{name} = {n}: there are {there[name]}" for name, n in asked.items() if there.get(name, n) < n
    ]


def cases_there(config: RunConfig) -> dict[str, int]:
    """Return how many cases of each size that is asked for there are in the `test` split."""
    suites = {name: len(cases) for name, (_, cases) in test_suites(config.sizes, charter_of(config)).items()}
    named = {"attacks": "attack", "ordinary": "ordinary", "role_pairs": "pair_roles", "trait_pairs": "pair_traits",
             "preferences": "preference_charter", "texts": "text", "associations": "association"}  # fmt: skip
    return {size: suites[suite] for size, suite in named.items()}


def _stage(
    config: RunConfig, pace: Pace, name: str, work: str, asked: list[tuple[int, int, int]], *, scored: int = 0,
    learned: int = 0,
) -> PlannedStage:  # fmt: skip
    """Return a stage that asks (times, tokens read, tokens written) each, and scores and learns tokens."""
    requests = sum(n for n, _, _ in asked)
    read, written = (sum(row[0] * row[i] for row in asked) for i in (1, 2))
    if is_endpoint(config):
        seconds = (written / ENDPOINT_RATE + requests * ENDPOINT_WAIT) / config.endpoint.concurrency
        scored = learned = 0
    else:
        slower = (_weights(config) or EMBEDDED) / EMBEDDED
        seconds = slower * (written / pace.generation + scored / pace.scoring + learned / pace.training)
        seconds += slower * pace.begin * sum(n > 0 for n, _, _ in asked)
    return PlannedStage(name, work, requests, read, written, scored + learned, seconds)


def _measure(config: RunConfig, pace: Pace, name: str) -> PlannedStage:
    s = config.sizes.model_copy(update=cases_there(config))
    asked = [(s.attacks, ATTACK, 40), (2 * s.attacks, TWIN, 32), (s.ordinary, ORDINARY, 32)]
    asked.append((s.associations, SHORT, 20))
    pairs = s.role_pairs + s.trait_pairs
    scored = 2 * PAIR * pairs + 2 * REPLY * s.preferences + TEXT * s.texts
    benign = 2 * s.attacks + s.ordinary
    work = f"{s.attacks} attacks, {benign} benign requests, {s.associations} texts to write"
    if not is_endpoint(config):
        work += f", {pairs} pairs, {s.preferences} preferences, {s.texts} texts"
    return _stage(config, pace, name, work, asked, scored=scored)


def _records(config: RunConfig, pace: Pace) -> PlannedStage:
    s, asked = config.sizes, []
    if "adversarial" in config.mechanisms:
        asked += [(s.harmful_records, TWIN, 24), (s.ordinary_records, ORDINARY, 24)]
    if "bias" in config.mechanisms:
        asked.append((s.writings, SHORT, 20))
    if "values" in config.mechanisms:
        asked.append((2 * s.contrast_prompts, 3 * SHORT, 48))
    return _stage(config, pace, "records", f"{sum(n for n, _, _ in asked)} answers to write", asked)


def _train(config: RunConfig, pace: Pace) -> PlannedStage:
    s, guard = config.sizes, "adversarial" in config.mechanisms
    retained = RETAINED if s.retained_texts else 0
    learned = {
        "adversarial": 70 * (2 * s.harmful_records + s.ordinary_records + s.anchors),
        "bias": (3 * PAIR + retained) * (s.pair_records + s.trait_records),
        "values": (220 + retained) * s.authored_preferences,
    }
    adapters = [] if is_endpoint(config) else [f"adapter {m}" for m in config.mechanisms]
    work = ", ".join([*(["guard"] if guard else []), *adapters]) or "nothing can be trained"
    total = sum(learned[m] for m in config.mechanisms)
    stage = _stage(config, pace, "train", work, [], learned=total)
    # The guard is fitted here, whoever answers, and its readers are the same for every model.
    read = GUARD * s.guard_prompts if guard else 0
    counted = 0 if is_endpoint(config) else read  # what is read here costs nothing there
    begin = pace.begin * (2 * guard + len(adapters))  # the guard has two readers
    return replace(stage, other=stage.other + counted, seconds=stage.seconds + read / pace.guard + begin)


def _trim(config: RunConfig, pace: Pace) -> PlannedStage:
    if is_endpoint(config):
        return PlannedStage("trim", "nothing: no adapter", 0, 0, 0, 0, 0)
    n, tried = config.sizes.tune_cases, {m: len(getattr(config.strengths, m)) + 1 for m in config.mechanisms}
    # Each behaviour is wrapped three times, and most are blocked before the model is asked.
    asked = [(n, ATTACK, 40)] * tried.get("adversarial", 0)
    # Strength 0 beside others is not the bare model, from whose refusals the limits count.
    refusing = tried["adversarial"] + (len(tried) > 1) if "adversarial" in tried else 0
    asked += [(2 * n, TWIN, 32), (2 * n, ORDINARY, 32)] * refusing
    if "values" in tried:
        bare = 0 if "adversarial" in tried else 2 * n  # or that sweep has asked them
        few = min(FRONTIER_TWINS, 2 * n)
        asked += [(bare, TWIN, 32), *[(few, TWIN, 32)] * (tried["values"] - 1)]
    if not refusing:
        # Bare and all adapters at once; more where they cost too much.
        asked += [(2 * n, TWIN, 32), (2 * n, ORDINARY, 32)] * 2
    scored = (
        n * TEXT
        + tried.get("bias", 0) * n * (4 * PAIR + TEXT)
        + tried.get("values", 0) * n * (4 * REPLY + TEXT)
    )
    return _stage(config, pace, "trim", f"{sum(tried.values())} strengths on tune", asked, scored=scored)


def _after(config: RunConfig, pace: Pace) -> PlannedStage:
    if is_endpoint(config):
        return PlannedStage(
            "after", "nothing is asked: the guard is laid over the first answers", 0, 0, 0, 0, 5
        )
    return _measure(config, pace, "after")


def _reattack(config: RunConfig, pace: Pace) -> PlannedStage:
    again = config.sizes.reattack_behaviours * config.sizes.reattack_attempts
    return _stage(config, pace, "reattack", f"{again} attacks", [(again, ATTACK, 40)])


def _cost(config: RunConfig, stages: list[PlannedStage]) -> float | None:
    """Return what an endpoint costs at the given prices; 0 for a model on this machine, None without a price."""
    if not is_endpoint(config):
        return 0.0
    prices = config.endpoint.usd_per_million_input, config.endpoint.usd_per_million_output
    if not any(prices):
        return None
    used = sum(s.read for s in stages), sum(s.written for s in stages)
    return round((used[0] * prices[0] + used[1] * prices[1]) / 1e6, 4)
