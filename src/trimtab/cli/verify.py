"""`trimtab verify`: a bundle, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.governance.verify.report import Report
    from trimtab.governance.verify.verify import Outside


def verify(
    bundle: Path = typer.Argument(help="A bundle."),
    trust: Path | None = typer.Option(
        None, help="Keys that you trust, from outside the bundle: lines ROLE KEY."
    ),
    known_checkpoint: Path | None = typer.Option(
        None, "--known-checkpoint", help="A copy of this ledger's checkpoint that you kept."
    ),
    timestamp: Path | None = typer.Option(
        None, help="An RFC 3161 response on the file of --known-checkpoint; needs --authority."
    ),
    authority: Path | None = typer.Option(
        None, help="The root certificate, as PEM, of who made --timestamp."
    ),
    recalls: Path | None = typer.Option(
        None, help="Recalls that you know of: a file that `trimtab recall` wrote."
    ),
    at: str = typer.Option(
        "", help="The time at which reviews must hold, such as 2026-01-31T00:00:00Z; now."
    ),
    rejudge: bool = typer.Option(False, "--rejudge", help="Judge all stored answers again, too."),
    rerun: int | None = typer.Option(
        None, min=1, metavar="N", help="Measure N of its cases again on its model, too; 60 or more decide."
    ),
    nonce: str = typer.Option(
        "", help="What the sample of --rerun is drawn with; chosen by this machine without it."
    ),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Check a bundle at the level recomputed: all that follows from its files, down to every figure and gate.

    With --rejudge also at the level re-judged, and with --rerun re-run: the last line names the levels at which
    everything was looked at. Without --trust the signers are nobody's in particular, and the exit code is 3.

    Example: `trimtab verify bundle --trust keys.txt --known-checkpoint kept/checkpoint --rejudge --rerun 60`

    Exit code: 0 everything holds, 1 something does not, 2 input, 3 signer not authenticated, a review is due, or a
    level that was asked for is undecided.
    """
    from trimtab.governance.verify.rejudge import rejudge as judge_again
    from trimtab.governance.verify.verify import verify as check

    report = check(bundle, _outside(trust, known_checkpoint, timestamp, authority, recalls, at))
    if rejudge:
        judge_again(bundle, report)
    if rerun:
        _rerun(bundle, rerun, nonce, report)
    (_events if json else _tell)(report, bundle)
    raise typer.Exit(report.exit_code)


def _outside(
    trust: Path | None, known: Path | None, timestamp: Path | None, authority: Path | None, recalls: Path | None, at: str
) -> Outside:  # fmt: skip
    """Return what the auditor brings along; raises ConfigError or InputError for what of it cannot be read."""
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.keys import read_trust
    from trimtab.governance.ledger.envelope import is_time
    from trimtab.governance.recall import read_recalls
    from trimtab.governance.verify.verify import Outside, read_known
    from trimtab.governance.verify.witnesses import read_timestamp

    if at and not is_time(at):
        fix = "Write it as 2026-01-31T00:00:00Z."
        raise ConfigError(Problem("verify.time", f"--at {at}", "is not a time", fix))
    checkpoint = read_known(known) if known else None
    recalled = read_recalls(recalls) if recalls else None
    stamped = ""
    if timestamp:
        if not (authority and known):
            fix = "Name the file that it is on, and the authority's root certificate."
            what = "needs --known-checkpoint and --authority"
            raise ConfigError(Problem("verify.timestamp", "--timestamp", what, fix))
        stamped = read_timestamp(timestamp, authority, known)
    return Outside(read_trust(trust) if trust else None, checkpoint, at, recalled, stamped)


def _events(report: Report, _: Path) -> None:
    from trimtab.cli.output import event

    kinds = {"failure": report.failures, "due": report.due, "undecided": report.undecided}
    for kind, findings in kinds.items():
        for f in findings:
            event(kind, code=f.code, place=f.place, message=f.message)
    event("verified", level=report.level, result=report.result, notes=report.notes)


def _tell(report: Report, bundle: Path) -> None:
    from trimtab.cli.output import say, tell, tell_line

    for finding in [*report.failures, *report.due, *report.undecided]:
        tell_line(str(finding))
    for note in report.notes:
        tell_line(note)
    tell(f"{report.level}: {report.result}")
    if not report.authenticated:
        say(f"next: trimtab verify {bundle} --trust KEYS")


def _rerun(bundle: Path, count: int, nonce: str, report: Report) -> None:
    import secrets

    from trimtab.cli.output import bars
    from trimtab.run.rerun import rerun

    with bars() as bar:
        rerun(bundle, count, nonce or secrets.token_hex(16), report, bar)
