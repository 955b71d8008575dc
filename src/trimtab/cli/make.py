"""`trimtab harden`, `debias` and `reinforce`: one mechanism alone, which writes records."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.mechanisms.made import Made
    from trimtab.mechanisms.values.hygiene import Check
    from trimtab.mechanisms.writer import Writer
    from trimtab.records.record import Record

MODEL = typer.Option("embedded", "--model", "-m", help="The generator: embedded, hf/…, dir/… or openai/NAME.")
OUTPUT = typer.Option(..., "--output", "-o", help="File to write: .jsonl, .jsonl.gz or .parquet.")
SEED = typer.Option(0, min=0, max=2**31 - 1, help="Seed of the plan and of sampling.")
MAX_REQUESTS = typer.Option(None, min=1, help="Ask an endpoint at most this often.")
MAX_COST = typer.Option(None, min=0, help="Spend at most this (USD) on an endpoint; with --prices.")
PRICES = typer.Option((0.0, 0.0), help="An endpoint's USD for a million tokens read, and written.")
ENGINE = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT.")

Limits = tuple[int | None, float | None, tuple[float, float]]  # of an endpoint: requests, USD, prices


def harden(
    output: Path = OUTPUT,
    model: str = MODEL,
    seed: int = SEED,
    engine: str = ENGINE,
    max_requests: int | None = MAX_REQUESTS,
    max_cost_usd: float | None = MAX_COST,
    prices: tuple[float, float] = PRICES,
    harmful: int = typer.Option(96, min=1, help="Refusals to make; as many benign twins are answered."),
    ordinary: int = typer.Option(72, min=0, help="Ordinary requests to answer."),
) -> None:
    """Make adversarial training records: refusals of attacks, and answers to their benign twins.

    Example: `trimtab harden -o harden.jsonl --harmful 200`
    """
    from trimtab.mechanisms.adversarial.records import make_adversarial

    _make(
        lambda writer: make_adversarial(writer, harmful=harmful, ordinary_requests=ordinary),
        output, "adversarial", model=model, seed=seed, engine=engine,
        limits=(max_requests, max_cost_usd, prices),
    )  # fmt: skip


def debias(
    output: Path = OUTPUT,
    model: str = MODEL,
    seed: int = SEED,
    engine: str = ENGINE,
    max_requests: int | None = MAX_REQUESTS,
    max_cost_usd: float | None = MAX_COST,
    prices: tuple[float, float] = PRICES,
    pairs: int = typer.Option(140, min=2, help="Pairs about roles."),
    traits: int = typer.Option(40, min=0, help="Pairs on other axes."),
    writings: int = typer.Option(240, min=0, help="Sentences that the model writes about roles."),
) -> None:
    """Make bias mitigation records: counterfactual pairs where the model's writing and scores are skewed.

    Example: `trimtab debias -o pairs.jsonl --pairs 300`
    """
    from trimtab.mechanisms.bias.records import make_bias

    _make(
        lambda writer: make_bias(writer, writings=writings, pairs=pairs, traits=traits),
        output, "bias", model=model, seed=seed, engine=engine,
        limits=(max_requests, max_cost_usd, prices),
    )  # fmt: skip


def reinforce(
    output: Path = OUTPUT,
    model: str = MODEL,
    seed: int = SEED,
    engine: str = ENGINE,
    max_requests: int | None = MAX_REQUESTS,
    max_cost_usd: float | None = MAX_COST,
    prices: tuple[float, float] = PRICES,
    authored: int = typer.Option(144, min=0, help="Pairs from authored examples."),
    contrast: int = typer.Option(
        72, min=0, help="Pairs by contrast: a prompt under a principle and its opposite."
    ),
    rounds: int = typer.Option(
        2, min=1, help="How often other prompts are tried for pairs by contrast that failed."
    ),
    documents: int = typer.Option(0, min=0, help="Documents about the principles, into a file of their own."),
    demonstrations: int = typer.Option(
        0,
        min=0,
        help="Conversations that keep a principle, every second one saying why; a file of their own.",
    ),
    check_values: int = typer.Option(
        0,
        min=0,
        help="Score so many pairs of each principle: their value gap, and principles that pull apart.",
    ),
    charter: Path | None = typer.Option(None, help="Charter file; default: the built-in one."),
) -> None:
    """Make value reinforcement records: preference pairs on the principles of a charter, and what teaches their reason.

    Every principle gets the same number, or what it is short of is said; on principles without authored pairs the model
    writes its own prompts. The pairs are checked before anything is trained: shortcuts, length, duplicates, contradictions.

    Example: `trimtab reinforce -o values.parquet --contrast 100 --documents 48 --demonstrations 96`
    """
    from trimtab.charter.charter import read_charter
    from trimtab.mechanisms.values.hygiene import hygiene
    from trimtab.mechanisms.values.records import make_values
    from trimtab.mechanisms.values.teaching import make_teaching
    from trimtab.mechanisms.values.value_checks import value_checks

    principles = read_charter(charter)

    def made(writer: Writer) -> Made:
        pairs = make_values(writer, principles, authored=authored, contrast=contrast, rounds=rounds)
        taught = make_teaching(writer, principles, documents=documents, demonstrations=demonstrations)
        checks = hygiene(pairs.records, seed)
        if check_values:
            checks += value_checks(writer.at("value-checks"), principles, pairs.records, check_values)
        for check in checks:
            _tell_check(check)
        return pairs + taught

    limits = (max_requests, max_cost_usd, prices)
    _make(made, output, "values", model=model, seed=seed, engine=engine, limits=limits)


def _tell_check(check: Check) -> None:
    from trimtab.cli.output import tell

    e = check.estimate
    value = f" {e.value:.3f} [{e.low:.3f}, {e.high:.3f}] {e.unit}, n {e.n}" if e else ""
    text = f"; {check.text}" if check.text else ""
    tell(f"{check.status:13} {check.name}: {check.title}{value}{text}")


def _make(
    mechanism: Callable[[Writer], Made], output: Path, name: str, *, model: str, seed: int, engine: str,
    limits: Limits,
) -> None:  # fmt: skip
    """Let a mechanism make its records, and write them; what was answered is kept beside them until they are there."""
    from trimtab.cli.output import bars, kept_beside
    from trimtab.engine import set_engine
    from trimtab.mechanisms.writer import Writer
    from trimtab.models.load import EndpointLimits, load_model
    from trimtab.records.write import check_records_path

    check_records_path(output)
    set_engine(engine)
    base = load_model(model, EndpointLimits(*limits))
    with kept_beside(output) as parts:
        with bars() as bar:
            made = mechanism(Writer(base, parts, seed=seed, progress=bar))
        if not made.records:
            shutil.rmtree(parts, ignore_errors=True)  # to go on there would come to nothing again
        _write(made, output, name)


def _write(made: Made, output: Path, mechanism: str) -> None:
    from collections import Counter

    from trimtab.cli.output import say, tell
    from trimtab.errors import ModelError, Problem
    from trimtab.records.write import write_records

    for cell, n in sorted(Counter(r.cell for r in made.records).items()):
        tell(f"{n:6} {cell}")
    for reason, n in sorted(made.dropped.items()):
        tell(f"{n:6} dropped: {reason}")
    for what, n in made.missing.items():
        tell(f"{n:6} short of the plan: {what}")
    for principle, status in made.left_out.items():
        tell(f"{'':6} not taught: {principle}, which the charter has {status}")
    if not made.records:
        fix = "Ask for more, or use another generator with --model."
        raise ModelError(Problem("make.nothing", str(output), "not written: no record was kept", fix))
    written: list[Path] = []
    for kind, rows in _by_kind(made.records).items():
        path = _beside(output, kind) if written else output
        written.append(path)
        write_records(rows, path)
        tell(f"wrote {len(rows)} records to {path}")
    say(f"next: trimtab train {output} -o adapters/trimtab_{mechanism}")
    for path in written[1:]:
        say(f"also: trimtab train {path} -o adapters/{path.name.partition('.')[0]}_{path.name.split('.')[1]}")


def _by_kind(records: list[Record]) -> dict[str, list[Record]]:
    """Return kind → records, since a file to train on holds one kind."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.kind, []).append(record)
    return found


def _beside(path: Path, kind: str) -> Path:
    """Return where records of a further kind go: values.parquet, values.document.parquet."""
    stem, dot, suffix = (
        path.name.partition(".jsonl") if ".jsonl" in path.name else path.name.partition(".parquet")
    )
    return path.with_name(f"{stem}.{kind}{dot}{suffix}")
