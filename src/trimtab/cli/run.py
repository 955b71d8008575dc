"""`trimtab run`: the whole loop."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer


def run(
    config: Path | None = typer.Option(
        None, "--config", "-c", help="Configuration; default ./trimtab.toml if there is one."
    ),
    output: Path = typer.Option(Path("runs"), "--output", "-o", help="Folder of runs."),
    model: str | None = typer.Option(None, help="Model name: embedded, hf/ORG/NAME, dir/PATH, openai/NAME."),
    seed: int | None = typer.Option(None, help="Seed of generation and training."),
    quick: bool = typer.Option(False, help="Reduced sizes, for a first look: not evidential."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan and stop."),
    fresh: bool = typer.Option(False, help="Start anew instead of going on with an unfinished run."),
    exit_zero: bool = typer.Option(False, "--exit-zero", help="Exit with 0 whatever the verdict."),
    engine: str = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Run the whole loop on a model; an unfinished run of the same name is resumed.

    Examples: `trimtab run`, `trimtab run --quick`, `trimtab run --model dir/my-model -c trimtab.toml`.
    Exit code: 0 pass, 1 a gate failed, 2 input, 3 inconclusive, 130 interrupted.
    """
    from trimtab.run.config import FILE, read_config

    if config is None and Path(FILE).exists():
        config = Path(FILE)
    settings = read_config(config, quick=quick, model=model, seed=seed)
    if dry_run:
        _plan(settings, json)
        return
    from trimtab.cli.output import bars, estimate_event, event, say
    from trimtab.engine import set_engine
    from trimtab.governance.policy import exit_code
    from trimtab.models.load import load_model
    from trimtab.report.page import write_report
    from trimtab.report.panel import panel
    from trimtab.run.directory import open_run
    from trimtab.run.stages import Loop, run_loop
    from trimtab.run.summary import summarise

    set_engine(engine)
    directory = open_run(output, settings, fresh=fresh)
    base = load_model(settings.model)
    with bars() as bar:
        run_loop(Loop(directory, settings, base, bar))
    if not base.capabilities.trainable:
        say("no adapter was trained: this model cannot be trained here; records and guard were made")
    summary = summarise(directory, settings, command=shlex.join(["trimtab", *sys.argv[1:]]))
    write_report(summary, directory.folder / "report.html")
    if json:
        for figure in summary["figures"]:
            if figure["after"]:
                estimate_event(figure["after"], suite=figure["figure"], model=summary["model"]["digest"])
        event("verdict", outcome=summary["outcome"], report=summary["report"], run=str(directory.folder))
    else:
        say(panel(summary))
    raise typer.Exit(0 if exit_zero else exit_code(summary["outcome"]))


def _plan(settings: object, json: bool) -> None:
    from trimtab.cli.output import event
    from trimtab.run.config import RunConfig
    from trimtab.run.plan import plan, plan_json

    assert isinstance(settings, RunConfig)
    if json:
        event("plan", **plan_json(settings))
        return
    stages = plan(settings)
    for stage in stages:
        work = f"{stage.work}; {stage.tokens:,} tokens"
        typer.echo(f"{stage.stage:10} {stage.seconds:5.0f} s  {work}")
    requests = sum(s.requests for s in stages)
    about = plan_json(settings)
    typer.echo(f"total      {sum(s.seconds for s in stages):5.0f} s on two cores with the embedded model")
    typer.echo(f"memory     about {about['memory_gb']} GB; {requests:,} requests if the model is an endpoint")
