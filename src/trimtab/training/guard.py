"""Fits the guard: classifiers on embeddings and states, and its threshold at a fixed false-positive rate on `tune`.

The reading of a long prompt is the maximum over its views, so it is trained on views: the harmful request and
the whole wrapped prompt count as harmful; the same wrapping around a benign twin, and everything ordinary, does not.
"""

from __future__ import annotations

import math
import random
import shutil
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
from trimtab.models.guard import ENCODER, Floats, Guard, Layers, encoder_digest
from trimtab.models.protocol import Progress
from trimtab.models.states import States
from trimtab.models.views import pieces
from trimtab.training.encoder import tune_encoder

FALSE_POSITIVES, TWIN_POSITIVES = 0.03, 0.08
"""Of ordinary prompts, and of benign twins in an attack's wrapping, some of which the model refuses by itself."""
HIDDEN, NETWORKS = 32, 5
SHORT = 60  # words
MOST_LONG = 150  # of each side, for the second look: with all it takes twice as long and catches no more
MOST_WINDOWS, MOST_PIECES = 600, 800  # of benign prompts other than twins; there are thousands
LENGTH_BINS = (20, 60, 120)  # words


@dataclass(frozen=True)
class GuardData:
    """Prompts to learn from and to set the threshold on; `twins` are those of `requests` and of `wrapped`.

    The benign prompts of `tune` are the ordinary ones, bare and wrapped; its wrapped twins are told apart.
    """

    requests: Sequence[str]
    wrapped: Sequence[str]
    twins: Sequence[str]
    benign: Sequence[str]
    tune_attacks: Sequence[str]
    tune_benign: Sequence[str]
    tune_twins: Sequence[str]


def train_guard(data: GuardData, folder: Path, *, seed: int, progress: Progress | None = None) -> Guard:
    """Write a guard to `folder`, whole or not at all: its encoder tuned, its classifier fitted, its threshold set."""
    report = progress or (lambda _: None)
    if (
        folder.exists()
    ):  # left by a run that was killed before it noted what it came to: a folder that is there wins
        shutil.rmtree(folder)
    with made_whole(folder) as temporary:
        harmful, harmless = _texts(data, seed)
        tune_encoder(Embedder(), harmful, harmless, temporary / ENCODER, seed=seed, progress=report)
        guard = fit_guard(data, Embedder(adapter=temporary / ENCODER), seed=seed)
        guard.about[ENCODER] = encoder_digest(temporary)
        guard.save(temporary)
    guard.encoder = folder / ENCODER
    report(1)
    return guard


def fit_guard(data: GuardData, embedder: Embedder, *, seed: int) -> Guard:
    """Return a guard fitted on what `data` has to learn from, its threshold set on what is benign in `tune`.

    The two looks are fitted apart and their scores added. One network over both would lean on the embeddings,
    which were tuned on the same texts and part them better than they will part others.
    """
    harmful, harmless = _views(data, embedder, seed)
    states = States()
    first = _fit(
        embedder.embed(harmful), embedder.embed(harmless), decay=0.1, rate=3e-3, epochs=60, seed=seed
    )
    second = fit_states(*(states.read(few_long(texts, seed)) for texts in (harmful, harmless)), seed=seed)
    guard = Guard(first, threshold=math.inf, second=second)
    guard.embedder, guard.states = embedder, states
    benign, attacks = guard.scores(data.tune_benign), guard.scores(data.tune_attacks)
    twins = guard.scores(data.tune_twins)
    guard.threshold = max(threshold_at(benign, FALSE_POSITIVES), threshold_at(twins, TWIN_POSITIVES))
    guard.about = _about(guard.threshold, data, benign, attacks) | {
        "twins_blocked": float((twins >= guard.threshold).mean()),
        "n_twins": len(twins),
        "embedder": embedder.digest,
        "states": states.digest,
        "seed": seed,
    }
    return guard


def fit_states(harmful: Floats, harmless: Floats, *, seed: int) -> Layers:
    """Return the network of the second look, fitted on states (`States.read`) of texts of both sides."""
    from sklearn.preprocessing import StandardScaler

    # Their dimensions differ a hundredfold in size, those of embeddings do not.
    scaler = StandardScaler().fit(np.concatenate([harmful, harmless]))
    one, other = scaler.transform(harmful), scaler.transform(harmless)
    return _unscaled(_fit(one, other, decay=3.0, rate=1e-3, epochs=40, seed=seed), scaler)


