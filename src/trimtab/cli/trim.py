"""`trimtab trim`: the operating point of a run."""

from __future__ import annotations

import json as jsonlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

CHOSEN = "operating_point.json"  # who set other strengths than the rule chose


def trim(
    run: Path = typer.Argument(help="A run directory."),
    change: list[str] = typer.Option([], "--set", help="ADAPTER=STRENGTH, such as values=2; repeatable."),
    by: str | None = typer.Option(None, help="With --set: who chose, kept beside the system."),
    because: str | None = typer.Option(None, help="With --set: why, kept beside it."),
) -> None:
    """Show the trade-off that a run measured on tune, or set other strengths for its system.

    Example: `trimtab trim runs/RUN --set values=0.5 --by 'Ana Ruiz' --because 'refusals cost us more'`
    """
    from trimtab.cli.output import say, tell, tell_point
    from trimtab.models.system import read_system, write_system
    from trimtab.records.write import write_json
    from trimtab.run.directory import RunDirectory

    about = read_system(run)
    strengths = _changed(dict(about["strengths"]), change)
    trimmed = RunDirectory(run).stage("trim").done or {}
    points = trimmed.get("points", [])
    for p in points:
        tell_point(p, chosen=p["strength"] == strengths.get(p["mechanism"]))
    if not points:
        tell("no trade-off was measured: no adapter was trained")
    elif not change:
        tell(_chosen(run, trimmed.get("rule")))
    if not change:
        name = next(iter(strengths), None)
        say(
            f"next: trimtab trim {run} --set {name}=0.5" if name else f"next: trimtab compare {run} OTHER_RUN"
        )
        return
    _check_finished(run)
    write_system(
        run, base=about["base"], base_digest=about["base_digest"], strengths=strengths, guard=about["guard"]
    )
    choice = {
        "strengths": strengths,
        "by": by,
        "because": because,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(run / CHOSEN, choice)
    tell(
        f"set {jsonlib.dumps(strengths)}: another system, to probe, ask and export; its report is out of date, and it cannot be released"
    )
    tell(
        "for a release name them alone in trimtab.toml (as [strengths] values = [0.5]) and run: trim takes them, or none that costs too much"
    )
    say(f"next: trimtab probe --model {run} --suite YOUR_SUITE.jsonl")


def _check_finished(run: Path) -> None:
    """Raise ConfigError for a run that would go on with other strengths than trim chose."""
    from trimtab.errors import ConfigError, Problem
    from trimtab.run.directory import RunDirectory

    if not RunDirectory(run).finished:
        what, fix = (
            "is not finished, and what is left of it is about the strengths that it chose",
            "Let `trimtab run` finish it first.",
        )
        raise ConfigError(Problem("trim.unfinished", str(run), what, fix))


def _chosen(run: Path, rule: str | None) -> str:
    """Return who or what rule chose the strengths."""
    if not (run / CHOSEN).exists():
        return f"chosen by rule: {rule or 'that of the version which made the run'}"
    found = _read_choice(run / CHOSEN)
    why = f": {found['because']}" if found["because"] else ", without a reason"
    return f"chosen by {found['by'] or 'someone who gave no name'}, {found['time']}{why}"


def _read_choice(path: Path) -> dict[str, Any]:
    """Return what `trim --set` wrote; raises InputError when it is damaged."""
    from trimtab.errors import InputError, Problem

    try:
        found = jsonlib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"cannot be read ({error})"
    else:
        if isinstance(found, dict) and {"by", "because", "time"} <= found.keys():
            return found
        what = "is not what `trimtab trim --set` writes"
    fix = "Set the strengths again with --set, --by and --because, or restore the file."
    raise InputError(Problem("trim.damaged", str(path), what, fix))


def _changed(strengths: dict[str, float], change: list[str]) -> dict[str, float]:
    """Return the strengths with the changes; raises ConfigError with everything that is wrong with them."""
    from trimtab.errors import ConfigError, Problem

    problems = []
    for text in change:
        name, _, number = text.partition("=")
        if name not in strengths:
            fix = f"Use one of {', '.join(strengths)}." if strengths else "It has none: none was trained."
            problems.append(Problem("trim.set", f"--set {text}", "names no adapter of this run", fix))
        elif (value := _strength(number)) is None:
            fix = f"Write a number of at least 0, such as {name}=0.5."
            problems.append(Problem("trim.set", f"--set {text}", "is not a strength", fix))
        else:
            strengths[name] = value
    if problems:
        raise ConfigError(problems)
    return strengths


def _strength(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
