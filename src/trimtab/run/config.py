"""What a run is asked to do: `trimtab.toml`, with every key optional and unknown keys refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.charter.charter import Charter, held, read_charter
from trimtab.errors import ConfigError, Problem
from trimtab.governance.policy import DEFAULT_GATES, Gate, read_gates
from trimtab.governance.roles import Role, read_roles
from trimtab.governance.waiver import Waiver
from trimtab.models.load import EndpointLimits
from trimtab.records.record import digest
from trimtab.records.toml import parse_toml

Mechanism = Literal["adversarial", "bias", "values"]
MECHANISMS: tuple[Mechanism, ...] = ("adversarial", "bias", "values")
FILE = "trimtab.toml"
FRONTIER_TWINS = (
    16  # asked at each strength of the values adapter: over-refusal is generated, which takes longest
)


class _Table(BaseModel):
    """A number is written as a number and a text as a text: "96" is a mistake, and not 96."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not pydantic's `min_length`: it does not count values with problems, and would call the list empty.
    if not values:
        raise ValueError("is empty")
    if len(set(values)) < len(values):
        raise ValueError("one of them is there twice")
    return values


Count = Annotated[int, Field(strict=True)]
Amount = Annotated[float, Field(strict=True, ge=0)]
Tried = Annotated[tuple[Annotated[float, Field(strict=True, gt=0)], ...], AfterValidator(_some)]


class Sizes(_Table):
    """How many cases are measured and how many records are planned: a fixed profile, never adapted to the clock."""

    attacks: Count = Field(default=96, ge=1)
    ordinary: Count = Field(default=192, ge=1)
    role_pairs: Count = Field(default=216, ge=1)
    trait_pairs: Count = Field(default=48, ge=1)
    preferences: Count = Field(default=595, ge=1)
    texts: Count = Field(default=119, ge=1)
    associations: Count = Field(default=72, ge=0)
    reattack_behaviours: Count = Field(default=48, ge=0)
    reattack_attempts: Count = Field(default=4, ge=1)
    guard_prompts: Count = Field(default=3320, ge=2)
    harmful_records: Count = Field(default=160, ge=1)
    ordinary_records: Count = Field(default=60, ge=0)
    writings: Count = Field(default=240, ge=0)
    pair_records: Count = Field(default=140, ge=2)
    trait_records: Count = Field(default=40, ge=0)
    authored_preferences: Count = Field(default=513, ge=1)
    contrast_prompts: Count = Field(default=24, ge=0)
    anchors: Count = Field(default=40, ge=0)
    retained_texts: Count = Field(default=160, ge=0)
    tune_cases: Count = Field(default=32, ge=1)


QUICK = Sizes(
    attacks=3, ordinary=3, role_pairs=8, trait_pairs=2, preferences=6, texts=4, associations=2,
    reattack_behaviours=2, reattack_attempts=1, harmful_records=4, ordinary_records=2, writings=4, pair_records=8,
    trait_records=2, authored_preferences=4, contrast_prompts=1, anchors=2, retained_texts=2, tune_cases=1,
    guard_prompts=12,
)  # fmt: skip


class Strengths(_Table):
    """The strengths that trim tries for each adapter."""

    adversarial: Tried = (0.5, 0.75, 1.0)
    bias: Tried = (0.5, 0.75, 1.0)
    values: Tried = (0.25, 0.5, 0.75, 1.0)


QUICK_STRENGTHS = Strengths(adversarial=(1.0,), bias=(1.0,), values=(1.0,))


class Endpoint(_Table):
    """What an endpoint may be asked and may cost; means nothing for a model on this machine."""

    max_requests: Count | None = Field(default=None, ge=1)
    max_cost_usd: Amount | None = None
    usd_per_million_input: Amount = 0.0
    usd_per_million_output: Amount = 0.0
    concurrency: Count = Field(default=8, ge=1)

    @property
    def limits(self) -> EndpointLimits:
        """The same as the endpoint reads it."""
        prices = (self.usd_per_million_input, self.usd_per_million_output)
        return EndpointLimits(self.max_requests, self.max_cost_usd, prices, self.concurrency)


