"""Loops: the texts that are made of good ones, what is counted on them, and that an adapter learns to leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.models.local import LocalModel
from trimtab.records.record import Record, conversation
from trimtab.training import equalise, retention
from trimtab.training.equalise import train_equalise
from trimtab.training.loops import BEFORE, PERIOD, SAME, TURNS, looping, unlikelihood
from trimtab.training.rows import row

MOST = 160
REPLIES = [
    "Iron is a metal, and it rusts.",
    "Rain falls from clouds. " * 20,
    "Yes.",
    "Rivers run to the sea.",
]
RECORDS = [Record(kind="sft", messages=conversation("Tell me more.", r)) for r in REPLIES]
PAIRS = [Record(kind="pair", text_a=f"He is a nurse {i}.", text_b=f"She is a nurse {i}.") for i in range(8)]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name="tiny")


@pytest.fixture(scope="module")
def looped(model: LocalModel) -> list[dict[str, list[int]]]:
    return looping([row(model, r) for r in RECORDS], model, MOST, 0)


def test_a_loop_begins_as_the_text_does_and_goes_round(
    model: LocalModel, looped: list[dict[str, list[int]]]
) -> None:
    assert len(looped) == len(RECORDS)
    for made, record in zip(looped, RECORDS, strict=True):
        whole = row(model, record)
        before = whole["labels"].count(-100)
        ids, first = made["input_ids"], next(i for i, label in enumerate(made["labels"]) if label >= 0)
        goes_round = first - SAME  # where the second time round begins
        assert ids[:goes_round] == whole["input_ids"][:goes_round]
        assert before < goes_round <= before + BEFORE + PERIOD
        periods = [p for p in range(1, PERIOD + 1) if ids[goes_round - p : -p] == ids[goes_round:]]
        assert periods, "what follows is what stands a period before"
        assert len(ids) == min(MOST, goes_round + TURNS)
        assert made["labels"] == [-100] * first + ids[first:]
        assert model.tokenizer.eos_token_id not in ids[before:]


def test_a_text_without_room_makes_no_loop(model: LocalModel) -> None:
    full = Record(kind="sft", messages=conversation("word " * 400, "Yes."))
    silent = {"input_ids": [5, 6, 2], "labels": [-100, -100, 2]}  # the end of the turn is all that is learned
    assert looping([row(model, full), silent], model, MOST, 0) == []


def test_the_same_seed_makes_the_same_loops(model: LocalModel) -> None:
    rows = [row(model, r) for r in RECORDS]
    assert looping(rows, model, MOST, 3) == looping(rows, model, MOST, 3) != looping(rows, model, MOST, 4)


def unlikely(network: Any, rows: list[dict[str, list[int]]]) -> float:
    """Return the mean of −log(1 − p) over what is marked, row by row and from its definition."""
    import torch

    found: list[float] = []
    for made in rows:
        with torch.inference_mode():
            p = network(input_ids=torch.tensor([made["input_ids"]])).logits[0].double().softmax(-1)
        found += [
            float(-np.log1p(-float(p[i - 1, t]))) for i, t in enumerate(made["labels"]) if i and t != -100
        ]
    return float(np.mean(found))


def test_unlikelihood_is_what_it_is_defined_as(model: LocalModel, looped: list[dict[str, list[int]]]) -> None:
    import torch

    with torch.inference_mode():
        found = float(unlikelihood(model.network, *retention._batch(looped, model)))
    assert found == pytest.approx(unlikely(model.network, looped), rel=1e-3)


def test_of_a_token_that_is_certain_it_still_says_which_way_to_go() -> None:
    import torch

    logits = torch.tensor([[[0.0, 60.0, 0.0], [0.0, 0.0, 0.0]]], requires_grad=True)

    class Network:
        def get_output_embeddings(self) -> None:
            """Have none that stands apart."""

        def __call__(self, **_: object) -> Any:
            return type("Out", (), {"logits": logits})

    ids = torch.tensor([[0, 1]])
    loss = unlikelihood(Network(), ids, torch.ones_like(ids), torch.tensor([[False, True]]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(60 - np.log(2), rel=1e-5)
    assert logits.grad is not None
    assert logits.grad[0, 0].tolist() == pytest.approx([-0.5, 1.0, -0.5], abs=1e-5)


def test_unlikely_loops_are_added_to_the_loss_and_become_less_likely(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = RECORDS[:1]  # so that every step has the same loop
    looped = looping([row(model, t) for t in texts], model, MOST, 0)
    bare, weight = unlikely(model.network, looped), 2e3  # random weights make no token likely
    first, found = {}, {}
    for loops in (0.0, weight):
        monkeypatch.setattr(equalise, "LOOPS", loops)
        folder = tmp_path / f"{loops:g}"
        first[loops] = train_equalise(
            model, PAIRS, folder, seed=0, texts=texts, rate=0.05, epochs=20
        ).first_loss
        model.set_adapters({folder: 1.0})
        found[loops] = unlikely(model.network, looped)
        model.set_adapters({})
    assert first[weight] - first[0.0] == pytest.approx(weight * bare, rel=1e-3)
    assert found[weight] < 0.95 * min(bare, found[0.0])
