"""Retention: while a model learns one thing, it keeps to what it predicted before on texts of other kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trimtab.models.local import LocalModel
from trimtab.models.lower_half import LowerHalf
from trimtab.records.record import Record
from trimtab.training.loops import looping, unlikelihood
from trimtab.training.predictions import logits_at
from trimtab.training.rows import row

WEIGHT = 1.0
LENGTH = 160  # tokens of each text that are read
AT_ONCE = 4 * LENGTH  # tokens at each step, padding among them: a few long texts, or more short ones
ALIKE = 16  # tokens: texts of one batch are as long to within these
LOOPING = 2 * LENGTH  # tokens of loops at each step


def retaining(trainer: Any, model: LocalModel, texts: Sequence[Record], seed: int, loops: float) -> Any:
    """Return a subclass of a TRL trainer that adds `WEIGHT` · KL(bare ‖ trained) to its loss, per token of each text (nats).

    `texts` are `sft` records, the tokens those of their last turn, in batches drawn anew for each step. To keep to the
    bare model's predictions on other data is learning without forgetting (Li and Hoiem 2016). To it comes `loops` times
    the unlikelihood of loops made of the same texts (`training.loops`). Without a text of which something is read within `LENGTH`
    the trainer is returned as it is.
    """
    rows = [r for r in (_cut(row(model, t)) for t in texts) if _learned(r)]
    if not rows:
        return trainer
    batches = _batches(rows, model, seed, AT_ONCE)
    looped = looping(rows, model, LENGTH, seed)
    going_round = _batches(looped, model, seed, LOOPING) if looped and loops else None

    class Retaining(trainer):  # type: ignore[misc]
        """The trainer, with the terms for what is to stay and what is not to come."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            added = WEIGHT * divergence(model, *next(batches))
            if going_round:
                added = added + loops * unlikelihood(model, *next(going_round))
            return (found[0] + added, found[1]) if return_outputs else found + added

    return Retaining


def divergence(network: Any, ids: Any, mask: Any, learned: Any) -> Any:
    """Return KL(bare ‖ trained) of a PEFT model's next-token predictions: the mean over texts of that over their tokens (nats).

    All three are of shape texts × tokens; `mask` is 1 and `learned` true where a token counts. Texts weigh the
    same, or the model's own short answers would count for little beside long passages. The lower half reads them once for both.
    """
    import torch

    places = learned[:, 1:]
    shares = (1 / places.sum(1, keepdim=True).clamp(min=1)).expand(places.shape)
    share = shares[places]  # of its text, of each token
    lower = LowerHalf(network)  # of this batch alone: nothing is kept of it

    def predictions() -> Any:
        with lower.reading(None):
            return logits_at(network, ids, mask, learned).log_softmax(-1)

    trained = predictions()
    with torch.no_grad(), network.disable_adapter():
        bare = predictions()
    return ((bare.exp() * (bare - trained)).sum(-1) * share).sum() / len(ids)


def is_read(model: LocalModel, text: Record) -> bool:
    """Return whether `LENGTH` tokens of a text hold any that counts: before a long one's last turn they are used up."""
    return _learned(_cut(row(model, text)))


def _learned(tokens: dict[str, list[int]]) -> bool:
    return any(label >= 0 for label in tokens["labels"])


def _cut(tokens: dict[str, list[int]]) -> dict[str, list[int]]:
    return {key: values[:LENGTH] for key, values in tokens.items()}


def _batches(
    rows: Sequence[dict[str, list[int]]], model: LocalModel, seed: int, at_once: int
) -> Iterator[tuple[Any, ...]]:
    """Draw batches of texts of like length for ever, each text once before any again."""
    import torch

    order = torch.Generator().manual_seed(seed)
    while True:
        groups = _grouped([rows[i] for i in torch.randperm(len(rows), generator=order).tolist()], at_once)
        for i in torch.randperm(len(groups), generator=order).tolist():
            yield _batch(groups[i], model)


def _grouped(rows: Sequence[dict[str, list[int]]], at_once: int) -> list[list[dict[str, list[int]]]]:
    """Put rows of like length together, in the order given where they are as long, `at_once` tokens in a group."""
    groups: list[list[dict[str, list[int]]]] = [[]]
    for r in sorted(rows, key=lambda r: len(r["input_ids"]) // ALIKE):
        longest = max(len(each["input_ids"]) for each in (*groups[-1], r))
        if groups[-1] and (len(groups[-1]) + 1) * longest > at_once:
            groups.append([])
        groups[-1].append(r)
    return groups


def _batch(rows: Sequence[dict[str, list[int]]], model: LocalModel) -> tuple[Any, ...]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids, labels = ([torch.tensor(r[key]) for r in rows] for key in ("input_ids", "labels"))
    parts = (
        pad_sequence(ids, batch_first=True, padding_value=model.tokenizer.pad_token_id),
        pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
        pad_sequence([tokens >= 0 for tokens in labels], batch_first=True),
    )
    return tuple(part.to(model.device) for part in parts)
