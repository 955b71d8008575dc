"""Lets the generator write, in checkpointed batches, so that a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from trimtab import engine
from trimtab.models.protocol import Answer, Messages, Model, Progress

BATCH = 32


class Writer:
    """Asks one model, in batches whose membership and seed follow from their number alone."""

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

    def write(
        self, stage: str, prompts: Sequence[Messages], *, max_tokens: int, temperature: float = 0.0
    ) -> list[Answer]:
        """Return an answer to each conversation, in order."""
        rows: list[dict[str, Any]] = [{"messages": m} for m in prompts]
        settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": self.seed}
        answers = engine.map_batches(
            rows,
            partial(ask, self.model, settings),
            batch_size=BATCH,
            folder=self.folder / stage if self.folder else None,
            progress=self._progress(stage, len(rows)) if self._progress else None,
        )
        return [Answer(**a) for a in answers]


def ask(
    model: Model, settings: dict[str, Any], number: int, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Answer one batch; its sampling seed is the run's seed and the batch's number."""
    seed = settings["seed"] * 1_000_003 + number
    answers = model.generate([r["messages"] for r in rows], **{**settings, "seed": seed})
    return [asdict(a) for a in answers]
