"""`trimtab run`: the whole loop."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.run.config import RunConfig
    from trimtab.run.plan import Plan


def run(
    config: Path | None = typer.Option(
        None, "--config", "-c", help="Configuration; default ./trimtab.toml if there is one."
    ),
    output: Path = typer.Option(Path("runs"), "--output", "-o", help="Folder of runs."),
    model: str | None = typer.Option(None, help="Model name: embedded, hf/ORG/NAME, dir/PATH, openai/NAME."),
    seed: int | None = typer.Option(None, help="Seed of generation and training."),
    quick: bool = typer.Option(False, help="Reduced sizes, for a first look: not evidential."),
    dry_run: bool = typer.Option(
        False,
        "--dry-run",
        help="Check configuration, model, endpoint settings and output folder, print the plan and stop; nothing is loaded or asked.",
    ),
    fresh: bool = typer.Option(False, help="Start anew instead of going on with an unfinished run."),
    exit_zero: bool = typer.Option(False, "--exit-zero", help="Exit with 0 whatever the verdict."),
    engine: str = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Run the whole loop on a model; an unfinished run of the same name is resumed, unless a later one is finished.

    Examples: `trimtab run`, `trimtab run --quick`, `trimtab run --model dir/my-model -c trimtab.toml`.

    Exit code: 0 pass, 1 a gate failed, 2 input, 3 inconclusive, 130 interrupted.
    """
    from trimtab.run.config import FILE, read_config

    if config is None and Path(FILE).exists():
        config = Path(FILE)
    settings = read_config(config, quick=quick, model=model, seed=seed)
    if dry_run:
        _plan(settings, engine, output, json)
        return
    from trimtab.cli.output import bars, estimate_event, event, say
    from trimtab.engine import set_engine
    from trimtab.governance.policy import exit_code
    from trimtab.models.load import load_model
    from trimtab.report.page import write_report
    from trimtab.report.panel import panel
    from trimtab.run import evidence
    from trimtab.run.directory import check_root, held, open_run, unfinished_run
    from trimtab.run.stages import Loop, run_loop
    from trimtab.run.summary import summarise

    set_engine(engine)
    check_root(output)
    if not fresh:
        unfinished_run(output, settings)  # one of another configuration is told before weights are loaded
    # A model that cannot be had must leave no run behind, which every later command would be taken to go on with.
    base = load_model(settings.model, settings.endpoint.limits)
    directory = open_run(output, settings, fresh=fresh)
    with held(directory.folder), bars() as bar:
        run_loop(Loop(directory, settings, base, bar))
    if not base.capabilities.trainable:
        say("no adapter was trained: this model cannot be trained here; records and guard were made")
    summary = summarise(directory, settings, command=shlex.join(["trimtab", *sys.argv[1:]]))
    evidence.verdict(directory, settings)
    write_report(summary, directory.folder / "report.html")
    if json:
        for figure in summary["figures"]:
            if figure["after"]:
                estimate_event(figure["after"], suite=figure["figure"], model=summary["model"]["digest"])
        event("verdict", outcome=summary["outcome"], report=summary["report"], run=str(directory.folder))
    else:
        say(panel(summary))
    raise typer.Exit(0 if exit_zero else exit_code(summary["outcome"]))


def _plan(settings: RunConfig, engine: str, output: Path, json: bool) -> None:
    from trimtab.cli.output import event, say
    from trimtab.run.plan import check_run, memory_here, pace_here, plan

    check_run(settings, engine, output)
    found = plan(settings, pace_here(settings), memory_here(settings))
    if json:
        event("plan", **found.to_json())
    else:
        _tell_plan(found)
    for warning in found.warnings:
        say(f"warning: {warning}")
    if not json:
        say(f"next: {shlex.join(['trimtab', *(a for a in sys.argv[1:] if a != '--dry-run')])}")


def _tell_plan(found: Plan) -> None:
    from trimtab.cli.output import tell
    from trimtab.run.plan import is_endpoint

    for s in found.stages:
        tell(f"{s.stage:9} {s.seconds:6.0f} s {s.tokens:9,} tokens  {s.work}")
    remote = is_endpoint(found.config)
    tokens, seconds = sum(s.tokens for s in found.stages), sum(s.seconds for s in found.stages)
    where = (
        "at an endpoint's usual pace" if remote else f"on two cores in {found.pace.format}; a GPU takes less"
    )
    tell(f"{'total':9} {seconds:6.0f} s {tokens:9,} tokens  {where}")
    size = (
        "not known before the weights are here" if found.memory_gb is None else f"about {found.memory_gb} GB"
    )
    tell(f"memory    {size}")
    if remote:
        from trimtab.models._settings import Settings, address

        url, key = address()
        kept = "no key" if key == "none" else "a key from OPENAI_API_KEY"
        tell(f"endpoint  {Settings(url, key).place}, {kept}; whether it answers was not tried")
        usd = found.cost_usd
        cost = "not known: set the prices under [endpoint]" if usd is None else f"about {usd:.2f} USD"
        tell(f"requests  about {found.requests:,}; retries, and likelihoods where it gives them, come on top")
        tell(f"cost      {cost}")
