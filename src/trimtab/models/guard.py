"""The guard: small classifiers in front of a model that decide which prompts are not passed on.

A prompt is read in views: overlapping windows of 256 tokens, the sentences in them, and simple codes in plain
text. Each gets a score from its embedding; the highest views are read a second time, by a language model, whose
score is added; the maximum counts, less the log of the number of views, since a long prompt has more of them that
may look harmful by chance. Weights are safetensors, everything else is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import ModelError, Problem
from trimtab.models.cache import folder_digest, written
from trimtab.models.embedder import Embedder
from trimtab.models.protocol import Messages
from trimtab.models.states import States
from trimtab.models.views import decoded, pieces
from trimtab.records.record import digest

Floats = NDArray[np.float32]
Layers = list[tuple[Floats, Floats]]
SECOND_LOOKS = 2  # views of a prompt that are read by the language model too
ENCODER = "encoder"  # the folder in the guard's that holds the adapter of its embedder
REPLY = "I can't help with that. If there is something related that is lawful and does no harm, I am glad to help with it."


@dataclass
class Guard:
    """Layers of (weights, bias) with ReLU between them over unit embeddings; blocks at `threshold` and above.

    `second` are such layers over the states of the embedded language model; without them there is no second look.
    """

    layers: Layers
    threshold: float
    about: dict[str, Any] = field(default_factory=dict)
    embedder_folder: Path | None = None
    encoder: Path | None = None  # a LoRA adapter of the embedder
    digest: str = ""
    second: Layers = field(default_factory=list)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, loaded at first use; raises ModelError when the guard was fitted on another."""
        embedder = Embedder(self.embedder_folder, self.encoder)
        self._same("embedder", embedder.digest)
        return embedder

    @cached_property
    def states(self) -> States:
        """The reader of the second look; raises ModelError when the guard was fitted on another."""
        self._same("states", States.digest)
        return States()

    def _same(self, part: str, found: str) -> None:
        if self.about.get(part, found) != found:
            what, fix = f"it was fitted on another {part}", "Install the packages that it was made with."
            raise ModelError(Problem(f"guard.other-{part}", "guard", what, fix))

    def scores(self, prompts: Sequence[str]) -> Floats:
        """Return the highest log-odds over the views of each prompt, less the log of their number; shape (prompts,).

        That one of n views holds a request has odds of 1 to n - 1 before it is read, whichever view it is.
        """
        views, owner = views_of(self.embedder, prompts)
        number = np.bincount(owner, minlength=len(prompts))
        scores = logits(self.layers, self.embedder.embed(views))
        if self.second:
            chosen = highest_views(scores, owner, SECOND_LOOKS)
            looked = logits(self.second, self.states.read([views[i] for i in chosen]))
            scores, owner = scores[chosen] + looked, owner[chosen]
        highest = np.full(len(prompts), -np.inf, dtype=np.float32)
        np.maximum.at(highest, owner, scores)
        return highest - np.log(np.maximum(number, 1), dtype=np.float32)

    def blocks(self, conversations: Sequence[Messages]) -> list[bool]:
        """Return for each conversation whether any of its user turns is blocked."""
        turns = [(i, m["content"]) for i, c in enumerate(conversations) for m in c if m["role"] == "user"]
        blocked = [False] * len(conversations)
        for (i, _), score in zip(turns, self.scores([t for _, t in turns]), strict=True):
            blocked[i] |= bool(score >= self.threshold)
        return blocked

    def save(self, folder: Path) -> None:
        """Write `guard.safetensors` and `guard.json` into the folder that holds the encoder's adapter, if any.

        Raises InputError when the disk refuses.
        """
        from safetensors.numpy import save_file

        tensors = {
            f"{prefix}{part}{i}": a
            for prefix, layers in (("", self.layers), ("second_", self.second))
            for i, layer in enumerate(layers)
            for part, a in zip("wb", layer, strict=True)
        }
        about = {
            "threshold": self.threshold,
            "layers": len(self.layers),
            "second_layers": len(self.second),
            "about": self.about,
        }
        text = json.dumps(about, indent=2, sort_keys=True) + "\n"
        with written(folder, "guard.not-written"):
            folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, str(folder / "guard.safetensors"))
            (folder / "guard.json").write_text(text, encoding="utf-8")
        self.digest = guard_digest(folder)


