"""`trimtab trim`: the operating point of a run."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

import typer


def trim(
    run: Path = typer.Argument(help="A run directory."),
    change: list[str] = typer.Option([], "--set", help="ADAPTER=STRENGTH, such as values=2; repeatable."),
) -> None:
    """Show the trade-off that a run measured on tune, or set other strengths for its system.

    Example: `trimtab trim runs/RUN --set adversarial=0.75`
    """
    from trimtab.errors import ConfigError, Problem
    from trimtab.models.system import read_system, write_system
    from trimtab.run.directory import RunDirectory

    about = read_system(run)
    strengths = dict(about["strengths"])
    for text in change:
        name, _, number = text.partition("=")
        try:
            if name not in strengths:
                raise ValueError
            strengths[name] = float(number)
        except ValueError:
            fix = f"Use one of {', '.join(strengths) or 'no adapter: none was trained'} and a number."
            raise ConfigError(
                Problem("trim.set", f"--set {text}", "names no adapter of this run", fix)
            ) from None
    for p in (RunDirectory(run).stage("trim").done or {}).get("points", []):
        mark = "*" if p["strength"] == strengths.get(p["mechanism"]) else " "
        typer.echo(
            f"{mark} {p['mechanism']:12} × {p['strength']:<5g} {p['effect_name']} {p['effect']:.3f}   "
            f"{p['cost_name']} {p['cost']:.3f}"
        )
    if change:
        write_system(
            run,
            base=about["base"],
            base_digest=about["base_digest"],
            strengths=strengths,
            guard=about["guard"],
        )
        typer.echo(f"set {jsonlib.dumps(strengths)}: another system; its report is out of date")
        typer.echo(f"next: trimtab probe --model {run} --suite YOUR_SUITE.jsonl")
