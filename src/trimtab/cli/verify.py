"""`trimtab verify`: a bundle, offline."""

from __future__ import annotations

from pathlib import Path

import typer


def verify(
    bundle: Path = typer.Argument(help="A bundle."),
    trust: Path | None = typer.Option(
        None, help="Keys that you trust, from outside the bundle: lines ROLE KEY."
    ),
    known_checkpoint: Path | None = typer.Option(
        None, "--known-checkpoint", help="A copy of this ledger's checkpoint that you kept."
    ),
    recalls: Path | None = typer.Option(
        None, help="Recalls that you know of: a file that `trimtab recall` wrote."
    ),
    at: str = typer.Option(
        "", help="The time at which reviews must hold, such as 2026-01-31T00:00:00Z; now."
    ),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Check a bundle at the level recomputed: all that follows from its files, down to every figure and gate.

    Without --trust the signers are nobody's in particular, and the exit code is 3.

    Example: `trimtab verify bundle --trust keys.txt --known-checkpoint kept/checkpoint`

    Exit code: 0 everything holds, 1 something does not, 2 input, 3 signer not authenticated or a review is due.
    """
    from trimtab.cli.output import event, say, tell
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.keys import read_trust
    from trimtab.governance.ledger.envelope import TIME
    from trimtab.governance.recall import read_recalls
    from trimtab.governance.verify.verify import Outside, read_known
    from trimtab.governance.verify.verify import verify as check

    if at and not TIME.fullmatch(at):
        fix = "Write it as 2026-01-31T00:00:00Z."
        raise ConfigError(Problem("verify.time", f"--at {at}", "is not a time", fix))
    known = read_known(known_checkpoint) if known_checkpoint else None
    recalled = read_recalls(recalls) if recalls else None
    report = check(bundle, Outside(read_trust(trust) if trust else None, known, at, recalled))
    if json:
        for kind, findings in (("failure", report.failures), ("due", report.due)):
            for f in findings:
                event(kind, code=f.code, place=f.place, message=f.message)
        event("verified", level=report.level, result=report.result, notes=report.notes)
        raise typer.Exit(report.exit_code)
    for finding in [*report.failures, *report.due]:
        tell(str(finding))
    for note in report.notes:
        tell(note)
    tell(f"{report.level}: {report.result}")
    if not report.authenticated:
        say(f"next: trimtab verify {bundle} --trust KEYS")
    raise typer.Exit(report.exit_code)
