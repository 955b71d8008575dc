"""What a language model makes of a text up to half-way: the mean hidden states of some of its layers.

A sentence embedder puts texts on one subject together. A language model that has read much more tells better
what is wanted of the subject, and its middle layers tell it best: the last ones look for the next word. Those below
are read on the way, and tell more of it together than the highest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.models.embedded import GGUF_SHA256, embedded_folder
from trimtab.models.prefill import by_length, tokens_at_once
from trimtab.records.record import digest

LAYERS = (6, 10, 14, 18)  # how many were passed when the states are read
MOST_TOKENS = 256


class States:
    """Mean states after each of `LAYERS` of the embedded model, which is loaded at first use."""

    digest = digest([GGUF_SHA256, *LAYERS])

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector of each layer, one after the other: shape (texts, layers × hidden size).

        A text beyond 256 tokens is cut, the first token left out.
        The first token's state is the same for every text, and far greater than the others.
        """
        unique = sorted(set(texts))  # texts repeat, and each is read once
        network, tokenizer = self._loaded
        found = np.zeros((len(unique), len(LAYERS) * network.config.hidden_size), dtype=np.float32)
        if not unique:
            return found
        tokens = tokenizer(unique, truncation=True, max_length=MOST_TOKENS)["input_ids"]
        for batch in by_length(tokens, len, tokens_at_once(network.device.type)):
            found[batch] = self._means([tokens[i] for i in batch])
        place = {text: i for i, text in enumerate(unique)}
        return found[[place[t] for t in texts]]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from torch.nn import Identity
        from transformers import AutoModel, AutoTokenizer

        from trimtab.models.local import pick_device, quiet

        quiet()
        device, dtype = pick_device()
        tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
        network = AutoModel.from_pretrained(embedded_folder(), dtype=dtype, use_safetensors=True)
        del network.layers[max(LAYERS) :]
        network.norm = Identity()  # it is made for the last layer
        return network.to(device).eval(), tokenizer

    def _means(self, rows: list[list[int]]) -> NDArray[np.float32]:
        import torch

        network, tokenizer = self._loaded
        batch = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt").to(
            network.device
        )
        with torch.no_grad():
            states = network(**batch, use_cache=False, output_hidden_states=True).hidden_states
        mask = batch["attention_mask"].clone()
        mask[:, 0] = 0
        number = mask.sum(1, keepdim=True).clamp(min=1)
        means = [(states[passed].float() * mask[..., None]).sum(1) / number for passed in LAYERS]
        units = [torch.nn.functional.normalize(m, dim=-1) for m in means]
        vectors: NDArray[np.float32] = torch.cat(units, dim=-1).cpu().numpy()
        return vectors
