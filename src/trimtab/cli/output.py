"""What commands print: JSON lines on stdout for programs, everything else for people on stderr or a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trimtab.models.protocol import Progress
from trimtab.run.measure import Bar


def event(kind: str, **values: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"event": kind, **values}, ensure_ascii=False), flush=True)


def say(text: Any) -> None:
    """Print to the person: a rich renderable or a text, on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False, markup=False, width=None if sys.stderr.isatty() else 120).print(
        text
    )


@contextmanager
def bars() -> Iterator[Bar]:
    """Give a maker of progress bars (stage, total) that shows them on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda name, total: lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=False) as shown:

        def bar(name: str, total: int) -> Progress:
            task = shown.add_task(name, total=total)
            return lambda done: shown.update(task, advance=done)

        yield bar


def estimate_event(estimate: Mapping[str, Any], *, suite: str, model: str) -> None:
    """Print an estimate as one JSON line (the design's section 6)."""
    keys = ("name", "value", "low", "high", "n", "clusters", "unit")
    about = {k: estimate[k] for k in keys}
    event("estimate", **{"name": about.pop("name"), "suite": suite, **about, "model": model})
