"""Sentence embeddings, over overlapping windows where a text is longer than the embedder reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import MissingPartError, ModelError, Problem
from trimtab.models.cache import file_digest
from trimtab.models.lora import attach, check_fit, linear_shapes, read_lora

WINDOW, STRIDE = 256, 128
BATCH = 16  # texts; what is read at once stays within the cache of a processor


class Embedder:
    """all-MiniLM-L6-v2 (384 dimensions, reads 256 tokens) unless another folder is given.

    `adapter` is a PEFT LoRA folder that was tuned for it; `digest` is that of the weights without it.
    """

    def __init__(self, folder: Path | None = None, adapter: Path | None = None) -> None:
        from trimtab.models.embedded import embedder_path
        from trimtab.models.local import pick_device, quiet

        quiet()
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingPartError("sentence-transformers", "local", "to embed texts") from error
        folder = folder or embedder_path()
        weights = folder / "model.safetensors"
        if not weights.is_file():
            fix = "Name a sentence-transformers folder with safetensors; pickles are never loaded."
            raise ModelError(Problem("embedder.no-weights", str(folder), "no model.safetensors", fix))
        self._model: Any = SentenceTransformer(
            str(folder),
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": pick_device()[1]},
        )
        self.digest = file_digest(weights)
        if adapter is not None:
            deltas = read_lora(adapter)
            check_fit(adapter, deltas, linear_shapes(self.encoder()))
            attach(self.encoder(), [(deltas, 1.0)])

    def encoder(self) -> Any:
        """Return the transformer under the pooling."""
        return self._model[0].auto_model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self._model.tokenizer

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (texts, 384); a text beyond 256 tokens is cut."""
        if not texts:
            return np.zeros((0, self._model.get_embedding_dimension()), dtype=np.float32)
        # Texts repeat (the sentences of a wrapping do), and each is embedded once.
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        found = self._model.encode(list(place), batch_size=BATCH, show_progress_bar=False)
        vectors = np.asarray(found, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors[[place[t] for t in texts]]

    def windows(self, text: str) -> list[str]:
        """Cut a text into overlapping windows of 256 tokens, half a window apart; a short text is one window."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        offsets = encoded["offset_mapping"]
        room = WINDOW - 2  # the two special tokens
        if len(offsets) <= room:
            return [text]
        starts = range(0, len(offsets) - room + STRIDE, STRIDE)
        return [text[offsets[s][0] : offsets[min(s + room, len(offsets)) - 1][1]] for s in starts]
