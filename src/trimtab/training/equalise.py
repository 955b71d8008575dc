"""Training on `pair` records with an equalising loss: both texts of a pair become equally likely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Progress
from trimtab.records.record import Record
from trimtab.training.adapter import Trained, arguments, fit, lora_config
from trimtab.training.retention import retaining
from trimtab.training.rows import Fitted

EPOCHS, BATCH, RATE, WEIGHT = 1, 8, 1e-3, 0.02
# What makes plain statements likelier makes refusals rare: a part of it is enough where the model retains what it was.
LM, RETAINING_LM = 1.0, 0.2
LOOPS = 0.03  # at 0.1 what people write gets less likely


def train_equalise(
    model: LocalModel, records: Sequence[Record], folder: Path, *, seed: int, texts: Sequence[Record] = (),
    rate: float = RATE, epochs: float = EPOCHS, weight: float = WEIGHT, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Write a LoRA adapter trained on lm · LM + weight · (log p(a) − log p(b))² to `folder`.

    LM is the mean negative log-likelihood per token of both texts, log p is summed over tokens (nats). The
    squared difference of a counterfactual pair's scores is the pairing loss of Kannan et al. 2018, on the
    log-likelihoods that the pair gap is made of. On `texts` it keeps to the bare model (`retention.retaining`), and
    then lm is `RETAINING_LM` in place of `LM`.
    """
    from datasets import Dataset
    from trl import SFTConfig

    rows = [_tokens(model, r) for r in records]
    plain = _trainer_class()
    trainer_class = retaining(plain, model, texts, seed, LOOPS)

    def trainer(scratch: Path) -> Any:
        args = arguments(model, scratch, seed=seed, epochs=epochs, batch=BATCH, rate=rate)
        config = SFTConfig(**args, remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True})
        return trainer_class(
            lm=LM if trainer_class is plain else RETAINING_LM,
            weight=weight,
            model=model.network,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=model.tokenizer,
            data_collator=_collator(model),
            peft_config=lora_config(model),
        )

    return fit(model, folder, trainer, Fitted(records), progress)


def _tokens(model: LocalModel, record: Record) -> dict[str, list[int]]:
    # The same start token as in `LocalModel.loglikelihood`, so that the loss is on the measured quantity.
    start = model.start_token
    texts = (record.text_a or "", record.text_b or "")
    a, b = ([start, *model.tokenizer(t, add_special_tokens=False)["input_ids"]] for t in texts)
    return {"input_ids": a, "other_ids": b}


def _collator(model: LocalModel) -> Any:
    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        texts = [r["input_ids"] for r in rows] + [r["other_ids"] for r in rows]
        width = max(map(len, texts))
        pad = model.tokenizer.pad_token_id
        ids = torch.tensor([t + [pad] * (width - len(t)) for t in texts])
        mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in texts])
        return {"input_ids": ids, "attention_mask": mask}

    return collate


def _trainer_class() -> Any:
    import torch
    from trl import SFTTrainer

    class EqualisingTrainer(SFTTrainer):  # type: ignore[misc]
        """SFT with the pair term; a batch holds all first texts, then all second ones."""

        def __init__(self, *args: Any, lm: float, weight: float, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.lm, self.weight = lm, weight

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            out = model(**inputs, use_cache=False)
            targets, mask = inputs["input_ids"][:, 1:], inputs["attention_mask"][:, 1:].float()
            logits = out.logits[:, :-1].float()
            picked = torch.gather(logits, -1, targets[..., None])[..., 0] - logits.logsumexp(-1)
            totals = (picked * mask).sum(-1)
            a, b = totals.chunk(2)
            lm = -totals.sum() / mask.sum()
            loss = self.lm * lm + self.weight * ((a - b) ** 2).mean()
            return (loss, out) if return_outputs else loss

    return EqualisingTrainer
