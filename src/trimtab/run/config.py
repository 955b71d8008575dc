"""What a run is asked to do: `trimtab.toml`, with every key optional and unknown keys refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trimtab.errors import ConfigError, Problem
from trimtab.governance.policy import DEFAULT_GATES, Gate, read_gates
from trimtab.records.record import digest
from trimtab.records.toml import parse_toml

MECHANISMS = ("adversarial", "bias", "values")
FILE = "trimtab.toml"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(_Table):
    """How many cases are measured and how many records are planned: a fixed profile, never adapted to the clock."""

    attacks: int = Field(default=96, ge=1)
    ordinary: int = Field(default=144, ge=1)
    role_pairs: int = Field(default=216, ge=1)
    trait_pairs: int = Field(default=48, ge=1)
    preferences: int = Field(default=151, ge=1)
    texts: int = Field(default=119, ge=1)
    associations: int = Field(default=72, ge=0)
    reattack_behaviours: int = Field(default=48, ge=0)
    reattack_attempts: int = Field(default=4, ge=1)
    harmful_records: int = Field(default=96, ge=1)
    ordinary_records: int = Field(default=72, ge=0)
    writings: int = Field(default=240, ge=0)
    pair_records: int = Field(default=140, ge=2)
    trait_records: int = Field(default=40, ge=0)
    authored_preferences: int = Field(default=144, ge=1)
    contrast_prompts: int = Field(default=72, ge=0)
    anchors: int = Field(default=40, ge=0)
    tune_cases: int = Field(default=32, ge=1)


QUICK = Sizes(
    attacks=12, ordinary=12, role_pairs=24, trait_pairs=8, preferences=16, texts=12, associations=8,
    reattack_behaviours=4, reattack_attempts=2, harmful_records=16, ordinary_records=8, writings=16, pair_records=16,
    trait_records=4, authored_preferences=16, contrast_prompts=4, anchors=4, tune_cases=6,
)  # fmt: skip


class Strengths(_Table):
    """The strengths that trim tries for each adapter."""

    adversarial: tuple[float, ...] = (0.5, 0.75, 1.0)
    bias: tuple[float, ...] = (0.5, 0.75, 1.0)
    values: tuple[float, ...] = (1.0, 2.0, 3.0)


class RunConfig(_Table):
    """Everything that decides what a run does."""

    name: str = Field(default="loop", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    model: str = "embedded"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    mechanisms: tuple[str, ...] = MECHANISMS
    sizes: Sizes = Sizes()
    strengths: Strengths = Strengths()
    gates: tuple[Gate, ...] = DEFAULT_GATES
    evidential: bool = True
    charter: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the configuration."""
        return digest(self.model_dump(mode="json"))


def read_config(path: Path | None, *, quick: bool = False, **changes: Any) -> RunConfig:
    """Read `trimtab.toml` (defaults where there is none), with changes from the command line on top."""
    table: dict[str, Any] = {}
    if path is not None:
        table = _toml(path)
    if isinstance(table.get("gates"), str):
        table["gates"] = read_gates((path or Path()).parent / table["gates"])
    table |= {key: value for key, value in changes.items() if value is not None}
    if quick:
        table |= {"sizes": QUICK.model_dump(), "evidential": False}
    try:
        config = RunConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigError([_problem(path, e) for e in error.errors()]) from error
    if unknown := [m for m in config.mechanisms if m not in MECHANISMS]:
        fix = f"Use {', '.join(MECHANISMS)}."
        raise ConfigError(Problem("config.mechanism", "mechanisms", f"{unknown[0]!r} is not known", fix))
    return config


def _toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_bytes(), place=str(path), area="config")
    except FileNotFoundError as error:
        fix = "Write one with `trimtab init`, or leave --config away."
        raise ConfigError(Problem("config.missing", str(path), "no such file", fix)) from error
    except OSError as error:
        fix = "Name a file that may be read."
        raise ConfigError(Problem("config.unreadable", str(path), str(error), fix)) from error


def _problem(path: Path | None, error: Any) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    code = "config.unknown-key" if error["type"] == "extra_forbidden" else "config.value"
    fix = "See `trimtab init` for the keys and their meaning."
    return Problem(code, f"{path or 'the command line'}, {where}", error["msg"], fix)
