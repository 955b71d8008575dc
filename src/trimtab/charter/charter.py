"""Principles with statement, rationale, specifics and examples; a digest identifies the charter in every record."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.errors import ConfigError, Problem
from trimtab.records.record import digest, not_blank
from trimtab.records.toml import parse_toml

NOT_HELD = ("rejected", "retired")
UNWRITTEN = "Taken from a consultation; write here why, and where it ends."  # the rationale of a draft
Text = Annotated[str, AfterValidator(not_blank)]


class Example(BaseModel):
    """An answer that keeps a principle, and one that breaks it; with the `prompt` they answer, a pair to teach or measure by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps: Text
    breaks: Text
    prompt: Text | None = None


class GroupVote(BaseModel):
    """How an opinion group voted on a statement of a consultation; `reason` is for people to write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Text
    statement: Text
    agreed: int = Field(ge=0)
    disagreed: int = Field(ge=0)
    seen: int = Field(ge=0)
    reason: Text | None = None


class Rule(BaseModel):
    """By what a consultation adopts a principle, written down before its votes are counted.

    Each of its statements must have `figure` at `least` or more: open where a group cast fewer than `votes`, else adopted
    when the lower limit of the 95 % interval has it, rejected when the upper limit has not, and open otherwise. A group
    of which a share of `dissent` or more disagrees is kept beside the principle. `groups` fixes their number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    figure: Literal["group_aware", "minimum", "geometric_mean"] = "minimum"
    least: float = Field(default=0.5, gt=0, lt=1)
    votes: int = Field(default=5, ge=1)
    dissent: float = Field(default=0.25, gt=0, lt=1)
    groups: int | None = Field(default=None, ge=2, le=26)


class GroupSize(BaseModel):
    """How many people an opinion group holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Text
    members: int = Field(ge=0)


class Grouping(BaseModel):
    """Between which opinion groups an agreement was looked for, and where they come from.

    `own` ones were found in the votes themselves by `trimtab charter`, `given` ones came with the votes. `digest` is the
    SHA-256 of the canonical JSON of participant → group, and `unplaced` counts who is in none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Literal["own", "given"]
    groups: tuple[GroupSize, ...]
    unplaced: int = Field(ge=0)
    digest: Text

    def __str__(self) -> str:
        """One line."""
        sizes = ", ".join(f"{g.group} {g.members}" for g in self.groups)
        origin = "found in these votes" if self.origin == "own" else "given with the votes"
        return f"{origin}: {sizes}; {self.unplaced} people in none; digest {self.digest[:12]}"


class Adoption(BaseModel):
    """What the rule came to on the votes with this digest: the figure of the statement that decided, and how groups voted.

    Charters adopted before it was recorded have no `grouping`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    votes: Text
    rule: Rule
    statement: Text
    value: float
    low: float
    high: float
    groups: tuple[GroupVote, ...] = ()
    grouping: Grouping | None = None


class Principle(BaseModel):
    """What is asked, why, where it ends, and how it looks; what was voted on for it, and what came of that.

    `framing` says whether it asks to do or to avoid. `dissent` stays beside the principle, whatever was decided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    statement: Text
    rationale: Text
    specifics: tuple[Text, ...] = ()
    examples: tuple[Example, ...] = ()
    framing: Literal["do", "avoid"] | None = None
    status: Literal["draft", "open", "adopted", "rejected", "retired"] | None = None
    version: Text | None = None
    voted_on: tuple[Text, ...] | None = None
    adoption: Adoption | None = None
    dissent: tuple[GroupVote, ...] | None = None

    @property
    def shown(self) -> tuple[Example, ...]:
        """The examples that may be shown to a model or in documents: those with a prompt may be held out."""
        return tuple(e for e in self.examples if e.prompt is None)


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
    rule: Rule | None = None
    principle: Annotated[tuple[Principle, ...], AfterValidator(_some)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Charter:
        ids = [p.id for p in self.principle]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"principle ids are used twice: {', '.join(twice)}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the charter; keys that are not set do not count."""
        return digest(self.content())

    def content(self) -> dict[str, Any]:
        """Return what the digest is of, as JSON values: the keys that are set."""
        return self.model_dump(mode="json", exclude_none=True)


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


def held(charter: Charter) -> tuple[Principle, ...]:
    """Return the principles that a charter stands by, which are taught and asked about: all but rejected and retired ones.

    Raises ConfigError where it stands by none.
    """
    if found := tuple(p for p in charter.principle if p.status not in NOT_HELD):
        return found
    message = "holds no principle that is not rejected or retired"
    fix = "Name a charter with at least one other, or change the status of one."
    raise ConfigError(Problem("charter.none-held", charter.name, message, fix))


def left_out(charter: Charter) -> dict[str, str]:
    """Return principle → status of those that `held` leaves out."""
    return {p.id: str(p.status) for p in charter.principle if p.status in NOT_HELD}


def missing(charter: Charter) -> list[str]:
    """Return what readers of a charter would miss: examples, where a principle ends, who adopted it."""
    found = []
    for p in charter.principle:
        gaps = (
            [] if p.shown else [f"examples {'without a prompt' if p.examples else 'that keep and break it'}"]
        )
        gaps += [] if p.specifics else ["specifics of where it ends"]
        gaps += ["rationale yet"] if p.rationale == UNWRITTEN else []
        gaps += ["an adoption"] if p.status == "adopted" and p.adoption is None else []
        if gaps:
            found.append(f"{p.id} has no {', no '.join(gaps)}")
    statements = [p.statement.casefold() for p in charter.principle]
    twice = {p.id for p in charter.principle if statements.count(p.statement.casefold()) > 1}
    if twice:
        found.append(f"the same statement in {', '.join(sorted(twice))}")
    built_in = {p.id: p.statement for p in read_charter().principle}
    other = [p.id for p in charter.principle if built_in.get(p.id, p.statement) != p.statement]
    if other:
        found.append(
            f"another statement than the built-in principle of that id, whose pairs are used, in {', '.join(other)}"
        )
    if charter.rule is None and any(p.voted_on for p in charter.principle):
        found.append("principles were voted on, and no [rule] says what adopts them")
    return found


def unsaid(charter: Charter) -> list[str]:
    """Return which principles do not say their framing, status or version, a line for each of these optional keys."""
    total = len(charter.principle)
    bare = {
        k: [p.id for p in charter.principle if getattr(p, k) is None]
        for k in ("framing", "status", "version")
    }
    return [
        f"no {key} in " + (f"{', '.join(ids)}" if len(ids) < total else f"any of the {total} principles")
        for key, ids in bare.items()
        if ids
    ]
