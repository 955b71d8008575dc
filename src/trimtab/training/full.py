"""Supervised fine-tuning of all weights, on a copy: the model that is loaded stays as it is."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from trimtab.errors import InputError, Problem
from trimtab.models.cache import folder_digest, made_whole, written
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.record import Record
from trimtab.training.adapter import Trained, arguments, counted, quietly
from trimtab.training.rows import fitted, row
from trimtab.training.sft import BATCH, EPOCHS, why_not

RATE = 5e-5


def train_full(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, rate: float = RATE,
    epochs: float = EPOCHS, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a model to `folder` whose weights are all trained on the last turn of each `sft` record.

    Training is in float32, since bfloat16 would round most steps away. Raises InputError that names the records of
    which nothing can be learned, and when the disk refuses. Records that `rows.fitted` leaves out are counted.
    """
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    if bad := [
        Problem("train.no-reply", f"record {r.id[:12]}", why, "Leave them out.")
        for r in records
        if (why := why_not(r))
    ]:
        raise InputError(bad)
    fits = fitted(model, records)
    model.set_adapters({})
    started = time.monotonic()
    if folder.exists():
        shutil.rmtree(folder)
    with made_whole(folder) as temporary, torch.enable_grad(), quietly():
        scratch = temporary / "scratch"
        network = copy.deepcopy(model.network).float()
        config = SFTConfig(
            **arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate),
            train_sampling_strategy="group_by_length",
        )
        rows = Dataset.from_list([row(model, r) for r in fits.kept])
        trainer = SFTTrainer(model=network, args=config, train_dataset=rows, processing_class=model.tokenizer)
        with counted(trainer, progress):
            trainer.train()
        _write(model, network, temporary)
        losses = [h["loss"] for h in trainer.state.log_history if "loss" in h]
        tokens = int(getattr(trainer.state, "num_input_tokens_seen", 0) or 0)
    seconds = time.monotonic() - started
    counts = len(fits.kept), tokens, seconds, losses[0], losses[-1], fits.cut, len(fits.left_out)
    return Trained(str(folder), folder_digest(folder), *counts)


def _write(model: LocalModel, network: object, folder: Path) -> None:
    """Write weights in the format of the model that was loaded, and its tokenizer."""
    with written(folder, "full.not-written"):
        network.to(model.dtype).save_pretrained(folder, safe_serialization=True)  # type: ignore[attr-defined]
        model.tokenizer.save_pretrained(folder)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
