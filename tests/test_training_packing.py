"""Packed batches: what is read of them and learned from them is what the padded ones give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.models import local
from trimtab.models.local import LocalModel
from trimtab.training.adapter import _in_its_format, lora_config
from trimtab.training.packing import ROOMS, _laid, pack, packing

TEXTS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=40), min_size=1, max_size=24)


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_every_text_stands_whole_and_in_order_in_one_row(texts: list[list[int]]) -> None:
    packed = pack(texts)
    assert packed.width <= max(*ROOMS, *map(len, texts))
    assert sum(map(len, packed.rows)) <= sum(map(len, texts))
    for text, (row, columns) in zip(texts, packed.places, strict=True):
        assert [packed.rows[row][c] for c in columns] == text
        assert columns == sorted(set(columns))


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_a_token_sees_what_is_before_it_in_its_text_and_nothing_else(texts: list[list[int]]) -> None:
    packed = pack(texts)
    _, positions, mask = _laid(packed, torch.zeros(1))
    sees = mask[:, 0] == 0
    for row, columns in packed.places:
        for place, column in enumerate(columns):
            assert positions[row, column] == place
            assert sees[row, column].nonzero()[:, 0].tolist() == columns[: place + 1]


def test_what_texts_begin_with_is_read_once() -> None:
    prompt, one, other = [5] * 30, [6] * 10, [7] * 10
    packed = pack([[*prompt, *one], [*prompt, *other]])
    assert [len(row) for row in packed.rows] == [50]
    assert packed.places[0][1][:30] == packed.places[1][1][:30]


IDS = torch.tensor([[1, 9, 8, 7, 20, 21], [1, 9, 8, 7, 30, 0], [1, 40, 41, 0, 0, 0]])
MASK = (IDS > 0).long()


class Learner:
    """A tiny model with an untrained adapter, and how often the layer below it was read."""

    def __init__(self, folder: Path) -> None:
        self.model = LocalModel(folder, name="tiny")
        self.read = 0
        self.model.network.model.layers[0].self_attn.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.read += 1

    @contextmanager
    def learning(self, *, packed: bool) -> Iterator[Any]:
        """Give the network with an adapter that does something, its batches packed or not."""
        from peft import get_peft_model

        with ExitStack() as stack:
            if packed:
                stack.enter_context(packing(self.model.network))
            torch.manual_seed(3)
            network = get_peft_model(self.model.network, lora_config(self.model)).train()
            for name, weight in network.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.3)
            try:
                yield network
            finally:
                network.unload()


@pytest.fixture
def learner(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Learner:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    return Learner(tiny_folder)


def logits_and_gradients(network: Any) -> list[torch.Tensor]:
    network.zero_grad()
    torch.manual_seed(0)
    found = network(input_ids=IDS, attention_mask=MASK, use_cache=False).logits[MASK.bool()]
    (found**2).sum().backward()
    return [found.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]


def test_predictions_and_gradients_are_those_of_the_padded_batch(learner: Learner) -> None:
    with learner.learning(packed=False) as network:
        padded = logits_and_gradients(network)
    with learner.learning(packed=True) as network:
        first, again = logits_and_gradients(network), logits_and_gradients(network)
    assert len(padded) > 2
    assert any(gradient.abs().max() > 0 for gradient in padded[1:])
    for expected, *found in zip(padded, first, again, strict=True):
        assert all(torch.allclose(expected, f, rtol=1e-4, atol=1e-5) for f in found)


def test_a_text_that_comes_again_is_not_read_again_by_the_layers_that_do_not_learn(learner: Learner) -> None:
    with learner.learning(packed=True) as network:
        before = learner.read
        logits_and_gradients(network)
        assert learner.read == before + 1
        found = network(
            input_ids=IDS[1:], attention_mask=MASK[1:], use_cache=False
        ).logits  # in another batch
        assert learner.read == before + 1
        network(input_ids=IDS[:, 1:], attention_mask=MASK[:, 1:], use_cache=False)
        assert learner.read == before + 2
    with learner.learning(packed=False) as network:
        whole = network(input_ids=IDS, attention_mask=MASK).logits[1:]
    assert torch.allclose(found[MASK[1:].bool()], whole[MASK[1:].bool()], rtol=1e-4, atol=1e-5)


def test_afterwards_the_network_reads_as_before(learner: Learner) -> None:
    network = learner.model.network
    before = network(input_ids=IDS, attention_mask=MASK).logits
    with packing(network), pytest.raises(IndexError):
        network(input_ids=IDS + 10_000, attention_mask=MASK, use_cache=False)
    assert "forward" not in vars(network.base_model)
    assert torch.equal(network(input_ids=IDS, attention_mask=MASK).logits, before)


def test_a_network_that_does_not_attend_to_all_before_is_left_alone() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    shape = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    config = MistralConfig(**shape, num_attention_heads=2, num_key_value_heads=1, sliding_window=2)
    network = MistralForCausalLM(config).eval()
    before = network(input_ids=IDS, attention_mask=MASK, use_cache=False).logits
    with packing(network):
        assert "forward" not in vars(network.base_model)
        assert torch.equal(network(input_ids=IDS, attention_mask=MASK, use_cache=False).logits, before)


def test_in_bfloat16_each_step_is_taken_from_the_weights_as_they_are(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.bfloat16))
    learner = Learner(tiny_folder)
    with learner.learning(packed=True) as network, _in_its_format(network, learner.model):
        learned = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=0.02)
        losses = []
        for _ in range(8):
            logits = network(input_ids=IDS, attention_mask=MASK, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), IDS[:, 1:].flatten()
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert {p.dtype for p in learned} == {torch.float32}
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.1