def guard_digest(folder: Path) -> str:
    """Return the SHA-256 over the guard's files, the adapter of its encoder included."""
    own, encoder = folder_digest(folder, "guard.*"), encoder_digest(folder)
    return digest([own, encoder]) if encoder else own


def encoder_digest(folder: Path) -> str | None:
    """Return the SHA-256 over the adapter of a guard's encoder, None where the folder holds none."""
    encoder = folder / ENCODER
    return folder_digest(encoder, "adapter_*") if encoder.exists() else None


def load_guard(folder: Path, embedder_folder: Path | None = None) -> Guard:
    """Read a guard that `Guard.save` wrote; raises ModelError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        head = json.loads((folder / "guard.json").read_text(encoding="utf-8"))
        tensors = load_file(str(folder / "guard.safetensors"))
        layers = [(tensors[f"w{i}"], tensors[f"b{i}"]) for i in range(head["layers"])]
        second = [(tensors[f"second_w{i}"], tensors[f"second_b{i}"]) for i in range(head["second_layers"])]
        _check_layers(layers, head["threshold"])
        if second:
            _check_layers(second, head["threshold"])
        about = dict(head["about"])
        if ENCODER in about and about[ENCODER] != encoder_digest(folder):
            raise ValueError(f"{ENCODER}/ is not the one that it was fitted with, or is missing")
        guard = Guard(layers, float(head["threshold"]), about, embedder_folder, second=second)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        fix = "Take the whole guard folder from the run or bundle again, encoder/ too."
        raise ModelError(Problem("guard.damaged", str(folder), f"cannot be read ({error})", fix)) from error
    guard.encoder = folder / ENCODER if (folder / ENCODER).exists() else None
    guard.digest = guard_digest(folder)
    return guard


def _check_layers(layers: Sequence[tuple[Floats, Floats]], threshold: float) -> None:
    """Raise ValueError unless each layer fits the next, the last gives one score, and all is finite."""
    if not layers or not np.isfinite(threshold):
        raise ValueError("it has no layers, or its threshold is not a finite number")
    widths = [len(weights) for weights, _ in layers[1:]] + [1]
    for i, ((weights, bias), width) in enumerate(zip(layers, widths, strict=True)):
        if weights.ndim != 2 or weights.shape[1] != width or bias.shape != (width,):
            raise ValueError(f"layer {i} does not fit the next")
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ValueError(f"layer {i} has values that are not finite")


def logits(layers: Layers, vectors: Floats) -> Floats:
    """Return the log-odds that a network of `layers` gives each vector, shape (n,)."""
    for weights, bias in layers[:-1]:
        vectors = np.maximum(vectors @ weights + bias, 0)
    weights, bias = layers[-1]
    return np.asarray((vectors @ weights + bias)[:, 0], dtype=np.float32)


def highest_views(scores: Floats, owner: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the indices of the `most` highest scores of each owner, in order."""
    order = np.lexsort((-scores, owner))
    _, first, sizes = np.unique(owner[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, sizes)
    return np.sort(order[place < most])


def views_of(embedder: Embedder, prompts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return all views of all prompts, and the index of the prompt of each."""
    views = [(i, view) for i, prompt in enumerate(prompts) for view in prompt_views(embedder, prompt)]
    return [view for _, view in views], np.array([i for i, _ in views], dtype=np.int64)


def prompt_views(embedder: Embedder, prompt: str) -> list[str]:
    """Return the windows of a prompt, its pieces, and what its codes say, without repeats."""
    return list(dict.fromkeys([*embedder.windows(prompt), *pieces(prompt), *decoded(prompt)]))
