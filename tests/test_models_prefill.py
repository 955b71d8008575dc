"""Tests that what is read in small batches, and once for what all begin with, is what is read at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
)

from trimtab.models import local, prefill
from trimtab.models.forks import forks
from trimtab.models.local import LocalModel
from trimtab.models.prefill import by_length, caches_plainly, shared
from trimtab.models.protocol import Question, user

PROMPTS = ["Go.", "Go to the river and back.", "Tell me of the harbour, the boats and the people.", "Go."]


def network(**about: Any) -> Any:
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "eos_token_id": 49, "pad_token_id": 0,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**size, **about)).eval()


def older() -> Any:
    """A network with learned positions."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=50, n_positions=64, eos_token_id=49, pad_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


def written(net: Any, rows: list[list[int]], cache: Any) -> list[list[int]]:
    inputs, mask = prefill.padded(rows, 0, "cpu")
    read = {"past_key_values": cache} if cache else {}
    out = net.generate(input_ids=inputs, attention_mask=mask, max_new_tokens=6, do_sample=False, **read)
    found: list[list[int]] = out[:, inputs.shape[1] :].tolist()
    return found


ROWS = {
    "a common beginning": [[*range(1, 12), *end] for end in ([20], [21, 22, 23, 24], [25, 26])],
    "nothing in common": [[5, 6, 7], [8], [9, 10, 11, 12, 13]],
    "the same prompt twice": [list(range(1, 14))] * 2,
    "one inside the other": [list(range(1, 14)), list(range(1, 20))],
    "one row": [[3, 4, 5]],
    "single tokens": [[3], [4]],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("tokens", [1, 8, 1024])
@pytest.mark.parametrize("make", [network, older])
def test_answers_do_not_depend_on_how_the_prompts_are_read(
    rows: list[list[int]], tokens: int, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(prefill.TOKENS, "cpu", tokens)
    net = make()
    with torch.inference_mode():
        cache = prefill.prefill(net, rows, 6, 0)
        assert (cache is None) == (max(map(len, rows)) == 1)
        alone = [written(net, [row], None)[0] for row in rows]
        together = written(net, rows, cache)
    ended = [row[: row.index(49)] if 49 in row else row for row in together]
    assert ended == [row[: row.index(49)] if 49 in row else row for row in alone]


def test_scores_do_not_depend_on_what_the_prompts_have_in_common(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        local, "pick_device", lambda: ("cpu", torch.float32)
    )  # bfloat16 rounds more than is asked
    model = LocalModel(tiny_folder, name="dir/tiny")
    questions = [Question(t, user(p)) for p in PROMPTS for t in ("Yes, at once.", "No", "")]
    alone = [model.loglikelihood([q])[0].total for q in questions]
    assert [s.total for s in model.loglikelihood(questions)] == pytest.approx(alone, abs=1e-4)


def test_a_network_that_forgets_or_takes_no_positions_is_left_to_transformers() -> None:
    assert caches_plainly(network())
    sliding = network()
    sliding.config = MistralConfig(sliding_window=4, num_hidden_layers=2)
    assert not caches_plainly(sliding)
    assert caches_plainly(older())
    mamba = MambaForCausalLM(MambaConfig(num_hidden_layers=1, hidden_size=16, vocab_size=20))
    assert not caches_plainly(mamba)


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(0, 12)
)
def test_what_is_shared_is_the_longest_common_beginning_or_nothing(rows: list[list[int]], most: int) -> None:
    k = shared(rows, most)
    assert k == 0 or k >= prefill.LEAST_SHARED
    assert all(row[:k] == rows[0][:k] for row in rows)
    assert k <= max(0, most)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 64))
def test_each_row_is_in_one_group_within_the_limit(lengths: list[int], limit: int) -> None:
    rows = [[0] * n for n in lengths]
    groups = list(by_length(rows, len, limit))
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= limit


@given(
    st.lists(st.tuples(st.integers(7, 9), st.lists(st.integers(0, 2), max_size=4)), max_size=12),
    st.integers(1, 30),
    st.booleans(),
)
def test_each_text_is_in_one_row_with_its_own_prompt(
    texts: list[tuple[int, list[int]]], most: int, together: bool
) -> None:
    asked = [([7] * n, text) for n, text in texts]
    rows = forks(asked, most=most, together=together)
    placed = [(f.prompt, [*b.tokens, end], place) for f in rows for b in f.branches for end, place in b.ends]
    assert sorted(place for _, _, place in placed) == [i for i, (_, text) in enumerate(asked) if text]
    assert all(asked[place] == (prompt, text) for prompt, text, place in placed)
    assert all(len(f) <= most or len(f.branches) == 1 for f in rows)
    if not together:
        assert all(len(f.branches) == 1 for f in rows)
