"""`trimtab recall`: what must not be used any more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer


def recall(
    kind: str = typer.Argument(help="generator, record, dataset or adapter."),
    name: str = typer.Argument(help="Its id, or the beginning of it."),
    reason: str = typer.Option(..., help="Why."),
    workspace: Path = typer.Option(Path("runs"), "--workspace", "-w", help="A folder of runs."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Recall something across all runs of a workspace: in its ledger, and in a signed file for those who have bundles.

    Example: `trimtab recall record 3f2a91 --reason 'It quotes a person.' --workspace runs`
    """
    from dataclasses import asdict

    from trimtab.cli.output import event, say, tell
    from trimtab.governance.recall import FILE, NAMED
    from trimtab.governance.recall import recall as state

    found = state(workspace, kind, name, reason)
    counts = Counter(node.kind for node in found.affected)
    if json:
        event("recall", entry=found.index, counts=counts, affected=[asdict(n) for n in found.affected])
        return
    tell(
        f"entry {found.index}: {', '.join(f'{n} {k}' for k, n in sorted(counts.items())) or 'nothing descends from it'}"
    )
    for node in found.affected:
        if node.kind in NAMED:
            tell(f"  {node.kind:9} {node.id}  {node.label}")
    for place, why in found.missing:
        say(f"not traced: {place} {why}")
    say(f"hand on {workspace / FILE}; a system without an adapter is another system: measure it again")
    say(f"next: trimtab verify BUNDLE --trust KEYS --recalls {workspace / FILE}")
