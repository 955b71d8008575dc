"""Sampling: what is drawn from is what transformers would leave, and it is drawn as often as it should be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import TopPLogitsWarper

from trimtab.models.sampling import drawn, nucleus, sampler

NO_INPUT = torch.zeros(1, 0, dtype=torch.long)


@given(st.integers(0, 999), st.floats(0.1, 8), st.floats(0.05, 0.99))
def test_the_nucleus_is_that_of_transformers(seed: int, spread: float, top_p: float) -> None:
    scores = torch.randn(3, 200, generator=torch.Generator().manual_seed(seed)).double() * spread
    left = TopPLogitsWarper(top_p)(NO_INPUT, scores).isfinite()
    shares, tokens = nucleus(scores.softmax(-1), top_p, 200)
    assert torch.equal(torch.zeros_like(left).scatter(1, tokens, shares > 0), left)
    assert torch.equal(shares[shares > 0], scores.softmax(-1).gather(1, tokens)[shares > 0])


@pytest.mark.parametrize("few", [2, 5], ids=["the nucleus is larger than what is looked at", "it is not"])
def test_tokens_are_drawn_as_often_as_they_are_likely(few: int) -> None:
    torch.manual_seed(3)
    shares = torch.tensor([0.08, 0.5, 0.02, 0.25, 0.15], dtype=torch.float64)
    counts = drawn(shares.expand(20_000, 5), 0.95, few).flatten().bincount(minlength=5)
    assert counts[2] == 0, "the third begins where those before it have 98 %"
    others = [0, 1, 3, 4]
    assert chisquare(counts[others], shares[others] / shares[others].sum() * 20_000).pvalue > 0.01


def test_rows_with_a_large_nucleus_are_drawn_beside_others() -> None:
    torch.manual_seed(3)
    shares = torch.tensor([[0.2] * 5, [0.0, 0.0, 0.0, 0.99, 0.01]]).repeat(50, 1)
    found = drawn(shares, 0.9, 2).flatten()
    assert set(found[::2].tolist()) == set(range(5))
    assert set(found[1::2].tolist()) == {3}


def test_what_is_left_is_one_token_of_each_row() -> None:
    left = sampler(2.0)(NO_INPUT, torch.tensor([[0.0, 400.0, 0.0], [9.0, 9.0, -400.0]]))
    assert left[0].tolist() == [-torch.inf, 0.0, -torch.inf]
    assert sorted(left[1].tolist()) == [-torch.inf, -torch.inf, 0.0]
    assert left[1, 2] == -torch.inf
