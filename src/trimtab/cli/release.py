"""`trimtab release`: a bundle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.governance.waiver import Waiver


def release(
    run: Path = typer.Argument(help="A finished run."),
    output: Path = typer.Option(..., "--output", "-o", help="The bundle: a folder that is not there yet."),
    waive: list[str] = typer.Option(
        [],
        help="GATE:OWNER:DAYS:REASON, for a gate that did not pass; repeatable. On top of the waivers of the run's policy.",
    ),
    demo: bool = typer.Option(
        False, "--demo", help="A trial: make keys and roles, approve, waive, and say so in the bundle."
    ),
) -> None:
    """Write the bundle of a run: system, records, outcomes, reviews, and the ledger that vouches for them.

    It is refused where a role lacks its quorum or a gate did not pass and was not waived.

    Example: `trimtab release runs/RUN -o bundle --demo`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.model_signature import HINT, can_sign
    from trimtab.governance.release import release as write

    report = write(run, output, [_waiver(text) for text in waive], demo=demo)
    for note in report.notes:
        tell(note)
    if not can_sign():
        say(f"not signed with model-signing, which is not installed: {HINT}")
    if demo:
        tell("a trial: the bundle says that nobody reviewed it")
    tell(f"released {output}: {report.level}, {report.result}")
    say(f"next: trimtab verify {output} --trust KEYS")


def _waiver(text: str) -> Waiver:
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.waiver import Waiver

    parts = text.split(":", 3)
    if len(parts) < 4 or not parts[2].isdecimal() or not 0 < int(parts[2]) <= 3650:
        fix = "Write GATE:OWNER:DAYS:REASON, such as 'broken:A. Owner:30:known, fixed in the next run'."
        raise ConfigError(Problem("waiver.form", f"--waive {text}", "is not GATE:OWNER:DAYS:REASON", fix))
    gate, owner, days, reason = parts
    expires = datetime.now(UTC) + timedelta(days=int(days))
    return Waiver(gate, reason, owner, expires.strftime("%Y-%m-%dT%H:%M:%SZ"))
