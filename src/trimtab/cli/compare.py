"""`trimtab compare`: two runs."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

import typer

ABOUT = ("model", "seed", "version", "strengths", "evidential")


def compare(
    first: Path = typer.Argument(help="A finished run."),
    second: Path = typer.Argument(help="Another finished run."),
) -> None:
    """Compare configuration, figures and verdicts of two runs.

    Example: `trimtab compare runs/A runs/B`
    """
    from trimtab.cli.output import say, tell
    from trimtab.errors import InputError

    found, problems = [], []
    for path in (first, second):
        try:
            found.append(_report(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    one, two = found
    for key in ABOUT:
        if one[key] != two[key]:
            tell(f"{key}: {jsonlib.dumps(one[key])} | {jsonlib.dumps(two[key])}")
    for name in dict.fromkeys([*one["figures"], *two["figures"]]):
        row, other = one["figures"].get(name), two["figures"].get(name)
        tell(f"{(row or other)['title']:45} {_told(row)} | {_told(other)}")
    tell(f"verdict: {one['outcome']} | {two['outcome']}")
    say(f"next: trimtab trim {second}")


def _report(run: Path) -> dict[str, Any]:
    """Return what is compared of a run's report: the keys of ABOUT, the outcome, and the figures by name."""
    from trimtab.errors import InputError, Problem

    try:
        found = jsonlib.loads((run / "report.json").read_text(encoding="utf-8"))
        figures = {f["figure"]: {"title": f"{f['title']}", "told": _change(f)} for f in found["figures"]}
        return {**{k: found[k] for k in ABOUT}, "outcome": f"{found['outcome']}", "figures": figures}
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        message, fix = (
            f"has no readable report.json ({why})",
            "Name a finished run; `trimtab run` finishes one.",
        )
    except (KeyError, TypeError, AttributeError):
        message, fix = "report.json is not the report of a run", "Restore it, or name another run."
    raise InputError(Problem("compare.no-report", str(run), message, fix))


def _change(figure: dict[str, Any]) -> str:
    if not (c := figure["change"]):
        return "not run"
    return f"{_number(c['value'])} [{_number(c['low'])}, {_number(c['high'])}]"


def _number(value: float | None) -> str:
    return "open" if value is None else f"{value:+.3f}"


def _told(figure: dict[str, Any] | None) -> str:
    return figure["told"] if figure else "not run"
