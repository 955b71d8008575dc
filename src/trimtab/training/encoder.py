"""Tunes the guard's embedder with a small LoRA adapter, so that harmful requests and their benign twins part.

The embedder was made to put texts on one subject together; a harmful request and its twin are on one subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.models.embedded import EMBEDDER_HUB_NAME
from trimtab.models.embedder import Embedder
from trimtab.models.protocol import Progress
from trimtab.training.adapter import counted, plain_attention, quietly, write_adapter

RANK, RATE, EPOCHS, BATCH = 16, 1e-3, 2, 16
MOST_TOKENS = 96  # requests are shorter; what is longer is a wrapping, which the classifier learns
TARGETS = ["query", "key", "value", "dense"]
SCALE = 4.0  # of unit vectors, so that the head need not grow to be sure


def tune_encoder(
    embedder: Embedder, harmful: Sequence[str], harmless: Sequence[str], folder: Path, *, seed: int,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Write a LoRA adapter of `embedder` to `folder` (standard PEFT), fitted to part the two lists of texts.

    Logistic loss on the unit embeddings, both lists weighing the same.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(seed)
    encoder = embedder.encoder()
    layers = encoder.config.num_hidden_layers
    lora = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=TARGETS,
        # The upper half: all of them, with dropout, take half as long again and catch no more of `tune`. Its pooler is not used.
        layers_to_transform=list(range(layers // 2, layers)),
        layers_pattern="layer",
    )  # fmt: skip
    with quietly():
        encoder = get_peft_model(encoder, lora)
    _without_dropout(encoder)
    texts = [*harmful, *harmless]
    tokens = embedder.tokenizer(texts, truncation=True, max_length=MOST_TOKENS)["input_ids"]
    labels = [1.0] * len(harmful) + [0.0] * len(harmless)
    rows = [{"input_ids": t, "labels": y} for t, y in zip(tokens, labels, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(folder / "scratch"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=EPOCHS,
        learning_rate=RATE,
        warmup_steps=20,
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_steps=1000,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    model = _separator(encoder, len(harmless) / len(harmful))
    pad = embedder.tokenizer.pad_token_id
    with torch.enable_grad(), quietly(), plain_attention(embedder.encoder()):
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=_collator(pad))
        with counted(trainer, progress):
            trainer.train()
    write_adapter(encoder, folder, base=EMBEDDER_HUB_NAME)


def _without_dropout(encoder: Any) -> None:
    """Take the dropout out of a network, which costs a quarter of the time of a step."""
    import torch

    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _collator(pad: int) -> Any:
    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = max(len(r["input_ids"]) for r in rows)
        ids = torch.tensor([[*r["input_ids"], *[pad] * (width - len(r["input_ids"]))] for r in rows])
        mask = torch.tensor([[i < len(r["input_ids"]) for i in range(width)] for r in rows]).long()
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([r["labels"] for r in rows])}

    return collate


def _separator(encoder: Any, harmful_weight: float) -> Any:
    """Return a module that gives the logistic loss of one linear layer on mean-pooled unit embeddings."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, normalize

    class Separator(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.head = torch.nn.Linear(encoder.config.hidden_size, 1)

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> dict[str, Any]:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask[..., None].to(states.dtype)
            pooled = normalize(((states * mask).sum(1) / mask.sum(1)).float(), dim=-1)
            logits = self.head(SCALE * pooled)[:, 0]
            weight = torch.tensor(harmful_weight, device=logits.device)
            loss = binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weight)
            return {"loss": loss, "logits": logits}

    return Separator()
