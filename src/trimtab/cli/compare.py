"""`trimtab compare`: two runs."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

ABOUT = ("model", "seed", "version", "strengths", "evidential")
WIDTH = 60  # of a figure's cell


def compare(
    first: Path = typer.Argument(help="A finished run."),
    second: Path = typer.Argument(help="Another finished run."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Compare configuration, figures and verdicts of two runs.

    A figure is told as its change from before to after with the 95 % interval, what it was afterwards, and its gate.
    Whether two runs differ by more than chance is not tested: their cases may be others.

    Example: `trimtab compare runs/A runs/B`
    """
    from trimtab.cli.output import event, say, tell
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
    for key, values in _differences(one, two):
        if json:
            event("differs", key=key, values=values)
        else:
            tell(f"{key}: {' | '.join(jsonlib.dumps(v) for v in values)}")
    for name in dict.fromkeys([*one["figures"], *two["figures"]]):
        rows = [r["figures"].get(name) for r in found]
        if json:
            event("figure", figure=name, runs=[r and r["json"] for r in rows])
            continue
        title = next(r["title"] for r in rows if r)
        tell(f"{title:36} {_told(rows[0]):{WIDTH}} | {_told(rows[1])}")
    if json:
        event("verdict", outcomes=[one["outcome"], two["outcome"]])
        return
    tell(f"verdict: {one['outcome']} | {two['outcome']}")
    say(f"next: trimtab trim {second}")


def _report(run: Path) -> dict[str, Any]:
    """Return what is compared of a run's report: the keys of ABOUT, configuration, outcome, and the figures by name."""
    from trimtab.errors import InputError, Problem

    try:
        found = jsonlib.loads((run / "report.json").read_text(encoding="utf-8"))
        gates = {v["figure"]: v["outcome"] for v in found["verdicts"]}
        figures = {f["figure"]: _figure(f, gates.get(f["figure"])) for f in found["figures"]}
        about = {k: found[k] for k in ABOUT}
        return {"about": about | _config(run), "outcome": f"{found['outcome']}", "figures": figures}
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        message, fix = (
            f"has no readable report.json ({why})",
            "Name a finished run; `trimtab run` finishes one.",
        )
    except (KeyError, TypeError, AttributeError):
        message, fix = "report.json is not the report of a run", "Restore it, or name another run."
    raise InputError(Problem("compare.no-report", str(run), message, fix))


def _config(run: Path) -> dict[str, Any]:
    """Return the keys of the configuration that a run was started with, such as `config.sizes.attacks`."""
    try:
        about = jsonlib.loads((run / "run.json").read_text(encoding="utf-8"))
        return dict(_flat("config", about["config"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {"config": "not readable"}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(f"{name}.{key}", inner)


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield each key that is not the same in both, with both values; what has been told is not told again as configuration."""
    for key in dict.fromkeys([*one["about"], *two["about"]]):
        values = [r["about"].get(key) for r in (one, two)]
        if values[0] != values[1] and key.removeprefix("config.") not in (ABOUT if "." in key else ()):
            yield key, values


def _figure(figure: Mapping[str, Any], gate: str | None) -> dict[str, Any]:
    from trimtab.report._format import interval, level, shift

    change, after = figure["change"], figure.get("after")
    told = f"{shift(change)} {interval(change, change=True)}" if change else "not run"
    told += f", now {level(after)}" if change and after else ""
    about = {"change": change, "after": after, "gate": gate}
    return {
        "title": f"{figure['title']}",
        "told": f"{told}, {gate}" if change and gate else told,
        "json": about,
    }


def _told(figure: Mapping[str, Any] | None) -> str:
    return figure["told"] if figure else "not run"
