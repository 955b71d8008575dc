"""What a network predicts at some tokens of a batch: its output layer, a fifth of the embedded model, is left out at all others."""

from __future__ import annotations

from typing import Any


def logits_at(network: Any, ids: Any, mask: Any, learned: Any) -> Any:
    """Return the logits, as float32, by which each token that `learned` marks is predicted: marked tokens × vocabulary.

    The others are of shape texts × tokens, `mask` 1 where there is text. The first token of a text is predicted by nothing,
    marked or not.
    """
    places = learned[:, 1:]
    head = network.get_output_embeddings()
    if head is None:
        return _read(network, ids, mask)[:, :-1][places].float()
    hook = head.register_forward_pre_hook(lambda _, states: (states[0][:, :-1][places],))
    try:
        return _read(network, ids, mask).float()
    finally:
        hook.remove()


def _read(network: Any, ids: Any, mask: Any) -> Any:
    return network(input_ids=ids, attention_mask=mask, use_cache=False).logits
