"""A case: one held-out thing to ask of a system, of one of the kinds that probes know."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trimtab.models.protocol import Messages
from trimtab.records.record import not_blank
from trimtab.records.shapes import ShapeError, parse_json, refuse_flaws, to_turns

Split = Literal["learn", "tune", "test"]


def _as_messages(value: Any) -> Messages:
    """A text is one user turn; a list is what records take as turns."""
    if isinstance(value, str):
        return [{"role": "user", "content": not_blank(value)}]
    try:
        return [turn.model_dump() for turn in to_turns(value, "prompt")]
    except ShapeError as error:
        raise ValueError(error.reason) from error


def _as_messages_or_none(value: Any) -> Messages:
    return [] if value == [] or (isinstance(value, str) and not value.strip()) else _as_messages(value)


def _named(value: Any) -> Any:
    """A number may be a name."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _unpacked(value: Any) -> Any:
    """CSV holds lists and objects as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        value = parse_json(value)
        refuse_flaws(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("is a text, and not JSON") from error
    return value


def _shares(groups: dict[str, float]) -> dict[str, float]:
    total = sum(groups.values())
    if min(groups.values(), default=-1) < 0 or not math.isclose(total, 1, abs_tol=0.01):
        raise ValueError(f"the target shares are not between 0 and 1, or their sum is {total:g} and not 1")
    return groups


def _without_null(value: Any) -> Any:
    """A column of Parquet has the keys of all rows."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


Prompt = Annotated[Messages, BeforeValidator(_as_messages)]
MaybePrompt = Annotated[Messages, BeforeValidator(_as_messages_or_none)]
# What is empty has no token to score; what is blank has.
Text = Annotated[str, Field(strict=True, min_length=1)]
Name = Annotated[str, BeforeValidator(_named)]
Shares = Annotated[
    dict[str, float], BeforeValidator(_without_null), BeforeValidator(_unpacked), AfterValidator(_shares)
]


class Case(BaseModel):
    """What all kinds share. `cluster` is the unit that statistics treat as independent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[Name, AfterValidator(not_blank)]
    suite: str
    cluster: Annotated[Name, AfterValidator(not_blank)]
    split: Split | None = None

    @property
    def text(self) -> str:
        """All words of the case, to compare with what was learned."""
        return ""


class Asked(Case):
    """A case that starts with a prompt."""

    prompt: Prompt

    @property
    def text(self) -> str:
        """The last user turn."""
        return next((m["content"] for m in reversed(self.prompt) if m["role"] == "user"), "")


class AttackCase(Asked):
    """A request that a system should refuse; `behavior` groups attempts at the same thing."""

    family: Name = "plain"
    behavior: Name = ""


class BenignCase(Asked):
    """A request that a system should answer."""

    family: Name = "ordinary"


class PairCase(Case):
    """Two texts that differ in a group only; `text_a` is the stereotyped one."""

    text_a: Text
    text_b: Text
    group: Name = ""
    direction: Name = ""

    @property
    def text(self) -> str:
        """The stereotyped text."""
        return self.text_a


class AssociationCase(Asked):
    """A request for text about a role; `groups` are the target shares of the groups' mentions."""

    role: Text
    groups: Shares


class ChoiceCase(Asked):
    """A question with written-out choices; `target` is the index of the wanted one.

    Cases with the same `question` ask the same, such as with the choices in another order.
    """

    choices: Annotated[list[Text], BeforeValidator(_unpacked)] = Field(min_length=2)
    target: int = Field(ge=0)
    group: Name = ""
    question: Name = ""

    @model_validator(mode="after")
    def _target_is_a_choice(self) -> ChoiceCase:
        if self.target >= len(self.choices):
            raise ValueError(f"target {self.target} is not one of {len(self.choices)} choices")
        return self


class PreferenceCase(Asked):
    """A prompt with a wanted and an unwanted reply; cases with the same `question` ask the same in other words."""

    chosen: Text
    rejected: Text
    group: Name = ""
    question: Name = ""


class TextCase(Case):
    """Human-written text, with the prompt it answers where there is one."""

    body: Text = Field(validation_alias="text")
    prompt: MaybePrompt = Field(default_factory=list)

    @property
    def text(self) -> str:
        """The human-written text."""
        return self.body


class JudgedCase(Asked):
    """A response that people labelled `complied`, `refused` or `broken`."""

    response: str = Field(strict=True)
    label: Literal["complied", "refused", "broken"]
    group: Name = ""

    @model_validator(mode="before")
    @classmethod
    def _known_labels(cls, row: Any) -> Any:
        names = {"1_full_compliance": "complied", "2_full_refusal": "refused", "3_partial_refusal": "refused"}
        return (
            {**row, "label": names.get(str(row.get("label")), row.get("label"))}
            if isinstance(row, dict)
            else row
        )


KINDS: dict[str, type[Case]] = {
    "attack": AttackCase,
    "benign": BenignCase,
    "pair": PairCase,
    "association": AssociationCase,
    "choice": ChoiceCase,
    "preference": PreferenceCase,
    "text": TextCase,
    "judged": JudgedCase,
}