class RunConfig(_Table):
    """Everything that decides what a run does."""

    name: str = Field(default="loop", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    model: str = Field(default="embedded", min_length=1)
    seed: Count = Field(default=0, ge=0, le=2**31 - 1)
    mechanisms: Annotated[tuple[Mechanism, ...], AfterValidator(_some)] = MECHANISMS
    sizes: Sizes = Sizes()
    strengths: Strengths = Strengths()
    gates: tuple[Gate, ...] = DEFAULT_GATES
    roles: tuple[Role, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    evidential: bool = Field(default=True, strict=True)
    charter: str | None = Field(default=None, min_length=1)
    # Caps and prices change nothing that is made, so they are not recorded as what a run is, and a run that
    # stopped at its cap goes on with a higher one.
    endpoint: Endpoint = Field(default=Endpoint(), exclude=True)

    @model_validator(mode="after")
    def _waivers_are_of_gates(self) -> RunConfig:
        figures, waived = [g.figure for g in self.gates], [w.gate for w in self.waivers]
        if wrong := sorted({g for g in waived if g not in figures or waived.count(g) > 1}):
            raise ValueError(f"waivers: {', '.join(wrong)} is no gate, or is waived twice")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the configuration."""
        return digest(self.model_dump(mode="json"))


class NamesCharter(Protocol):
    """A configuration that may name a charter's file."""

    @property
    def charter(self) -> str | None:
        """The file; the built-in charter where there is none."""


def charter_of(config: NamesCharter) -> Charter:
    """Return the charter of a run, the built-in one where none is named; raises ConfigError."""
    return read_charter(Path(config.charter) if config.charter else None)


def check_charter(config: RunConfig) -> None:
    """Raise ConfigError where the charter cannot be read, or has nothing to teach in a run that teaches values."""
    charter = charter_of(config)
    if "values" in config.mechanisms:
        held(charter)


def kept_charter(folder: Path) -> Charter | None:
    """Return the charter of a run or bundle: the copy in it, or the file that an older run's configuration names.

    None where that is the built-in one, or is not here any more.
    """
    if (copy := folder / "charter.json").exists():
        return Charter.model_validate_json(copy.read_bytes())
    named = json.loads((folder / "run.json").read_bytes())["config"].get("charter")
    return read_charter(Path(named)) if named and Path(named).exists() else None


def read_config(path: Path | None, *, quick: bool = False, **changes: Any) -> RunConfig:
    """Read `trimtab.toml` (defaults where there is none), with changes from the command line on top."""
    table = {} if path is None else _toml(path)
    changed = {key: value for key, value in changes.items() if value is not None}
    _beside(path, table)
    table |= changed
    if quick:
        reduced = {"sizes": QUICK.model_dump(), "strengths": QUICK_STRENGTHS.model_dump()}
        table |= {**reduced, "evidential": False}
    try:
        config = RunConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigError([_problem(path, e, changed) for e in error.errors()]) from error
    if "gates" in table:
        from trimtab.governance.figures import check_gates

        check_gates(config.gates, f"{path}, gates")
    return config


def _beside(path: Path | None, table: dict[str, Any]) -> None:
    """Find the files that a configuration names: beside it."""
    folder = (path or Path()).parent
    for key in ("gates", "roles", "charter"):
        if "\0" in str(table.get(key)):
            where = f"{path}, {key}" if path else key
            raise ConfigError(
                Problem("config.bad-path", where, "a path has no NUL character", "Name a file.")
            )
    if isinstance(table.get("gates"), str):
        table["gates"] = read_gates(folder / table["gates"])
    if isinstance(table.get("roles"), str):
        table["roles"] = read_roles(folder / table["roles"])
    if isinstance(table.get("charter"), str) and table["charter"]:
        table["charter"] = str(folder / table["charter"])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_bytes(), place=str(path), area="config")
    except FileNotFoundError as error:
        fix = "Write one with `trimtab init`, or leave --config away."
        raise ConfigError(Problem("config.missing", str(path), "no such file", fix)) from error
    except OSError as error:
        fix = "Name a file that may be read."
        raise ConfigError(Problem("config.unreadable", str(path), str(error), fix)) from error


def _problem(path: Path | None, error: Any, changed: dict[str, Any]) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        fix = "Correct or remove it; `trimtab init` writes a file with all keys."
        return Problem("config.unknown-key", f"{path}, {ascii(where)[1:-1]}", "is not a known key", fix)
    place = f"--{where}" if where in changed else f"{path}, {where}"
    message = error["msg"].removeprefix("Value error, ")
    message = f"{message} ({error['input']!a:.60})"
    return Problem("config.value", place, message, "See `trimtab init` for the keys and their meaning.")
