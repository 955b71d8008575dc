"""Packing: a batch is read without its padding, and what several texts of it begin with is read once.

Two replies to one prompt would have it read twice, every conversation the words that the chat template begins with, and
short texts as much padding as the longest has tokens. Of a text that comes again, the layers below those that learn are
not read again. But for rounding, the losses are those of the padded batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from trimtab.models.lower_half import MOST_BYTES, below, given, only_states, reading_by, taken
from trimtab.models.prefill import caches_plainly

if TYPE_CHECKING:
    import torch

ROOMS = (128, 160, 192, 256)  # tokens of a packed row at most: the cheapest of them is taken
ATTENTION = (
    1000  # tokens of a row at which attention takes as long as all else: reckoned for the embedded model
)


@dataclass(frozen=True)
class Packed:
    """Rows of several texts each: their tokens, and of each text its row and the columns of its tokens in it."""

    rows: list[list[int]]
    places: list[tuple[int, list[int]]]

    @property
    def width(self) -> int:
        """Tokens of the longest row, which all others are padded to."""
        return max(map(len, self.rows))

    @property
    def cost(self) -> int:
        """What it takes to read the rows, padding included; of no unit."""
        return len(self.rows) * self.width * (ATTENTION + self.width)


def pack(texts: Sequence[Sequence[int]]) -> Packed:
    """Put texts (token ids) into rows, so that what they begin with alike stands there once."""
    return min((_packed(texts, room) for room in ROOMS), key=lambda packed: packed.cost)


def _packed(texts: Sequence[Sequence[int]], room: int) -> Packed:
    room = max(room, *map(len, texts))
    rows: list[list[int]] = []
    places: list[tuple[int, list[int]]] = [(0, [])] * len(texts)
    before: list[int] = []  # the text before, which in this order begins most like the next one
    columns: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: list(texts[i])):
        text = list(texts[i])
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, text, strict=False)))
        if not rows or len(rows[-1]) + len(text) - alike > room:
            rows.append([])
            alike = 0
        row = rows[-1]
        columns = [*columns[:alike], *range(len(row), len(row) + len(text) - alike)]
        row += text[alike:]
        places[i] = len(rows) - 1, columns
        before = text
    return Packed(rows, places)


@contextmanager
def packing(network: Any) -> Iterator[None]:
    """Let a causal network read the batches that adapters are trained on packed, where that is worth it: on a processor.

    Only networks that attend to all earlier tokens, and to nothing else, are packed: others would see the texts beside.
    """
    if network.device.type != "cpu" or not caches_plainly(network):
        yield
        return
    backbone, lower = network.base_model, _Lower(below(network))
    read = backbone.forward

    def forward(
        input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None, **others: Any
    ) -> Any:
        asked_more = any(value is not None for value in others.values())
        if use_cache is not False or attention_mask is None or attention_mask.dim() != 2 or asked_more:
            return read(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache, **others)
        texts = [row[seen.bool()].tolist() for row, seen in zip(input_ids, attention_mask, strict=True)]
        packed = pack(texts)
        tokens, positions, mask = _laid(packed, network.get_input_embeddings().weight)
        with lower.reading(texts, packed):
            found = read(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False)
        found.last_hidden_state = _spread(found.last_hidden_state, packed, attention_mask)
        return found

    with reading_by(backbone, forward):
        yield


class _Lower:
    """What the layers below those that learn made of each text, which stays the same while others are trained."""

    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers
        self._kept: dict[tuple[int, ...], torch.Tensor] = {}
        self._bytes = 0

    @contextmanager
    def reading(self, texts: Sequence[Sequence[int]], packed: Packed) -> Iterator[None]:
        """Let the network read texts within, whose states are kept, or given to the layers above if all are already."""
        known = [self._kept.get(tuple(text)) for text in texts]
        kept = [states for states in known if states is not None]
        if not self._layers:
            yield
        elif len(kept) == len(texts):
            with given(self._layers, _gathered(kept, packed)):
                yield
        else:
            with taken(self._layers) as found:
                yield
            self._keep(texts, packed, only_states(found))

    def _keep(self, texts: Sequence[Sequence[int]], packed: Packed, states: torch.Tensor | None) -> None:
        if states is None:
            self._layers = []
            return
        for text, (row, columns) in zip(texts, packed.places, strict=True):
            own = states[row, columns].detach()
            if tuple(text) not in self._kept and self._bytes + own.nbytes <= MOST_BYTES:
                self._kept[tuple(text)] = own
                self._bytes += own.nbytes


def _gathered(kept: Sequence[torch.Tensor], packed: Packed) -> torch.Tensor:
    """Return the states of texts, each of shape (tokens, size), where the rows have their tokens: (rows, width, size)."""
    states = kept[0].new_zeros(len(packed.rows), packed.width, kept[0].shape[-1])
    for (row, columns), own in zip(packed.places, kept, strict=True):
        states[row, columns] = own
    return states


def _laid(packed: Packed, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens and positions, shape (rows, width), and what is added to the scores of attention, (rows, 1, width, width)."""
    import torch

    width = packed.width
    tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in packed.rows])
    positions = torch.zeros_like(tokens)
    # Padding sees itself, or it would see nothing at all.
    sees = torch.eye(width).bool().repeat(len(tokens), 1, 1)
    for row, columns in packed.places:
        at = torch.tensor(columns)
        positions[row, at] = torch.arange(len(at))
        sees[row, at[:, None], at] = torch.ones(len(at), len(at)).bool().tril()
    hidden = torch.finfo(like.dtype).min
    mask = torch.zeros(sees.shape, dtype=like.dtype).masked_fill(~sees, hidden)
    return tokens, positions, mask[:, None]


def _spread(states: torch.Tensor, packed: Packed, mask: torch.Tensor) -> torch.Tensor:
    """Return the states of each text's tokens where they stand in the padded batch, those of some token where it is padded."""
    import torch

    width = states.shape[1]
    index = torch.zeros(mask.shape, dtype=torch.long)
    for text, (row, columns) in enumerate(packed.places):
        index[text, mask[text].bool()] = row * width + torch.tensor(columns)
    return states.flatten(0, 1)[index]
