"""How undecided a model is at each token that it writes: the entropy of what may come next, before any of it is cut off."""

from __future__ import annotations

from functools import cache
from typing import Any


def entropy_meter() -> Any:
    """Return a logits processor that changes nothing and keeps, in `steps`, the entropies of each step.

    They are −Σ p·log p (nats) of the next token at temperature 1, shape (rows,): transformers puts a processor that
    `generate` is given before temperature and top-p.
    """
    return _meter()()


@cache
def _meter() -> Any:
    import torch
    from torch.distributions import Categorical
    from transformers import LogitsProcessor

    class Meter(LogitsProcessor):  # type: ignore[misc]
        """Reads the logits of each step."""

        def __init__(self) -> None:
            self.steps: list[torch.Tensor] = []

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Return the scores as they are, shape (rows, vocabulary)."""
            distribution: Any = Categorical(logits=scores, validate_args=False)
            self.steps.append(distribution.entropy())
            return scores

    return Meter
