"""LoRA adapters as PEFT saves them: read, checked against the model, never half understood."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import ModelError, Problem
from trimtab.models.cache import written
from trimtab.records.write import write_json

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Each of these changes what B·A means; an adapter with one of them would be applied wrongly.
UNSUPPORTED = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "target_parameters",
)
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to one weight, shape (out, in): scaling·B·A."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the weight it is for."""
        return self.b.shape[0], self.a.shape[1]


def linear_shapes(network: Any) -> dict[str, tuple[int, ...]]:
    """Return weight name → shape (out, in) of each linear layer, which are what an adapter can be put on."""
    from torch import nn

    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            found[f"{name}.weight"] = tuple(layer.weight.shape)
        elif is_transposed(layer):
            found[f"{name}.weight"] = tuple(reversed(layer.weight.shape))
    return found


def is_transposed(layer: Any) -> bool:
    """Return whether a layer is linear with its weight stored as (in, out): GPT-2's, which PEFT calls fan-in-fan-out.

    What an adapter adds to the output is the same B·A·x.
    """
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D)


_NUMBERED = re.compile(r".*?\.[^.]*\.(\d+)\.")  # a name's first numbered part is the block, as PEFT reads it


def numbered(name: str) -> tuple[str, int]:
    """Return the name of the blocks that a layer or weight is in, and the number of its block; ("", -1) outside of them."""
    found = _NUMBERED.match(name)
    return (name[: found.start(1) - 1], int(found[1])) if found else ("", -1)


def trained_layers(network: Any) -> list[str]:
    """Return the names of the linear layers in the upper half of the blocks: what an adapter is trained on.

    Empty for a model without any: nothing can be trained on it here. A last name that also stands for another
    kind of layer there is left out, since PEFT would put the adapter on that too.
    """
    half = int(getattr(network.config, "num_hidden_layers", 0)) // 2
    upper = [n for n, _ in network.named_modules() if numbered(n)[1] >= half]
    linear = {name.removesuffix(".weight") for name in linear_shapes(network)}
    other = {_last(name) for name in upper if name not in linear}
    if "conv1d" in other:
        other.add(
            "out_proj"
        )  # a Mamba kernel reads this weight itself and would pass an adapter by; PEFT refuses
    return [name for name in upper if name in linear and _last(name) not in other]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def attach(network: Any, weighted: Sequence[tuple[Mapping[str, Delta], float]]) -> list[Any]:
    """Add Σ strength·scaling·B·A·x to the output of each layer; returns the hooks, to be removed.

    This is PEFT's `combination_type="cat"`: all A under one another, all B side by side. The sum is not merged
    into the weights, since bfloat16 would round most of it away: a step of a weight is 1/256 of it, and what
    an adapter adds is smaller.
    """
    hooks = []
    for name, (a, b) in summed(weighted).items():
        layer = network.get_submodule(name.removesuffix(".weight"))
        hooks.append(layer.register_forward_hook(_adding(a.to(layer.weight), b.to(layer.weight))))
    return hooks


def summed(
    weighted: Sequence[tuple[Mapping[str, Delta], float]],
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return weight name → A (rank, in) and B (out, rank) in float32, whose B·A is Σ strength·scaling·B·A.

    The rank is the sum of those of the adapters that have the weight.
    """
    import torch

    found = {}
    for name in sorted({name for deltas, _ in weighted for name in deltas}):
        parts = [(deltas[name], strength) for deltas, strength in weighted if name in deltas]
        a = torch.cat([delta.a.float() for delta, _ in parts])
        b = torch.cat([delta.b.float() * (strength * delta.scaling) for delta, strength in parts], dim=1)
        found[name] = a, b
    return found


def _adding(a: torch.Tensor, b: torch.Tensor) -> Callable[..., torch.Tensor]:
    from torch import addmm
    from torch.nn.functional import linear

    def add(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        rows = linear(inputs[0], a).flatten(0, -2)
        return addmm(output.flatten(0, -2), rows, b.t()).view_as(output)

    return add


def read_lora(folder: Path) -> dict[str, Delta]:
    """Return weight name → delta of a PEFT LoRA folder; raises ModelError for anything that is not wholly used."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if (folder / "adapter_model.bin").exists() and not (folder / WEIGHTS).exists():
        fix = "Save it as safetensors; pickles can run code and are never loaded."
        raise ModelError(Problem("adapter.pickle", str(folder), "pickled weights (adapter_model.bin)", fix))
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        scaling = _scaling(config)
        tensors = load_file(folder / WEIGHTS)
        pairs = {key.removesuffix(_A): key for key in tensors if key.endswith(_A)}
        deltas = {
            f"{stem.removeprefix(_PREFIX)}.weight": Delta(tensors[key], tensors[stem + _B], scaling)
            for stem, key in pairs.items()
        }
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        SafetensorError,
    ) as error:
        fix = f"Take the adapter from its run or bundle again; it is two files, {CONFIG} and {WEIGHTS}."
        raise ModelError(Problem("adapter.damaged", str(folder), f"cannot be read ({error})", fix)) from error
    if problems := [*_not_used(folder, config, tensors), *_damaged(folder, config, deltas)]:
        raise ModelError(problems)
    return deltas


