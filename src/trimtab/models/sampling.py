"""Draws the next token from the nucleus: the likeliest tokens that together have a share of the probability.

transformers sorts the whole vocabulary for it and draws a number for each token of it, which on a processor takes
longer than the model itself. A nucleus is small.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TOP_P = 0.95
FEW = 1024  # tokens among which the nucleus is looked for, before the whole vocabulary is sorted


def sampler(temperature: float) -> Any:
    """Return a logits processor that draws (Holtzman et al. 2020, p = 0.95): it leaves one token of each row.

    To be used with greedy decoding, and torch's seed. In `entropies` it keeps, step by step, how undecided the model was:
    −Σ p·log p (nats) of the next token at temperature 1, before anything is cut off, shape (rows,).
    """
    return _sampler()(temperature)


def nucleus(shares: torch.Tensor, top_p: float, few: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return shares and tokens of the `few` likeliest, in that order, of probabilities of shape (rows, vocabulary).

    The share is 0 where those before it come to `top_p` already.
    """
    kept, tokens = shares.topk(few)
    before = kept.cumsum(-1) - kept
    return kept.masked_fill(before >= top_p, 0.0), tokens


def drawn(shares: torch.Tensor, top_p: float, few: int = FEW) -> torch.Tensor:
    """Return a token of the nucleus of each row, shape (rows, 1); rows whose nucleus is larger than `few` are sorted whole."""
    import torch

    whole = shares.shape[-1]
    kept, tokens = nucleus(shares, top_p, min(few, whole))
    found = tokens.gather(1, torch.multinomial(kept, 1))
    larger = kept.sum(-1) < top_p
    if few < whole and bool(larger.any()):
        found[larger] = drawn(shares[larger], top_p, whole)
    return found


@cache
def _sampler() -> Any:
    import torch
    from torch.distributions import Categorical
    from transformers import LogitsProcessor

    class Sampler(LogitsProcessor):  # type: ignore[misc]
        """Draws a token for each row, and keeps the entropies."""

        def __init__(self, temperature: float) -> None:
            self.temperature = temperature
            self.entropies: list[torch.Tensor] = []

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Return scores of shape (rows, vocabulary) that are −∞ but for the token that was drawn."""
            distribution: Any = Categorical(logits=scores, validate_args=False)
            self.entropies.append(distribution.entropy())
            tokens = drawn((scores / self.temperature).softmax(-1), TOP_P)
            return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0.0)

    return Sampler
