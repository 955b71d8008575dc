"""Keeps what the lower half of a network makes of texts: adapters change the upper half, so that at each strength it is the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trimtab.models.lora import numbered, trained_layers

if TYPE_CHECKING:
    import torch

MOST_BYTES = 1 << 28  # that are kept: 230,000 tokens of the embedded model


class LowerHalf:
    """The layers of a network below those that adapters are trained on, and what they made of each batch of texts.

    Nothing is kept where the layers cannot be told, or give back more than their states, nor off the processor, where
    reading is fast and memory short.
    """

    def __init__(self, network: Any) -> None:
        self._layers = below(network) if network.device.type == "cpu" else []
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
        self.adapted = False  # an adapter is on these layers, so that nothing of them may be used

    def set_adapted(self, weights: Collection[str]) -> None:
        """Say which weights adapters are on; those outside of the blocks stand below or above all of them."""
        self.adapted = any(numbered(w)[1] < len(self._layers) for w in weights)

    @contextmanager
    def reading(self, batch: Hashable) -> Iterator[None]:
        """Let the network read a batch within, whose states are kept, or given to the upper half if they are already.

        Of one forward pass alone. `batch` says what it reads.
        """
        if self.adapted or not self._layers:
            yield
        elif batch in self._kept:
            self._kept.move_to_end(batch)
            with given(self._layers, self._kept[batch]):
                yield
        else:
            found: list[Any] = []
            hook = self._layers[-1].register_forward_hook(lambda _, __, output: found.append(output))
            try:
                yield
            finally:
                hook.remove()
            self._keep(batch, found)

    def _keep(self, batch: Hashable, found: list[Any]) -> None:
        import torch

        if len(found) != 1 or not isinstance(found[0], torch.Tensor):
            self._layers = []
            return
        self._kept[batch] = found[0]
        while sum(t.nbytes for t in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)


def below(network: Any) -> list[Any]:
    """Return the blocks below the first that adapters are trained on."""
    trained = trained_layers(network)
    if not trained:
        return []
    stem, first = numbered(trained[0])
    return list(network.get_submodule(stem))[:first]


@contextmanager
def given(layers: list[Any], states: torch.Tensor) -> Iterator[None]:
    """Let the layers pass on what they get, and the last of them `states`."""
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = lambda hidden_states, *_, **__: hidden_states
    layers[-1].forward = lambda *_, **__: states
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward:
                layer.forward = forward