def _views(data: GuardData, embedder: Embedder, seed: int) -> tuple[list[str], list[str]]:
    """Return the texts that the classifiers learn from: harmful ones, and views of harmless ones.

    Views of a wrapped attack other than the request itself are left out: the benign twins teach the wrapping.
    Long texts are as many on both sides, or length would pass for harm.
    """
    draw = random.Random(seed)
    windows = list(dict.fromkeys(w for t in data.benign for w in embedder.windows(t)))
    parts = list(dict.fromkeys(p for t in data.benign for p in pieces(t)))
    draw.shuffle(windows)
    draw.shuffle(parts)
    harmless = [*data.twins, *windows[:MOST_WINDOWS], *parts[:MOST_PIECES]]
    return [*data.requests, *data.wrapped], harmless


def few_long(texts: Sequence[str], seed: int) -> list[str]:
    """Return the texts of at most SHORT words, and some of the longer ones."""
    short, long = ([t for t in texts if (len(t.split()) > SHORT) == longer] for longer in (False, True))
    random.Random(seed).shuffle(long)
    return [*short, *long[:MOST_LONG]]


def guard_steps(data: GuardData) -> int:
    """Return how many rows the tuning will report, and one for the fit."""
    return sum(map(len, _texts(data, 0))) + 1


def _texts(data: GuardData, seed: int) -> tuple[list[str], list[str]]:
    """Return what the encoder is tuned on: requests and their twins, some wrapped, and pieces of other prompts."""
    draw = random.Random(seed)
    wrapped = [t for t in data.wrapped if len(t.split()) <= SHORT]
    pool = [v for t in data.benign for v in (pieces(t) or [t]) if len(v.split()) <= SHORT]
    others = list(dict.fromkeys(pool))
    draw.shuffle(wrapped)
    draw.shuffle(others)
    some = len(data.requests) // 4
    twins = [t for t in data.twins if len(t.split()) <= SHORT]
    return [*data.requests, *wrapped[:some]], [*twins, *others[: 2 * some]]


def threshold_at(scores: NDArray[np.float32], rate: float) -> float:
    """Return the lowest threshold that blocks no more than `rate` of the scores (score ≥ threshold blocks)."""
    allowed = math.floor(rate * len(scores))
    ordered = np.sort(scores)[::-1]
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.float32(np.inf)))


def _fit(harmful: Floats, harmless: Floats, *, decay: float, rate: float, epochs: int, seed: int) -> Layers:
    """Return a network that parts two lists of vectors, both weighing the same: the mean of several small ones.

    Small networks differ by their seeds more than by anything else that was tried; their mean does not.
    """
    vectors = np.concatenate([harmful, harmless])
    labels = np.repeat([1, 0], [len(harmful), len(harmless)])
    copies = max(1, round(len(harmless) / len(harmful)))
    order = np.concatenate([np.tile(np.flatnonzero(labels == 1), copies), np.flatnonzero(labels == 0)])
    return mean_network(
        [
            _fit_one(vectors[order], labels[order], decay=decay, rate=rate, epochs=epochs, seed=seed + i)
            for i in range(NETWORKS)
        ]
    )


def _fit_one(
    vectors: Floats, labels: NDArray[np.int64], *, decay: float, rate: float, epochs: int, seed: int
) -> Layers:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (HIDDEN,), alpha=decay, max_iter=epochs, random_state=seed, learning_rate_init=rate
    )
    with warnings.catch_warnings():
        # A fixed number of passes is wanted, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(vectors, labels)
    return [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(network.coefs_, network.intercepts_, strict=True)
    ]


def mean_network(networks: Sequence[Layers]) -> Layers:
    """Return one network of one hidden layer whose log-odds are the mean of those of networks like it."""
    (hidden, last), n = zip(*networks, strict=True), len(networks)
    return [
        (np.concatenate([w for w, _ in hidden], axis=1), np.concatenate([b for _, b in hidden])),
        (np.concatenate([w for w, _ in last]) / n, np.mean([b for _, b in last], axis=0)),
    ]


def _unscaled(layers: Layers, scaler: Any) -> Layers:
    """Put the scaling of the vectors into the first layer, so that the guard reads them as they are."""
    (weights, bias), *others = layers
    weights = weights / scaler.scale_[:, None]
    bias = bias - scaler.mean_ @ weights
    return [(weights.astype(np.float32), bias.astype(np.float32)), *others]


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
