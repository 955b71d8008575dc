"""Direct preference optimisation on `preference` records with TRL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.record import Record
from trimtab.records.write import to_trl
from trimtab.training.adapter import Trained, arguments, fit, lora_config
from trimtab.training.retention import retaining
from trimtab.training.rows import fitted

EPOCHS, BATCH, BETA = 1, 8, 0.1
# The plain loss is content when the wanted reply loses less than the unwanted one, so that replies which people write
# get less likely, all of them. This one asks of each by itself.
LOSS = "apo_zero"
# At the higher one the model forgets how to write, unless it retains what it was.
RATE, RETAINING_RATE = 2e-3, 4e-3
LOOPS = 0.01  # at 0.03 what people write gets less likely, at 0.1 fewer preferences are learned too
REFERENCE = 4  # pairs of which the bare model reads the replies at once


def train_dpo(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, texts: Sequence[Record] = (),
    rate: float | None = None, epochs: float = EPOCHS, beta: float = BETA, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a LoRA adapter trained to prefer `chosen` over `rejected` to `folder`.

    By DPO (Rafailov et al. 2023) with the anchored loss: the likelihood of the one is to rise against the bare model's, that
    of the other to fall (APO-zero, D'Oosterlinck et al. 2024, equation 7).
    On `texts` it keeps to the bare model (`retention.retaining`), and then learns at a higher rate. Records that
    `rows.fitted` leaves out are counted.
    """
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    fits = fitted(model, records)
    rows = to_trl(fits.kept)
    trainer_class = retaining(DPOTrainer, model, texts, seed, LOOPS)
    rate = rate or (RATE if trainer_class is DPOTrainer else RETAINING_RATE)

    def trainer(scratch: Path) -> Any:
        args = arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate)
        return trainer_class(
            model=model.network,
            args=DPOConfig(
                **args,
                loss_type=[LOSS],
                beta=beta,
                precompute_ref_log_probs=True,
                precompute_ref_batch_size=REFERENCE,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=model.tokenizer,
            peft_config=lora_config(model),
        )

    return fit(model, folder, trainer, fits, progress)