def _scaling(config: Mapping[str, Any]) -> float:
    rank, alpha = config["r"], config["lora_alpha"]
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank {rank!r}")
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _not_used(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> Iterator[Problem]:
    """Yield what the plain sum of B·A would leave out."""
    found = [f"{k} is set" for k in UNSUPPORTED if config.get(k)]
    if (kind := config.get("peft_type", "LORA")) != "LORA":
        found.append(f"its type is {kind}")
    found += [f"the tensor {k}" for k in tensors if not k.endswith((_A, _B))][:1]
    found += [f"{k} has no A" for k in tensors if k.endswith(_B) and k.removesuffix(_B) + _A not in tensors][
        :1
    ]
    if found:
        fix = "Use a plain LoRA adapter: rank and alpha for all layers, and nothing else saved with it."
        yield Problem("adapter.unsupported", str(folder), f"is not only B·A ({'; '.join(found)})", fix)


def _damaged(folder: Path, config: Mapping[str, Any], deltas: Mapping[str, Delta]) -> Iterator[Problem]:
    for name, delta in deltas.items():
        if delta.a.ndim != 2 or delta.b.ndim != 2 or not config["r"] == len(delta.a) == delta.b.shape[1]:
            what = "its shapes and the rank in its configuration differ"
        elif not (delta.a.isfinite().all() and delta.b.isfinite().all()):
            what = "has values that are not finite"
        else:
            continue
        fix = "Take the adapter from its run or bundle again."
        yield Problem("adapter.damaged", f"{folder} {name}", what, fix)


def write_sum(weighted: Mapping[Path, float], folder: Path) -> int:
    """Write one plain PEFT adapter to `folder` that does what several do at their strengths; returns its rank.

    It is what servers take that load an adapter as it is, without strengths and one at a time. Where an adapter lacks
    a weight that another has, the rank is filled with zeros. Raises ModelError for an adapter that is not plain LoRA.
    """
    from safetensors.torch import save_file
    from torch.nn.functional import pad

    sums = summed([(read_lora(source), strength) for source, strength in weighted.items()])
    rank = max(len(a) for a, _ in sums.values())
    tensors = {}
    for name, (a, b) in sums.items():
        stem, missing = _PREFIX + name.removesuffix(".weight"), rank - len(a)
        tensors[stem + _A], tensors[stem + _B] = pad(a, (0, 0, 0, missing)), pad(b, (0, missing))
    config = json.loads((next(iter(weighted)) / CONFIG).read_text(encoding="utf-8"))
    modules = sorted({name.removesuffix(".weight").rpartition(".")[2] for name in sums})
    config |= {
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "layers_to_transform": None,
        "layers_pattern": None,
    }
    with written(folder, "adapter.not-written", "Choose a folder that is not there yet and can be made."):
        folder.mkdir(parents=True)
        save_file({k: t.contiguous() for k, t in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    write_json(folder / CONFIG, config)  # the last: a folder without it is no adapter
    return rank


def check_fit(folder: Path, deltas: Mapping[str, Delta], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ModelError when a delta has no weight of its shape in the model."""
    wrong = [name for name, delta in deltas.items() if shapes.get(name) != delta.shape]
    if wrong or not deltas:
        what = f"no weight {wrong[0]} of that shape in the model" if wrong else "changes no weight"
        fix = "Use the base model that the adapter was trained on."
        raise ModelError(Problem("adapter.other-model", str(folder), what, fix))
