"""Predictions at some tokens alone are those of reading everything."""

from pathlib import Path
from typing import Any

import pytest

from trimtab.models.local import LocalModel
from trimtab.training.adapter import lora_config
from trimtab.training.predictions import logits_at


@pytest.fixture(scope="module")
def network(tiny_folder: Path) -> Any:
    from peft import get_peft_model

    model = LocalModel(tiny_folder, name="tiny")
    return get_peft_model(model.network, lora_config(model)).train()


def test_they_are_those_of_reading_everything_and_so_are_their_gradients(network: Any) -> None:
    import torch

    ids = torch.arange(2, 14).reshape(2, 6)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    learned = torch.tensor(
        [[True, False, True, True, False, False], [False, True, False, True, False, False]]
    )
    weights = {n: p for n, p in network.named_parameters() if p.requires_grad and "lora_B" in n}

    def of(logits: Any) -> list[Any]:
        network.zero_grad()
        (logits**2).sum().backward()
        return [logits.detach(), *(p.grad for p in weights.values())]

    here = of(logits_at(network, ids, mask, learned))
    whole = network(input_ids=ids, attention_mask=mask).logits
    rows, tokens = [0, 0, 1, 1], [1, 2, 0, 2]  # each before its token; nothing is before the first
    for one, other in zip(here, of(whole[rows, tokens].float()), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert len(here[0]) == 4
    assert any(gradient.abs().max() > 0 for gradient in here[1:])
    assert network(input_ids=ids, attention_mask=mask).logits.shape == whole.shape


def test_a_network_that_fails_is_left_as_it_was(network: Any) -> None:
    import torch

    ids = torch.tensor([[2, 3]])
    with pytest.raises(IndexError):
        logits_at(network, ids, torch.ones_like(ids), torch.ones((1, 9), dtype=torch.bool))
    assert network(input_ids=ids).logits.shape[:2] == (1, 2)
