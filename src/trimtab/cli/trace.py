"""`trimtab trace`: both ways through the catalogue, and from a behaviour back to what was there."""

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
        help="A bundle's folder, the beginning of an id or digest, a run's name, or the id of a case."
    ),
    run: str | None = typer.Option(
        None, "--run", help="NAME is a case of this run or bundle: its folder, or its name in the workspace."
    ),
    workspace: Path = typer.Option(Path("runs"), "--workspace", "-w", help="A folder of runs."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Show what something comes from, and what came of it: generator, plan, record, dataset, adapter, system, release.

    Of a behaviour (the id of a case in the outcomes) it shows the answers, the plan and its commitments, the system, the
    records of its adapters by cell, the nearest of them, who wrote them, and the release. That is what was there: no
    influence is estimated.

    Example: `trimtab trace 3f2a91 --workspace runs`, or `trimtab trace charter-honesty-4 --run bundle`
    """
    from dataclasses import asdict

    from trimtab.cli.output import event, say, tell
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.catalogue import bundle_digest, open_catalogue
    from trimtab.run.behaviour import run_with

    if run is not None:
        _behaviour(name, Path(run) if Path(run).is_dir() else workspace / run, json)
        return
    with open_catalogue(workspace) as catalogue:
        found = catalogue.find(bundle_digest(Path(name)) or name)
        if not found:
            if folder := run_with(workspace, name):
                _behaviour(name, folder, json)
                return
            fix = "Give the beginning of an id, a run's name, a case with --run, or another --workspace."
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


def _behaviour(item: str, folder: Path, json: bool) -> None:
    from dataclasses import asdict

    from trimtab.cli._behaviour import tell_behaviour
    from trimtab.cli.output import event, say
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.evidence import open_evidence
    from trimtab.run.behaviour import behaviours

    evidence = open_evidence(folder)
    found = behaviours(evidence, item)
    if not found:
        fix = "Take the `item` of an outcome in its stages, such as stages/06_after/outcomes.jsonl."
        raise ConfigError(Problem("trace.case", item, f"is no case in the outcomes of {folder}", fix))
    for behaviour in found:
        if json:
            event("behaviour", **asdict(behaviour))
        else:
            tell_behaviour(behaviour)
    if not json:
        place = f" --workspace {folder.parent}" if not evidence.bundle else " --workspace RUNS"
        say(f"next: trimtab trace RECORD{place}, or trimtab verify BUNDLE --rerun 60")


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
