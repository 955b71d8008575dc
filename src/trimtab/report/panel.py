"""The panel that a run ends with, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.report._format import goal, interval, judge_lines, level, one_line, shift, unmeasured_lines

if TYPE_CHECKING:
    from rich.console import Group

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def panel(summary: Mapping[str, Any]) -> Group:
    """Return the panel of a summary, for a rich console: verdicts, figures before and after, what comes next."""
    from rich.console import Group
    from rich.text import Text

    colour = COLOURS[summary["outcome"]]
    head = Text.assemble(("verdict: ", "bold"), (summary["outcome"].upper(), f"bold {colour}"))
    if not summary["evidential"]:
        head.append("   not evidential: reduced sizes", "bold yellow")
    again = summary.get("reattack")
    told = [_reattack(again)] if again else []
    told += [f"waived: {w}" for w in summary["waivers"]]
    told += unmeasured_lines(summary.get("unmeasured"))
    lines = [Text(one_line(line)) for line in [*told, *judge_lines(summary.get("judge"))]]
    model = f"model {summary['model']['name']} {summary['model']['digest'][:12]}, seed {summary['seed']}"
    total = sum(c["seconds"] or 0 for c in summary["costs"])
    return Group(
        head, _figures(summary), *lines, Text(one_line(f"{model}, {total / 60:.1f} minutes"), style="dim"),
        whole(f"report: {one_line(summary['report'])}"), whole(f"next: {one_line(summary['next'])}"),
    )  # fmt: skip


def whole(line: str) -> Any:
    """Return a line that is not broken at the width: a path or a command is copied from it."""
    from rich.text import Text

    return Text(line, no_wrap=True, overflow="ignore")


def _figures(summary: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    verdicts = {v["figure"]: v for v in summary["verdicts"]}
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("figure", "before", "after", "change, 95 % interval", "gate", "verdict"):
        table.add_column(column, overflow="fold")
    for figure in summary["figures"]:
        verdict = verdicts.get(figure["figure"], {})
        outcome = verdict.get("outcome", "")
        change = (
            f"{shift(figure['change'])} {interval(figure['change'], change=True)}"
            if figure["change"]
            else "not run"
        )
        cells = [figure["title"], level(figure["before"]), level(figure["after"]), change]
        told = goal(verdict, figure["better"]) if verdict else ""
        row = [Text(one_line(c)) for c in (*cells, told)]
        table.add_row(*row, Text(outcome, style=COLOURS.get(outcome, "")))
        for variant in figure["variants"]:
            table.add_row(
                Text(f"  {one_line(variant['label'])}"), "", Text(level(variant["estimate"])), "", "", ""
            )
    return table


def _reattack(again: Mapping[str, Any]) -> str:
    e = again["estimate"]
    return (
        f"re-attack: {level(e)} of {e['n']} behaviours answered within {again['attempts']} fresh attempts each "
        f"{interval(e)}"
    )
