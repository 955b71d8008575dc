"""Lets the generator write and score, in checkpointed batches, so that a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trimtab.models.batched import Batched
from trimtab.models.protocol import Answer, Messages, Model, Progress

SEEDS = 1_000_003  # a batch's seed is the run's seed times this and the batch's number: no two runs share one


class Writer:
    """Asks one model, each task in a folder of its own."""

    def __init__(
        self,
        model: Model,
        folder: Path | None,
        *,
        seed: int,
        progress: Callable[[str, int], Progress] | None = None,
    ) -> None:
        self.model, self.folder, self.seed = model, folder, seed
        self._progress = progress

    def at(self, task: str) -> Batched:
        """Return the model for a task; what it was asked for one is kept, and not asked again."""
        return Batched(self.model, self.folder / task if self.folder else None)

    def write(
        self, task: str, prompts: Sequence[Messages], *, max_tokens: int, temperature: float = 0.0
    ) -> list[Answer]:
        """Return an answer to each conversation, in order."""
        return self.at(task).generate(
            prompts,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=self.seed * SEEDS,
            progress=self._progress(task, len(prompts)) if self._progress else None,
        )
