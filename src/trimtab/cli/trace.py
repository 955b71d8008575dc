"""`trimtab trace`: both ways through the catalogue."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.governance.catalogue import Node

SHOWN = 12  # of one kind


def trace(
    name: str = typer.Argument(
        help="A bundle's folder, or the beginning of an id or digest, or a run's name."
    ),
    workspace: Path = typer.Option(Path("runs"), "--workspace", "-w", help="A folder of runs."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Show what something comes from, and what came of it: generator, plan, record, dataset, adapter, system, release.

    Example: `trimtab trace 3f2a91 --workspace runs`
    """
    from dataclasses import asdict

    from trimtab.cli.output import event, say, tell
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.catalogue import bundle_digest, open_catalogue

    with open_catalogue(workspace) as catalogue:
        found = catalogue.find(bundle_digest(Path(name)) or name)
        if not found:
            fix = "Give the beginning of an id, a run's name, or another --workspace."
            raise ConfigError(Problem("trace.unknown", name, f"is nothing that {workspace} knows", fix))
        for node in found:
            ways = {"from": catalogue.above(node), "to": catalogue.below(node)}
            if json:
                event("trace", **asdict(node), **{w: [asdict(n) for n in ns] for w, ns in ways.items()})
                continue
            tell(f"{node.kind} {node.id}  {node.label}")
            for way, nodes in ways.items():
                _tell(way, nodes)
        for place, why in catalogue.missing():
            say(f"not traced: {place} {why}")
    if not json:
        say(f"next: trimtab recall KIND ID --reason … --workspace {workspace}")


def _tell(way: str, nodes: list[Node]) -> None:
    from trimtab.cli.output import tell

    shown: Counter[str] = Counter()
    for node in nodes:
        shown[node.kind] += 1
        if shown[node.kind] <= SHOWN:
            tell(f"  {way:4} {node.kind:9} {node.id[:64]}  {node.label}")
    for kind, count in shown.items():
        if count > SHOWN:
            tell(f"  {way:4} {kind:9} {count - SHOWN} more")
