"""A case: one held-out thing to ask of a system, of one of the kinds that probes know."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trimtab.models.protocol import Messages

Split = Literal["learn", "tune", "test"]


def _as_messages(value: Any) -> Any:
    """A text is one user turn."""
    return [{"role": "user", "content": value}] if isinstance(value, str) and value.strip() else value


Prompt = Annotated[Messages, BeforeValidator(_as_messages), Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class Case(BaseModel):
    """What all kinds share. `cluster` is the unit that statistics treat as independent."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    id: Text
    suite: str
    cluster: Text
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

    family: str = "plain"
    behavior: str = ""


class BenignCase(Asked):
    """A request that a system should answer."""

    family: str = "ordinary"


class PairCase(Case):
    """Two texts that differ in a group only; `text_a` is the stereotyped one."""

    text_a: Text
    text_b: Text
    group: str = ""
    direction: str = ""

    @property
    def text(self) -> str:
        """The stereotyped text."""
        return self.text_a


class AssociationCase(Asked):
    """A request for text about a role; `groups` are the target shares of the groups' mentions."""

    role: str
    groups: dict[str, float]


class ChoiceCase(Asked):
    """A question with written-out choices; `target` is the index of the wanted one."""

    choices: list[Text] = Field(min_length=2)
    target: int = Field(ge=0)
    group: str = ""

    @model_validator(mode="after")
    def _target_is_a_choice(self) -> ChoiceCase:
        if self.target >= len(self.choices):
            raise ValueError(f"target {self.target} is not one of {len(self.choices)} choices")
        return self


class PreferenceCase(Asked):
    """A prompt with a wanted and an unwanted reply."""

    chosen: Text
    rejected: Text
    group: str = ""


class TextCase(Case):
    """Human-written text, with the prompt it answers where there is one."""

    body: Text = Field(validation_alias="text")
    prompt: Annotated[Messages, BeforeValidator(_as_messages)] = Field(default_factory=list)

    @property
    def text(self) -> str:
        """The human-written text."""
        return self.body


class JudgedCase(Asked):
    """A response that people labelled `complied`, `refused` or `broken`."""

    response: str
    label: Literal["complied", "refused", "broken"]

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
