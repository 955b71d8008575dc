"""`trimtab status`: what a workspace waits for."""

from __future__ import annotations

from pathlib import Path

import typer


def status(
    workspace: Path = typer.Argument(Path("runs"), help="A folder of runs."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Say of every run in a ledger what it came to, which reviews it lacks, what is due, and which recalls reach it.

    Example: `trimtab status runs`

    Exit code: 0 nothing is due, 3 a review or waiver has ended, or a recall reaches a run that was released.
    """
    from dataclasses import asdict

    from trimtab.cli.output import event, say, tell, tell_line
    from trimtab.errors import EXIT_INCONCLUSIVE, EXIT_PASS
    from trimtab.governance.status import status as look

    found = look(workspace)
    for run in found:
        if json:
            event("status", **asdict(run))
            continue
        tell(f"{run.run}  {run.verdict}, {run.releases} releases")
        for recall in run.recalled:
            tell_line(f"  recalled: {recall}")
        for text in run.untraced:
            tell(f"  not traced: {text}; recalls of what was in it are known as far as they named it")
        for text in run.due:
            tell(f"  due: {text}")
        for text in run.waived:
            tell_line(f"  waived: {text}")
        for text in run.waits:
            tell(f"  waits: {text}")
    if not found:
        say(f"{workspace}: no run in its ledger yet")
    if not json:
        say(f"next: trimtab review {workspace}/RUN")
    wanting = any(r.due or (r.recalled and r.releases) for r in found)
    raise typer.Exit(EXIT_INCONCLUSIVE if wanting else EXIT_PASS)
