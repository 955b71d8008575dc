"""What commands print: JSON lines on stdout for programs, everything else for people on stderr or a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.cli import ascii_controls
from trimtab.models.protocol import Progress
from trimtab.run.measure import Bar
from trimtab.statistics.estimate import finite

if TYPE_CHECKING:
    from trimtab.records.read import Rejected

SHOWN = 20  # rejected rows that are told one by one


def event(kind: str, /, **values: Any) -> None:
    """Print one JSON line; a number that JSON has no word for (an open interval) is null."""
    print(json.dumps({"event": kind, **finite(values)}, allow_nan=False), flush=True)


def plain(text: str) -> str:
    """Return text that does nothing to a terminal: other controls than line breaks and tabs are spelled out."""
    return "".join(c if c in "\n\t" else ascii_controls(c) for c in text)


def tell(text: str) -> None:
    """Print a result for a person, on stdout."""
    import typer

    typer.echo(plain(text))


def tell_line(text: str) -> None:
    """Print what others wrote as one line, so that it is not taken for another."""
    tell(text.replace("\n", "\\n"))


def say(text: Any) -> None:
    """Print to the person beside the results: a rich renderable or a text, on stderr."""
    import typer

    if isinstance(text, str):
        typer.echo(plain(text), err=True)
        return
    from rich.console import Console

    width = None if sys.stderr.isatty() else 120
    # A line that is not to be broken may be longer than the width, and is not to be cut there either.
    Console(stderr=True, highlight=False, markup=False, width=width).print(text, crop=False)


@contextmanager
def kept_beside(output: Path) -> Iterator[Path]:
    """Give a folder beside a file to be made, for what was answered so far, which is removed when the file is there.

    It stays when the work is cut off, so that the same command goes on there.
    """
    parts = output.with_name(f"{output.name}.parts")
    yield parts
    shutil.rmtree(parts, ignore_errors=True)


def say_rejected(
    place: str,
    rejected: Sequence[Rejected],
    ignored: Mapping[str, int] | None = None,
    *,
    holders: str = "records",
) -> None:
    """Say which rows of an input were not taken and why, and which keys of it are not held."""
    for row in rejected[:SHOWN]:
        say(f"{place}: rejected row: {row}")
    for code, n in sorted(Counter(row.code for row in rejected[SHOWN:]).items()):
        say(f"{place}: rejected rows: {n} more [{code}]")
    for key, n in sorted((ignored or {}).items()):
        say(f"{place}: ignored: {n} values of the key {key!a}, which {holders} do not hold")


def tell_point(point: Mapping[str, Any], *, chosen: bool) -> None:
    """Print one strength of a trade-off: its effect, and each cost with its limit."""
    from trimtab.report._format import costs_of, tuned

    mark = "*" if chosen else " "
    effect = f"{point['effect_name']} {tuned(point['effect_name'], point['effect'])}"
    tell(f"{mark} {point['mechanism']:12} × {point['strength']:<5g} {effect}   {'   '.join(costs_of(point))}")


@contextmanager
def bars() -> Iterator[Bar]:
    """Give a maker of progress bars (stage, total) that shows them on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda name, total: lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    # The name of a suite is a file's name: no markup in it.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=False) as shown:

        def bar(name: str, total: int) -> Progress:
            task = shown.add_task(plain(name), total=total)
            return lambda done: shown.update(task, advance=done)

        yield bar


def estimate_event(
    estimate: Mapping[str, Any], *, suite: str, model: str, part: tuple[str, str] | None = None
) -> None:
    """Print an estimate as one JSON line (the design's section 6); of a part of the cases, it names the field and value."""
    keys = ("name", "value", "low", "high", "n", "clusters", "unit")
    about = {k: estimate[k] for k in keys}
    of = {"by": part[0], "group": part[1]} if part else {}
    event("estimate", **{"name": about.pop("name"), "suite": suite, **of, **about, "model": model})
