"""Fits the guard: a classifier on embeddings, and its threshold at a fixed false-positive rate on `tune`.

The reading of a long prompt is the maximum over its views, so it is trained on views: the harmful request and
the whole wrapped prompt count as harmful; the same wrapping around a benign twin, and everything ordinary, does not.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.models.cache import made_whole
from trimtab.models.embedder import Embedder
from trimtab.models.guard import ENCODER, Guard, view_vectors
from trimtab.models.protocol import Progress
from trimtab.models.views import pieces
from trimtab.training.encoder import EPOCHS, tune_encoder

FALSE_POSITIVES = 0.02
HIDDEN = 32
SHORT = 60  # words
LENGTH_BINS = (20, 60, 120)  # words


@dataclass(frozen=True)
class GuardData:
    """Prompts to learn from and to set the threshold on; `twins` are the benign twins of `requests`."""

    requests: Sequence[str]
    wrapped: Sequence[str]
    twins: Sequence[str]
    benign: Sequence[str]
    tune_attacks: Sequence[str]
    tune_benign: Sequence[str]


def train_guard(data: GuardData, folder: Path, *, seed: int, progress: Progress | None = None) -> Guard:
    """Write a guard to `folder`, whole or not at all: its encoder tuned, its classifier fitted, its threshold set."""
    report = progress or (lambda _: None)
    with made_whole(folder) as temporary:
        harmful, harmless = _texts(data, seed)
        tune_encoder(Embedder(), harmful, harmless, temporary / ENCODER, seed=seed, progress=report)
        guard = fit_guard(data, Embedder(adapter=temporary / ENCODER), seed=seed)
        guard.save(temporary)
    guard.encoder = folder / ENCODER
    report(1)
    return guard


def fit_guard(data: GuardData, embedder: Embedder, *, seed: int) -> Guard:
    """Return a guard fitted on what `data` has to learn from, its threshold set on `tune_benign`."""
    layers = _fit(data, embedder, seed)
    guard = Guard(layers, threshold=math.inf)
    guard.embedder = embedder
    benign, attacks = guard.scores(data.tune_benign), guard.scores(data.tune_attacks)
    guard.threshold = threshold_at(benign, FALSE_POSITIVES)
    guard.about = _about(guard.threshold, data, benign, attacks) | {"embedder": embedder.digest, "seed": seed}
    return guard


def guard_steps(data: GuardData) -> int:
    """Return how many rows the tuning will report, and one for the fit."""
    return EPOCHS * sum(map(len, _texts(data, 0))) + 1


def _texts(data: GuardData, seed: int) -> tuple[list[str], list[str]]:
    """Return what the encoder is tuned on: requests and their twins, some wrapped, and pieces of other prompts."""
    draw = random.Random(seed)
    wrapped = [t for t in data.wrapped if len(t.split()) <= SHORT]
    pool = [v for t in data.benign for v in (pieces(t) or [t]) if len(v.split()) <= SHORT]
    others = list(dict.fromkeys(pool))
    draw.shuffle(wrapped)
    draw.shuffle(others)
    some = len(data.requests) // 4
    return [*data.requests, *wrapped[:some]], [*data.twins, *others[: 2 * some]]


def threshold_at(scores: NDArray[np.float32], rate: float) -> float:
    """Return the lowest threshold that blocks no more than `rate` of the scores (score ≥ threshold blocks)."""
    allowed = math.floor(rate * len(scores))
    ordered = np.sort(scores)[::-1]
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.float32(np.inf)))


def _fit(data: GuardData, embedder: Embedder, seed: int) -> list[tuple[Any, Any]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    # Views of a wrapped attack other than the request itself are left out: the benign twins teach the wrapping.
    harmful = embedder.embed([*data.requests, *data.wrapped])
    harmless, _ = view_vectors(embedder, [*data.twins, *data.benign])
    vectors = np.concatenate([harmful, harmless])
    labels = np.repeat([1, 0], [len(harmful), len(harmless)])
    copies = max(1, round(len(harmless) / len(harmful)))
    order = np.concatenate([np.tile(np.flatnonzero(labels == 1), copies), np.flatnonzero(labels == 0)])
    network = MLPClassifier((HIDDEN,), alpha=0.1, max_iter=60, random_state=seed, learning_rate_init=3e-3)
    with warnings.catch_warnings():
        # A fixed number of passes is wanted, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(vectors[order], labels[order])
    return [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(network.coefs_, network.intercepts_, strict=True)
    ]


def _about(
    threshold: float, data: GuardData, benign: NDArray[np.float32], attacks: NDArray[np.float32]
) -> dict[str, Any]:
    """Describe the guard on `tune`: rates by length bin, and what blocking by length alone would do."""
    lengths = np.array([len(p.split()) for p in data.tune_benign])
    attack_lengths = np.array([len(p.split()) for p in data.tune_attacks])
    edges = [0, *LENGTH_BINS, 10**9]
    by_length = []
    for low, high in pairwise(edges):
        inside = (lengths >= low) & (lengths < high)
        if inside.any():
            name = f"{low}–{high - 1} words" if high < 10**9 else f"{low} words or more"
            blocked = float((benign[inside] >= threshold).mean())
            by_length.append({"bin": name, "n": int(inside.sum()), "rate": blocked})
    cut = threshold_at(lengths.astype(np.float32), FALSE_POSITIVES)
    return {
        "false_positive_rate": float((benign >= threshold).mean()),
        "caught": float((attacks >= threshold).mean()),
        "by_length": by_length,
        "length_only": {
            "attacks_caught": float((attack_lengths >= cut).mean()),
            "benign_blocked": float((lengths >= cut).mean()),
        },
        "n_benign": len(lengths),
        "n_attacks": len(attack_lengths),
    }
