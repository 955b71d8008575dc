"""What a language model makes of a text half-way up: the mean hidden state of one of its middle layers.

A sentence embedder puts texts on one subject together. A language model that has read much more tells better
what is wanted of the subject, and its middle layers tell it best: the last ones look for the next word.
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

LAYERS, MOST_TOKENS = 18, 256


class States:
    """Mean states after the first 18 layers of the embedded model; it is loaded at first use."""

    digest = digest([GGUF_SHA256, LAYERS])

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (texts, hidden size); a text beyond 256 tokens is cut, the first token left out.

        The first token's state is the same for every text, and far greater than the others.
        """
        unique = sorted(set(texts))  # texts repeat, and each is read once
        network, tokenizer = self._loaded
        found = np.zeros((len(unique), network.config.hidden_size), dtype=np.float32)
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
        del network.layers[LAYERS:]
        network.norm = Identity()  # it is made for the last layer
        return network.to(device).eval(), tokenizer

    def _means(self, rows: list[list[int]]) -> NDArray[np.float32]:
        import torch

        network, tokenizer = self._loaded
        batch = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt").to(
            network.device
        )
        with torch.no_grad():
            states = network(**batch, use_cache=False).last_hidden_state.float()
        mask = batch["attention_mask"].clone()
        mask[:, 0] = 0
        means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
        return vectors
