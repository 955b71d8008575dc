"""The equalising loss: what it is before anything was learned, from its definition, and that pairs become alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Question
from trimtab.records.record import Record, conversation
from trimtab.training import equalise
from trimtab.training.equalise import LM, RETAINING_LM, WEIGHT, train_equalise

Floats = NDArray[np.float64]
PAIRS = [
    Record(kind="pair", text_a=f"He works as a nurse {i}.", text_b=f"She works as a nurse {i}.")
    for i in range(6)
]
TEXTS = [Record(kind="sft", messages=conversation("Tell me of iron.", "Iron is a metal."))]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name="tiny")


def scores(model: LocalModel) -> tuple[Floats, Floats, float]:
    """Return the log-likelihood of both texts of each pair, and the tokens of all of them."""
    questions = [Question(text or "") for p in PAIRS for text in (p.text_a, p.text_b)]
    found = model.loglikelihood(questions)
    totals = np.array([f.total for f in found]).reshape(-1, 2)
    return totals[:, 0], totals[:, 1], float(sum(f.tokens for f in found))


@pytest.mark.parametrize(("texts", "share"), [((), LM), (TEXTS, RETAINING_LM)])
def test_the_first_loss_is_what_it_is_defined_as(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[Record], share: float
) -> None:
    monkeypatch.setattr(equalise, "LOOPS", 0.0)  # and a model does not diverge from itself
    a, b, tokens = scores(model)
    expected = share * -(a.sum() + b.sum()) / tokens + WEIGHT * np.mean((a - b) ** 2)
    trained = train_equalise(model, PAIRS, tmp_path / "adapter", seed=0, texts=texts)
    assert trained.first_loss == pytest.approx(expected, rel=1e-3)


def test_what_is_learned_brings_the_texts_of_a_pair_together(model: LocalModel, tmp_path: Path) -> None:
    model.set_adapters({})
    a, b, _ = scores(model)
    train_equalise(model, PAIRS, tmp_path / "adapter", seed=0, rate=0.05, epochs=20)
    model.set_adapters({tmp_path / "adapter": 1.0})
    after_a, after_b, _ = scores(model)
    model.set_adapters({})
    assert np.abs(after_a - after_b).mean() < 0.5 * np.abs(a - b).mean()
