"""`trimtab charter`: the principles that a model should be taught, and the votes behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from trimtab.charter.tally import Tally

charter = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@charter.callback()
def about() -> None:
    """Count what people voted for, and keep a charter: the values that the model should be taught.

    Example: `trimtab charter tally export/`, then `trimtab charter adopt charter.toml export/`
    """


@charter.command()
def tally(
    votes: Path = typer.Argument(help="Polis export (folder or file), or a CSV of approvals or rankings."),
    groups: str = typer.Option("own", help="Opinion groups: own (found here) or given (of the export)."),
    k: int | None = typer.Option(
        None, min=2, max=26, help="Number of groups; default: the best of 2 to 5 by silhouette."
    ),
    strict: bool = typer.Option(False, "--strict", help="Count only statements that moderators let in."),
    least: int = typer.Option(1, min=0, help="Leave out statements with fewer votes."),
    top: int = typer.Option(10, min=1, help="Statements to print; --json has them all."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Count a consultation: opinion groups, consensus across them, what divides them, and several rankings.

    Reads Polis exports (votes, participants-votes, comments) and CSV with a row for each ballot: approvals (1, 0),
    rankings (1, 2, 3 …), or a column `ranking` with lines such as A > B = C.

    Example: `trimtab charter tally export/ --json`

    Exit code: 0 counted, 2 input.
    """
    from trimtab.charter.read_votes import read_votes
    from trimtab.charter.tally import Options
    from trimtab.charter.tally import tally as count

    counted = count(read_votes(votes), Options(groups, k, strict, least))
    if json:
        _events(counted.to_json())
    else:
        _tell(counted, top)


def _events(found: dict[str, Any]) -> None:
    """Print a tally as JSON lines: its head, then each statement, finding and ranking."""
    from trimtab.cli.output import event

    event("tally", **{k: v for k, v in found.items() if not isinstance(v, list | dict)}, notes=found["notes"])
    event("groups", **found["groups"])
    for row in found["consensus"]:
        event("statement", **row)
    for group, rows in found["representative"].items():
        event("representative", group=group, statements=rows)
    for row in found["divides"]:
        event("divides", **row)
    for rule, rows in found["rankings"].items():
        event("ranking", rule=rule, first=found["first"][rule], places=rows)
    event("accord", condorcet_winner=found["condorcet_winner"], tau=found["accord"])
    for row in found["disputed"]:
        event("disputed", **row)


def _tell(counted: Tally, top: int) -> None:
    from trimtab.cli._tally import lines
    from trimtab.cli.output import say, tell

    for line in lines(counted, top):
        tell(line)
    say("next: trimtab charter adopt CHARTER VOTES, or --json for every figure")
