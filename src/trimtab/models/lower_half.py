"""Keeps what the lower half of a network makes of texts: adapters change the upper half, so that at each strength it is the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import ExitStack, contextmanager
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
            with taken(self._layers) as found:
                yield
            self._keep(batch, only_states(found))

    def _keep(self, batch: Hashable, states: torch.Tensor | None) -> None:
        if states is None:
            self._layers = []
            return
        self._kept[batch] = states
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
def taken(layers: list[Any]) -> Iterator[list[Any]]:
    """Collect what the last of the layers gives back within."""
    found: list[Any] = []
    hook = layers[-1].register_forward_hook(lambda _, __, output: found.append(output))
    try:
        yield found
    finally:
        hook.remove()


def only_states(found: list[Any]) -> torch.Tensor | None:
    """Return the states of the one reading that was `taken`; None where it was not one, or gave back more than states."""
    import torch

    return found[0] if len(found) == 1 and isinstance(found[0], torch.Tensor) else None


@contextmanager
def given(layers: list[Any], states: torch.Tensor) -> Iterator[None]:
    """Let the layers pass on what they get, and the last of them `states`."""
    with ExitStack() as stack:
        for layer in layers[:-1]:
            stack.enter_context(reading_by(layer, lambda hidden_states, *_, **__: hidden_states))
        stack.enter_context(reading_by(layers[-1], lambda *_, **__: states))
        yield


@contextmanager
def reading_by(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a module read by another function within, and then as before, even if that was another function too."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before:
            module.forward = before
