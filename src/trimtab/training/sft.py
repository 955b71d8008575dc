"""Supervised fine-tuning on `sft` and `document` records with TRL; only the assistant's words are learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.read import single_kind
from trimtab.records.record import Record
from trimtab.records.write import to_trl
from trimtab.training.adapter import RANK, Trained, arguments, fit, lora_config
from trimtab.training.rows import fitted, row

EPOCHS, BATCH, RATE = 1, 8, 7e-4


def train_sft(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, rate: float = RATE,
    epochs: float = EPOCHS, rank: int = RANK, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a LoRA adapter to `folder`, trained on the last turn of each `sft` record, or on whole `document` records.

    Raises InputError that names the records of which nothing can be learned, and for mixed kinds. Records that
    `rows.fitted` leaves out are counted.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    fix = "Leave them out."
    if bad := [
        Problem("train.no-reply", f"record {r.id[:12]}", why, fix) for r in records if (why := why_not(r))
    ]:
        raise InputError(bad)
    documents = single_kind(records, place="the records to train on") == "document"
    fits = fitted(model, records)
    rows = to_trl(fits.kept) if documents else [row(model, r) for r in fits.kept]

    def trainer(scratch: Path) -> Any:
        args = arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate)
        config = SFTConfig(**args, train_sampling_strategy="group_by_length")
        return SFTTrainer(
            model=model.network,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=model.tokenizer,
            peft_config=lora_config(model, rank),
        )

    return fit(model, folder, trainer, fits, progress)


def why_not(record: Record) -> str:
    """Return why nothing can be learned from a record by supervised fine-tuning; empty when something can."""
    roles = [m.role for m in record.messages or ()]
    if record.kind == "document":
        return ""
    if roles[-1:] != ["assistant"]:
        return "its last turn is not the assistant's"
    return "" if len(roles) > 1 else "nothing stands before the assistant's turn"
