"""Texts that follow one prompt, read in one row: the prompt once, and after it each text, which sees no other.

A pair of replies, or the choices of a question, would have their prompt read once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trimtab.models.prefill import padded

if TYPE_CHECKING:
    import torch

LEAST_PROMPT = 8  # tokens of a prompt that are worth reading once


@dataclass
class Branch:
    """A text without its last token, and last tokens of texts that begin so, each with the place of its text."""

    tokens: list[int]
    ends: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Fork:
    """The tokens of a prompt, and what follows them."""

    prompt: list[int]
    branches: list[Branch] = field(default_factory=list)

    @property
    def after(self) -> int:
        """How many tokens are read after the prompt."""
        return sum(len(b.tokens) for b in self.branches)

    @property
    def places(self) -> list[int]:
        """The places of its texts."""
        return [place for b in self.branches for _, place in b.ends]

    def __len__(self) -> int:
        return len(self.prompt) + self.after


def forks(texts: Sequence[tuple[list[int], list[int]]], *, most: int, together: bool) -> list[Fork]:
    """Put texts, each the tokens before it and its own, into rows of at most `most` tokens; empty texts into none.

    Not `together`: only what differs in its last token alone shares a row, which every network can read.
    """
    found: list[Fork] = []
    open_: dict[tuple[int, ...], Fork] = {}
    for place, (prompt, text) in enumerate(texts):
        if not text:
            continue
        key = tuple(prompt) if together and len(prompt) >= LEAST_PROMPT else (*prompt, -1, *text[:-1])
        fork = open_.get(key)
        branch = next((b for b in fork.branches if b.tokens == text[:-1]), None) if fork else None
        if fork is None or (branch is None and len(fork) + len(text) - 1 > most):
            fork = open_[key] = Fork(prompt)
            found.append(fork)
        if branch is None:
            branch = Branch(text[:-1])
            fork.branches.append(branch)
        branch.ends.append((text[-1], place))
    return found


@dataclass(frozen=True)
class Laid:
    """Rows for a network, padded on the left: tokens and positions, shape (rows, width), and its attention mask.

    `reads[row][branch]` are the columns whose logits say what follows: the prompt's last, then those of the branch.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    reads: list[list[list[int]]]


def laid(rows: Sequence[Fork], pad: int, like: torch.Tensor, before: int = 0) -> Laid:
    """Lay rows out on the device and in the format of `like`; the first `before` tokens of all are in a cache already.

    The mask is 1 where no padding is, shape (rows, before + width), where no row has two branches. Else it is what is
    added to the scores of attention, shape (rows, 1, width, before + width).
    """
    import torch

    flat = [[*f.prompt[before:], *(t for b in f.branches for t in b.tokens)] for f in rows]
    tokens, mask = padded(flat, pad, like.device, before)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, before:]
    width = tokens.shape[1]
    reads = [_columns(f, width) for f in rows]
    if any(len(f.branches) > 1 for f in rows):
        earlier = torch.ones(width, before + width, device=like.device).bool().tril(before)
        sees = mask[:, None, :].bool() & earlier
        for row, columns in enumerate(reads):
            for last, *own in columns:
                if own:
                    positions[row, own] -= own[0] - last - 1
                    sees[row, own, before + last + 1 : before + own[0]] = False
        # Padding sees itself, or it would see nothing at all.
        sees[:, :, before:] |= torch.eye(width, device=like.device).bool()
        hidden = torch.finfo(like.dtype).min
        mask = torch.zeros(sees.shape, dtype=like.dtype, device=like.device).masked_fill(~sees, hidden)
        mask = mask[:, None]  # alike for all heads
    return Laid(tokens, positions, mask, reads)


def _columns(fork: Fork, width: int) -> list[list[int]]:
    """Return for each branch the column of the prompt's last token, and its own; a row ends at `width`."""
    at = width - fork.after
    last, found = at - 1, []
    for branch in fork.branches:
        found.append([last, *range(at, at + len(branch.tokens))])
        at += len(branch.tokens)
    return found
