"""What all adapter training shares: one LoRA shape, one set of arguments, a standard PEFT folder at the end."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimtab.models.cache import folder_digest, made_whole, written
from trimtab.models.local import LocalModel
from trimtab.models.lora import is_transposed, trained_layers
from trimtab.models.memory import give_back_memory
from trimtab.models.protocol import Progress
from trimtab.training.packing import packing
from trimtab.training.rows import MAX_LENGTH, Fitted

RANK, SCALING = 8, 2
GIVEN_BACK = 8  # steps after which memory that lies free is given back to the system


@dataclass(frozen=True)
class Trained:
    """An adapter on disk, and what it took: records, tokens, seconds, first and last loss.

    Of `records`, `cut` lost their end; those `left_out` are not among them (`rows.fitted`).
    """

    folder: str
    digest: str
    records: int
    tokens: int
    seconds: float
    first_loss: float
    last_loss: float
    cut: int = 0
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; `cut` and `left_out` where there are any."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("cut", "left_out")}


def lora_config(model: LocalModel, rank: int = RANK) -> Any:
    """Return the LoRA shape: `rank` on all linear layers of the upper half of the model, scaled by 2.

    Below it nothing need be kept for the backward pass, which saves a fifth of the time.
    """
    from peft import LoraConfig

    layers = model.network.config.num_hidden_layers
    trained = trained_layers(model.network)
    return LoraConfig(
        r=rank, lora_alpha=SCALING * rank, lora_dropout=0.0, task_type="CAUSAL_LM",
        target_modules=sorted({name.rpartition(".")[2] for name in trained}),
        layers_to_transform=list(range(layers // 2, layers)),
        fan_in_fan_out=any(is_transposed(model.network.get_submodule(name)) for name in trained),
    )  # fmt: skip


def arguments(
    model: LocalModel, folder: Path, *, seed: int, epochs: float, batch: int, rate: float
) -> dict[str, Any]:
    """Return the training arguments of every trainer here."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch,
        "num_train_epochs": epochs,
        "learning_rate": rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 5,
        "logging_steps": 1,
        "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": model.device == "cpu",
        "bf16": False,  # the weights are already in the device's format; what LoRA learns stays in float32
        "dataloader_pin_memory": False,
        "gradient_checkpointing": False,  # it saves memory, which is not short here, and costs time
        "max_length": MAX_LENGTH,
    }


def fit(
    model: LocalModel,
    folder: Path,
    make_trainer: Callable[[Path], Any],
    rows: Fitted,
    progress: Progress | None,
) -> Trained:
    """Train with `make_trainer(scratch folder)` on the bare weights and write the adapter to `folder`, whole or not.

    `rows` are those that the trainer was given.
    """
    import torch

    model.set_adapters({})
    started = time.monotonic()
    if folder.exists():
        shutil.rmtree(folder)
    with (
        made_whole(folder) as temporary,
        torch.enable_grad(),
        quietly(),
        _scoring_what_is_learned(),
        plain_attention(model.network),
        packing(model.network),
    ):
        trainer = make_trainer(temporary / "scratch")
        with counted(trainer, progress), _in_its_format(trainer.model, model):
            trainer.train()
        write_adapter(trainer.model, temporary, base=public_name(model.name))
        losses = [h["loss"] for h in trainer.state.log_history if "loss" in h]
        tokens = int(getattr(trainer.state, "num_input_tokens_seen", 0) or 0)
        trainer.model.unload()
    model.network.eval()
    model.network.requires_grad_(True)
    seconds = time.monotonic() - started
    digest = folder_digest(folder, "adapter_*")
    counts = len(rows.kept), tokens, seconds, losses[0], losses[-1], rows.cut, len(rows.left_out)
    return Trained(str(folder), digest, *counts)


@contextmanager
def _scoring_what_is_learned() -> Iterator[None]:
    """Let TRL put only the tokens that are learned through the model's head.

    It does so where Triton is; elsewhere it scores the prompt and the padding too, and throws the result away: for
    short replies that is half of the time. The losses are the same to the last digit.
    """
    from trl.trainer import utils

    before = utils._use_triton
    utils._use_triton = lambda _: True
    try:
        yield
    finally:
        utils._use_triton = before


@contextmanager
def _in_its_format(network: Any, model: LocalModel) -> Iterator[None]:
    """Let the adapters of a PEFT network compute in the format of a model's weights; what is learned stays in float32.

    In float32 their small products, and turning what goes in and out of them, take a seventh of the time on a processor.
    """
    import torch
    from peft.helpers import disable_input_dtype_casting

    if model.device != "cpu" or model.dtype == torch.float32:
        yield
        return
    # Without the cache: in it would be the weights as they were at the first step.
    with (
        torch.autocast(model.device, model.dtype, cache_enabled=False),
        disable_input_dtype_casting(network),
    ):
        yield


@contextmanager
def plain_attention(network: Any) -> Iterator[None]:
    """Let a network on a processor attend in plain matrix products while it is trained.

    Over rows of a hundred tokens their backward pass takes half as long as that of the fused kernel, which saves memory
    for long ones.
    """
    before = network.config._attn_implementation
    if network.device.type == "cpu":
        network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def quietly() -> AbstractContextManager[Any]:
    """Silence what transformers warns of in the way that trainers call it: nothing that a user can act on."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)


def write_adapter(model: Any, folder: Path, *, base: str) -> None:
    """Write the adapter of a PEFT model to `folder` and remove the trainer's scratch; InputError when the disk refuses.

    `base` is the name of the base model that others know it by: a path says where this machine keeps it.
    """
    with written(folder, "adapter.not-written"):
        model.save_pretrained(folder, safe_serialization=True)
        _settle(folder / "adapter_config.json", base)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    (folder / "README.md").unlink(missing_ok=True)


def public_name(model: str) -> str:
    """Return the name of a model as the hub knows it; of a folder its own name."""
    from trimtab.models.embedded import HUB_NAME

    if model == "embedded":
        return HUB_NAME
    hub = model.removeprefix("hf/").partition("@")[0]
    return hub if model.startswith("hf/") else Path(model).name


def _settle(path: Path, base: str) -> None:
    """Write the same file on every machine, or its digest would differ: PEFT holds a path, and a set of layers."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


@contextmanager
def counted(trainer: Any, progress: Progress | None) -> Iterator[None]:
    """Report every training step as records: of n passes over them each step is an nth of its batch."""
    from transformers import PrinterCallback, TrainerCallback

    class Counter(TrainerCallback):  # type: ignore[misc]
        told = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            used = int(state.global_step * args.per_device_train_batch_size / max(1, args.num_train_epochs))
            if progress:
                progress(used - self.told)
            self.told = used
            if state.global_step % GIVEN_BACK == 0:
                give_back_memory()

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Counter())
    yield
    give_back_memory()
