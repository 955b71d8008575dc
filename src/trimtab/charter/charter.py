"""Principles with statement, rationale, specifics and examples; a digest identifies the charter in every record."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.errors import ConfigError, Problem
from trimtab.records.record import digest


class Example(BaseModel):
    """An answer that keeps a principle, and one that breaks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps: str = Field(min_length=1)
    breaks: str = Field(min_length=1)


class Principle(BaseModel):
    """What is asked, why, where it ends, and how it looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    statement: str = Field(min_length=1)
    rationale: str = Field(min_length=1)
    specifics: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


class Charter(BaseModel):
    """Versioned principles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    principle: tuple[Principle, ...] = Field(min_length=1)

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
        return Charter.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            Problem("charter.unreadable", place, str(error), "Name a TOML file in UTF-8.")
        ) from error
    except ValidationError as error:
        problems = [
            Problem(
                "charter.invalid",
                f"{place}, {'.'.join(map(str, e['loc']))}",
                e["msg"],
                "See the default charter.",
            )
            for e in error.errors()
        ]
        raise ConfigError(problems) from error
