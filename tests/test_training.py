"""What a trainer learns of a record, and that it learns the same however it is computed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from trimtab.models.guard import Layers, logits
from trimtab.models.local import LocalModel
from trimtab.records.record import Record, conversation
from trimtab.training import adapter
from trimtab.training.adapter import public_name
from trimtab.training.guard import mean_network
from trimtab.training.sft import row, train_sft

ASKED = "Why is the sky blue?"
RECORDS = [
    Record(kind="sft", messages=conversation(f"{ASKED} {i}", "Air scatters blue light.")) for i in range(8)
]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name="tiny")


def learned(model: LocalModel, *turns: str) -> str:
    made = row(model, Record(kind="sft", messages=conversation(*turns)))
    assert len(made["input_ids"]) == len(made["labels"])
    tokens = [t for t in made["labels"] if t != -100]
    assert made["labels"][-len(tokens) :] == tokens == made["input_ids"][-len(tokens) :]
    return str(model.tokenizer.decode(tokens))


def test_the_last_turn_and_its_end_are_learned(model: LocalModel) -> None:
    end = model.tokenizer.eos_token
    assert learned(model, ASKED, "Air scatters blue light.").strip() == f"Air scatters blue light.{end}"
    talk = (ASKED, "Air does it.", "And why is it red at dusk?", "The way through the air is longer.")
    assert learned(model, *talk).strip() == f"{talk[-1]}{end}"


def test_a_reply_that_was_cut_does_not_teach_to_stop(model: LocalModel) -> None:
    assert (
        learned(model, ASKED, "Air scatters blue light more than").strip()
        == "Air scatters blue light more than"
    )


def test_scoring_only_what_is_learned_changes_no_loss(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer import utils

    before = utils._use_triton
    fast = train_sft(model, RECORDS, tmp_path / "fast", seed=0)
    assert utils._use_triton is before
    monkeypatch.setattr(adapter, "_scoring_what_is_learned", nullcontext)
    whole = train_sft(model, RECORDS, tmp_path / "whole", seed=0)
    assert fast.first_loss == pytest.approx(whole.first_loss, rel=1e-5)
    assert fast.last_loss == pytest.approx(whole.last_loss, rel=1e-4)


def test_a_mean_network_gives_the_mean_of_the_log_odds() -> None:
    draw = np.random.default_rng(0)

    def network() -> Layers:
        shapes = [((6, 4), (4,)), ((4, 1), (1,))]
        return [
            (draw.normal(size=w).astype(np.float32), draw.normal(size=b).astype(np.float32))
            for w, b in shapes
        ]

    networks, vectors = [network() for _ in range(3)], draw.normal(size=(5, 6)).astype(np.float32)
    mean = np.mean([logits(n, vectors) for n in networks], axis=0)
    np.testing.assert_allclose(logits(mean_network(networks), vectors), mean, rtol=1e-5)


def test_an_adapter_names_its_base_as_others_know_it_and_counts_its_tokens(
    model: LocalModel, tmp_path: Path
) -> None:
    trained = train_sft(model, RECORDS, tmp_path / "a", seed=0)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert trained.tokens == sum(len(row(model, r)["input_ids"]) for r in RECORDS)
    assert public_name("embedded") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert public_name("hf/org/name@abc") == "org/name"
    assert public_name("dir/home/me/model/") == "model"
