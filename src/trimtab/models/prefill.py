"""Reads prompts into a key-value cache: what all of them begin with once, the rest in small batches.

A chat template begins every prompt alike, and sums over a thousand tokens stay within a processor's cache, where
those over ten thousand do not. But for rounding, the answers are those of reading everything at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence, Sized
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

Row = TypeVar("Row", bound=Sized)
Rows = Sequence[Sequence[int]]
Filled = list[tuple["torch.Tensor", "torch.Tensor"]]  # of each layer: keys and values
TOKENS = {"cpu": 1024}  # that are read at once
MANY = 6144  # the same on any other device, such as a GPU
LEAST_SHARED = 8  # tokens for which a reading of their own pays


def tokens_at_once(device: str) -> int:
    """Return how many tokens, padding included, are best read at once on a device."""
    return TOKENS.get(device, MANY)


def caches_plainly(network: Any) -> bool:
    """Return whether each layer of a network keeps the keys and values of all tokens, and positions can be given to it.

    Others, such as those with sliding windows or a recurrent state, are left to transformers.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    takes = inspect.signature(network.base_model.forward).parameters
    if not {"position_ids", "past_key_values"} <= set(takes) or network.config.is_encoder_decoder:
        return False
    try:
        layers = DynamicCache(config=network.config).layers
    except (AttributeError, KeyError, ValueError):  # a kind of layer that it has no cache for
        return False
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def shared(rows: Rows, most: int) -> int:
    """Return how many tokens all rows begin with alike, `most` at the most; 0 where it is too few to pay."""
    columns = zip(*(row[:most] for row in rows), strict=False)
    alike = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return alike if len(rows) > 1 and alike >= LEAST_SHARED else 0


def read_alike(network: Any, tokens: Sequence[int]) -> Filled:
    """Return what the layers keep of tokens that many rows begin with; one row."""
    import torch
    from transformers import DynamicCache

    if not tokens:
        return []
    cache = DynamicCache()
    network.base_model(
        torch.tensor([list(tokens)], device=network.device), past_key_values=cache, use_cache=True
    )
    return [(layer.keys, layer.values) for layer in cache.layers]


def begun(alike: Filled, rows: int) -> Any:
    """Return a cache in which each of some rows begins with what was read for all."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for i, (keys, values) in enumerate(alike):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), i)
    return cache


def prefill(network: Any, rows: Rows, room: int, pad: int) -> Any:
    """Return a cache of all tokens but the last of each row, padded on the left, with room for some more.

    None where there is nothing to read: rows of one token.
    """
    k = shared(rows, min(map(len, rows)) - 1)
    alike = read_alike(network, rows[0][:k])
    rows = [row[k:-1] for row in rows]
    width = k + max(map(len, rows))
    whole: Filled = []
    for batch in by_length(rows, len, tokens_at_once(network.device.type)):
        part = [rows[i] for i in batch]
        found = _read(network, part, alike, k, pad) if any(part) else alike
        whole = whole or [_empty(tensors, len(rows), width + room) for tensors in found]
        for place, (i, row) in enumerate(zip(batch, part, strict=True)):
            _put(whole, alike, i, slice(width - len(row) - k, width - len(row)), 0)
            if row:
                _put(whole, found, i, slice(width - len(row), width), place)
    return _cache(whole, width) if width else None


def _read(network: Any, part: Rows, alike: Filled, k: int, pad: int) -> Filled:
    inputs, mask = padded(part, pad, network.device, k)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, k:]
    cache = begun(alike, len(part))
    network.base_model(
        inputs, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    )
    return [(layer.keys, layer.values) for layer in cache.layers]


def _empty(tensors: tuple[torch.Tensor, torch.Tensor], rows: int, width: int) -> tuple[Any, Any]:
    keys, values = (t.new_zeros(rows, t.shape[1], width, t.shape[3]) for t in tensors)
    return keys, values


def _put(whole: Filled, found: Filled, row: int, where: slice, source: int) -> None:
    """Copy the last tokens of a row that was read to where they stand among all; padding is never copied."""
    for into, of in zip(whole, found, strict=bool(found)):
        for target, states in zip(into, of, strict=True):
            target[row, :, where] = states[source, :, where.start - where.stop :]


def _cache(whole: Filled, filled: int) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    cache.layers.extend(_roomy()(tensors, filled) for tensors in whole)
    return cache


@cache
def _roomy() -> Any:
    from transformers.cache_utils import DynamicLayer

    class Roomy(DynamicLayer):  # type: ignore[misc]
        """A layer that writes into room kept for it: to put new tokens after old ones copies all of them each time."""

        def __init__(self, room: tuple[torch.Tensor, torch.Tensor], filled: int) -> None:
            super().__init__()
            self.dtype, self.device, self.is_initialized = room[0].dtype, room[0].device, True
            self.room = room
            self.keys, self.values = (t[:, :, :filled] for t in room)

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            start = self.keys.shape[2]
            end = start + key_states.shape[2]
            for room, states in zip(self.room, (key_states, value_states), strict=True):
                room[:, :, start:end] = states
            self.keys, self.values = (t[:, :, :end] for t in self.room)
            return self.keys, self.values

    return Roomy


def padded(rows: Rows, pad: int, device: Any, before: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows padded on the left, and the mask of what is no padding, with `before` tokens of a cache in front."""
    import torch

    width = max(len(r) for r in rows)
    inputs = torch.tensor([[pad] * (width - len(r)) + list(r) for r in rows], device=device)
    mask = torch.tensor([[1] * before + [0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return inputs, mask


def by_length(rows: Sequence[Row], cost: Callable[[Row], int], limit: int) -> Iterator[list[int]]:
    """Group the indices of rows, longest first, so that the padded size of a group stays within `limit`; size is `cost` each."""
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))
    group: list[int] = []
    for i in order:
        if group and (len(group) + 1) * max(1, cost(rows[group[0]])) > limit:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
