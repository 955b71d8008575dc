"""`trimtab train`: one adapter."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.models.local import LocalModel
    from trimtab.records.read import Reading
    from trimtab.records.record import Kind, Record
    from trimtab.training.adapter import Trained


def train(
    data: str = typer.Argument(help="Records of one kind: sft, document, preference or pair."),
    output: Path = typer.Option(..., "--output", "-o", help="Folder of the adapter (standard PEFT)."),
    only: str = typer.Option(
        "", "--kind", help="Learn from the records of this kind, where kinds are mixed."
    ),
    model: str = typer.Option("embedded", "--model", "-m", help="embedded, hf/ORG/NAME or dir/PATH."),
    seed: int = typer.Option(0, min=0, max=2**31 - 1, help="Seed of training."),
    retain: int = typer.Option(
        160,
        min=0,
        help="Real texts (Python's documentation) on which the model keeps to what it predicted, while it learns "
        "from preference or pair records.",
    ),
) -> None:
    """Train a LoRA adapter: SFT, DPO or the equalising loss, by the kind of the records.

    Of a record the first 384 tokens are read (of a pair all): the end of a longer one is not learned, and one whose
    prompt fills them is left out. Both are said.

    Example: `trimtab train pairs.jsonl -o adapters/trimtab_bias`
    """
    from trimtab.cli.output import bars, say, say_rejected, tell
    from trimtab.errors import ConfigError, InputError, Problem
    from trimtab.models.load import load_model
    from trimtab.models.local import LocalModel
    from trimtab.records.read import one_kind, read_records
    from trimtab.records.write import check_writable
    from trimtab.training.anchor import anchor_records
    from trimtab.training.dpo import train_dpo
    from trimtab.training.equalise import train_equalise
    from trimtab.training.sft import train_sft

    if output.exists():
        raise InputError(Problem("train.exists", str(output), "is there already", "Choose another folder."))
    check_writable(output)
    reading = read_records(data, kind=_kind(only))
    say_rejected(data, reading.rejected, reading.ignored)
    kind = one_kind(reading)
    rows = _learnable(reading) if kind == "sft" else reading.records
    base = load_model(model)
    if not isinstance(base, LocalModel) or not base.capabilities.trainable:
        fix = "Use embedded, or hf/ORG/NAME or dir/PATH of a model with linear layers in numbered blocks."
        raise ConfigError(Problem("train.model", model, "cannot be trained here", fix))
    texts = anchor_records(retain, mechanism="")
    trainers: dict[str, Callable[..., Trained]] = {
        "sft": train_sft,
        "document": train_sft,
        "preference": partial(train_dpo, texts=texts),
        "pair": partial(train_equalise, texts=texts),
    }
    rows = _within_length(base, rows, data)
    with bars() as bar:
        progress = bar("train", len(rows))
        trained = trainers[kind](base, rows, output, seed=seed, progress=progress)
    loss = f"loss {trained.first_loss:.3f} → {trained.last_loss:.3f}"
    tell(f"{trained.records} {kind} records, {trained.seconds:.0f} s, {loss}")
    tell(f"wrote {output} ({trained.digest[:12]})")
    say(
        f"next: {shlex.join(['trimtab', 'probe', '-m', model, '--adapter', str(output), '-s', 'YOUR_SUITE.jsonl'])}"
    )


def _kind(name: str) -> Kind | None:
    from typing import get_args

    from trimtab.errors import ConfigError, Problem
    from trimtab.records.record import Kind

    known: tuple[Kind, ...] = get_args(Kind)
    if name and name not in known:
        raise ConfigError(
            Problem("train.kind", f"--kind {name!a}", "is not known", f"Use {', '.join(known)}.")
        )
    return next((kind for kind in known if kind == name), None)


def _within_length(model: LocalModel, records: list[Record], data: str) -> list[Record]:
    """Return the records of which something can be learned within the length, and say what is not."""
    from trimtab.cli.output import say, say_rejected
    from trimtab.records.read import Rejected
    from trimtab.training.rows import MAX_LENGTH, NO_ROOM, fitted

    fits = fitted(model, records)
    say_rejected(data, [Rejected(f"record {r.id[:12]}", "train.no-room", NO_ROOM) for r in fits.left_out])
    if fits.cut:
        what = f"are longer than {MAX_LENGTH} tokens: what comes after is not learned"
        say(f"{data}: {fits.cut} of {len(fits.kept)} records {what}")
    return list(fits.kept)


def _learnable(reading: Reading) -> list[Record]:
    """Return the records that have a reply to learn, and say why the others have none; raises when none has."""
    from trimtab.cli.output import say_rejected
    from trimtab.records.read import Rejected, nothing_taken
    from trimtab.training.sft import why_not

    why = {r.id: why_not(r) for r in reading.records}
    rejected = [Rejected(f"record {i[:12]}", "train.no-reply", reason) for i, reason in why.items() if reason]
    say_rejected(reading.path, rejected)
    if len(rejected) == len(why):
        fix = "Give conversations that end with the assistant's turn"
        raise nothing_taken(rejected, reading.path, area="train", noun="conversation to learn from", fix=fix)
    return [r for r in reading.records if not why[r.id]]
