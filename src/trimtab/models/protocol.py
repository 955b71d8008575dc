"""What every model can be asked, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Messages = list[dict[str, str]]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Capabilities:
    """What this model can do here: score texts, be trained, and score texts that follow messages (`template`)."""

    loglikelihood: bool
    trainable: bool
    template: bool = True


@dataclass(frozen=True)
class Answer:
    """One generated answer. `error` says why there is none: then `text` is empty and never judged.

    `truncated`: the model did not see the beginning of the prompt, which is longer than its context. `entropy`: how
    undecided a sampled answer was, the mean entropy of the next token over all steps (nats); None where it is not known.
    """

    text: str
    tokens: int
    finished: bool
    error: str | None = None
    blocked: bool = False
    truncated: bool = False
    entropy: float | None = None


@dataclass(frozen=True)
class Question:
    """A text to score: `text` after `messages` (chat template), or alone when there are none."""

    text: str
    messages: Messages = field(default_factory=list)


@dataclass(frozen=True)
class Likelihood:
    """Sum of log p over the tokens of the text (nats), their number, and whether the text or what stands before it was cut."""

    total: float
    tokens: int
    truncated: bool = False

    @property
    def mean(self) -> float:
        """Nats per token; 0 for an empty text."""
        return self.total / self.tokens if self.tokens else 0.0


class Model(Protocol):
    """A language model that trimtab can measure."""

    @property
    def name(self) -> str:
        """The name it was loaded by."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 that identifies it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do here."""
        ...

    def generate(
        self,
        prompts: Sequence[Messages],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Answer each conversation, in order; `progress` is called with the number newly done."""
        ...

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score each text, in order; the template and the end-of-turn token are not counted."""
        ...


def user(prompt: str | Messages) -> Messages:
    """Return a prompt as a conversation: a text becomes one user turn."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
