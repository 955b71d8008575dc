"""`trimtab compare`: two runs."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

import typer


def compare(
    first: Path = typer.Argument(help="A finished run."),
    second: Path = typer.Argument(help="Another finished run."),
) -> None:
    """Compare configuration, figures and verdicts of two runs.

    Example: `trimtab compare runs/A runs/B`
    """
    one, two = (_report(path) for path in (first, second))
    for key in ("model", "seed", "version", "strengths"):
        if one[key] != two[key]:
            typer.echo(f"{key}: {jsonlib.dumps(one[key])} | {jsonlib.dumps(two[key])}")
    figures = {f["figure"]: f for f in two["figures"]}
    for figure in one["figures"]:
        other = figures.get(figure["figure"])
        typer.echo(f"{figure['title']:45} {_told(figure)} | {_told(other)}")
    typer.echo(f"verdict: {one['outcome']} | {two['outcome']}")


def _report(run: Path) -> dict[str, Any]:
    from trimtab.errors import InputError, Problem

    try:
        found: dict[str, Any] = jsonlib.loads((run / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = "Name a finished run; `trimtab run` finishes one."
        raise InputError(
            Problem("compare.no-report", str(run), f"has no readable report.json ({error})", fix)
        ) from error
    return found


def _told(figure: dict[str, Any] | None) -> str:
    if not figure or not figure["change"]:
        return "not run"
    c = figure["change"]
    return f"{c['value']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]"
