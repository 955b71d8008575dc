"""Supervised fine-tuning on `sft` and `document` records with TRL; only the assistant's words are learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.record import Record
from trimtab.training.adapter import Trained, arguments, fit, lora_config

EPOCHS, BATCH, RATE = 1, 8, 4e-4


def train_sft(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, rate: float = RATE,
    epochs: float = EPOCHS, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a LoRA adapter trained on the last assistant turn of each record to `folder`."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [_row(r) for r in records]

    def trainer(scratch: Path) -> Any:
        args = arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate)
        config = SFTConfig(**args, completion_only_loss=True, train_sampling_strategy="group_by_length")
        return SFTTrainer(
            model=model.network,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=model.tokenizer,
            peft_config=lora_config(),
        )

    return fit(model, folder, trainer, records=len(rows), progress=progress)


def _row(record: Record) -> dict[str, Any]:
    turns = [m.model_dump() for m in record.messages or ()]
    return {"prompt": turns[:-1], "completion": turns[-1:]}
