"""Sampling: what is drawn from is what transformers would leave, and it is drawn as often as it should be."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import TopPLogitsWarper

from trimtab.models.sampling import nucleus, sampler

NO_INPUT = torch.zeros(1, 0, dtype=torch.long)


@given(st.integers(0, 999), st.floats(0.1, 8), st.floats(0.05, 0.99), st.sampled_from([1, 8, 200]))
def test_the_nucleus_is_that_of_transformers(seed: int, spread: float, top_p: float, few: int) -> None:
    scores = torch.randn(3, 200, generator=torch.Generator().manual_seed(seed)).double() * spread
    left = TopPLogitsWarper(top_p)(NO_INPUT, scores).isfinite()
    shares, tokens = nucleus(scores.softmax(-1), top_p, few)
    found = torch.zeros_like(left).scatter(1, tokens, shares > 0)
    assert bool((found == left).all())
    assert torch.equal(shares[shares > 0], scores.softmax(-1).gather(1, tokens)[shares > 0])


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    torch.manual_seed(3)
    shares = torch.tensor([0.5, 0.25, 0.15, 0.08, 0.02])  # the last is beyond the nucleus
    draw = sampler(2.0)
    left = draw(NO_INPUT, (shares.log() * 2).expand(20_000, 5))
    assert bool((left.isfinite().sum(-1) == 1).all())
    counts = left.argmax(-1).bincount(minlength=5)
    assert counts[4] == 0
    expected = shares[:4].double() / shares[:4].double().sum() * 20_000
    assert chisquare(counts[:4], expected).pvalue > 0.01
