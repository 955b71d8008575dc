"""`trimtab train`: one adapter."""

from __future__ import annotations

from pathlib import Path

import typer


def train(
    data: str = typer.Argument(help="Records of one kind: sft, document, preference or pair."),
    output: Path = typer.Option(..., "--output", "-o", help="Folder of the adapter (standard PEFT)."),
    model: str = typer.Option("embedded", "--model", "-m", help="embedded, hf/ORG/NAME or dir/PATH."),
    seed: int = typer.Option(0, min=0, max=2**31 - 1, help="Seed of training."),
) -> None:
    """Train a LoRA adapter: SFT, DPO or the equalising loss, by the kind of the records.

    Example: `trimtab train pairs.jsonl -o adapters/trimtab_bias`
    """
    from trimtab.cli.output import bars, say, say_rejected, tell
    from trimtab.errors import ConfigError, InputError, Problem
    from trimtab.models.load import load_model
    from trimtab.models.local import LocalModel
    from trimtab.records.read import one_kind, read_records
    from trimtab.records.write import check_writable
    from trimtab.training.dpo import train_dpo
    from trimtab.training.equalise import train_equalise
    from trimtab.training.sft import train_sft

    if output.exists():
        raise InputError(Problem("train.exists", str(output), "is there already", "Choose another folder."))
    check_writable(output)
    reading = read_records(data)
    say_rejected(data, reading.rejected, reading.ignored)
    kind = one_kind(reading)
    base = load_model(model)
    if not isinstance(base, LocalModel):
        fix = "Use embedded, hf/ORG/NAME or dir/PATH."
        raise ConfigError(Problem("train.model", model, "cannot be trained here", fix))
    trainers = {"sft": train_sft, "document": train_sft, "preference": train_dpo, "pair": train_equalise}
    with bars() as bar:
        progress = bar("train", len(reading.records))
        trained = trainers[kind](base, reading.records, output, seed=seed, progress=progress)
    loss = f"loss {trained.first_loss:.3f} → {trained.last_loss:.3f}"
    tell(f"{trained.records} {kind} records, {trained.seconds:.0f} s, {loss}")
    tell(f"wrote {output} ({trained.digest[:12]})")
    say("next: load it with PEFT, or run the whole loop: trimtab run")
