"""Preference optimisation on `preference` records with TRL: DPO by the mean per token, anchored by SFT.

What is measured is the mean log-likelihood per token, and so that is what is optimised (the length-normalised DPO of
Lambert et al. 2024, Tulu 3). A share of the SFT loss on `chosen` holds the model to text that people write (Pang et
al. 2024, iterative RPO): without it the same rise of accuracy costs 5 % of nll.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.record import Record
from trimtab.records.write import to_trl
from trimtab.training.adapter import Trained, arguments, fit, lora_config

EPOCHS, BATCH, RATE, BETA, SFT_WEIGHT = 1, 8, 4e-3, 5.0, 0.2


def train_dpo(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, rate: float = RATE,
    epochs: float = EPOCHS, beta: float = BETA, sft_weight: float = SFT_WEIGHT,
    progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a LoRA adapter trained to prefer `chosen` over `rejected` (Rafailov et al. 2023) to `folder`.

    `beta` scales the difference of the mean log-likelihoods; `sft_weight` is that of the SFT loss on `chosen`.
    """
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = to_trl(records)

    def trainer(scratch: Path) -> Any:
        args = arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate)
        return DPOTrainer(
            model=model.network,
            args=DPOConfig(
                **args,
                beta=beta,
                loss_type=["sigmoid_norm", "sft"],
                loss_weights=[1.0, sft_weight],
                precompute_ref_log_probs=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=model.tokenizer,
            peft_config=lora_config(model),
        )

    return fit(model, folder, trainer, records=len(rows), progress=progress)
