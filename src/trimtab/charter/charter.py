"""Principles with statement, rationale, specifics and examples; a digest identifies the charter in every record."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.errors import ConfigError, Problem
from trimtab.records.record import digest, not_blank
from trimtab.records.toml import parse_toml

Text = Annotated[str, AfterValidator(not_blank)]


class Example(BaseModel):
    """An answer that keeps a principle, and one that breaks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps: Text
    breaks: Text


class Principle(BaseModel):
    """What is asked, why, where it ends, and how it looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    statement: Text
    rationale: Text
    specifics: tuple[Text, ...] = ()
    examples: tuple[Example, ...] = ()


def _some(principles: tuple[Principle, ...]) -> tuple[Principle, ...]:
    # Not pydantic's `min_length`: it does not count principles with problems, and would call the list empty.
    if not principles:
        raise ValueError("holds no principle")
    return principles


class Charter(BaseModel):
    """Versioned principles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    version: Text
    principle: Annotated[tuple[Principle, ...], AfterValidator(_some)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Charter:
        ids = [p.id for p in self.principle]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"principle ids are used twice: {', '.join(twice)}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the charter."""
        return digest(self.model_dump(mode="json"))


def read_charter(path: Path | None = None) -> Charter:
    """Read a charter, the default one without a path; raises ConfigError with all its problems."""
    place = str(path) if path else "charter.toml"
    source = path or files(__package__).joinpath("charter.toml")
    try:
        data = source.read_bytes()
    except OSError as error:
        message = f"cannot be read ({error.strerror or type(error).__name__})"
        problem = Problem("charter.unreadable", place, message, "Check the path and your right to read it")
        raise ConfigError(problem) from error
    try:
        return Charter.model_validate(parse_toml(data, place=place, area="charter"))
    except ValidationError as error:
        raise ConfigError([_problem(place, e["loc"], e["msg"]) for e in error.errors()]) from error


def _problem(place: str, keys: Sequence[int | str], message: str) -> Problem:
    where = ".".join(str(key) for key in keys)
    where = f"{place}, {ascii(where)[1:-1]}" if where else place
    message = message.removeprefix("Value error, ")
    return Problem("charter.invalid", where, message, "See the default charter for the keys and their form")
