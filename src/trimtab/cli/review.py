"""`trimtab review`: a reviewer's decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from trimtab.governance.roles import Role


def review(
    run: Path = typer.Argument(help="A finished run."),
    role: str | None = typer.Option(None, help="The role in which you decide."),
    key: str | None = typer.Option(None, help="The name of your key."),
    decision: str | None = typer.Option(
        None, help="approve, reject or dissent (approve nothing, block nothing)."
    ),
    comment: str = typer.Option("", help="Why."),
    answer: list[str] = typer.Option([], help="QUESTION=ANSWER, for each question of the role; repeatable."),
    to: Path | None = typer.Option(
        None, help="Write the signed review to this file, for the operator to add; needs no key but yours."
    ),
    add: Path | None = typer.Option(None, help="As operator, add a review that a reviewer signed with --to."),
) -> None:
    """Show what a run came to, its trade-off and the questions of the roles; with a decision, sign it.

    What is signed is the digest of all files that would be released, and the state of the ledger that you saw. Reviewers
    need a copy of the runs folder and their own key: they sign with --to FILE, and the operator adds it with --add FILE.

    Example: `trimtab review runs/RUN --role safety --key alice --decision approve --comment 'Read 40 answers.'`
    """
    from trimtab.cli.output import say, tell, tell_line
    from trimtab.errors import ConfigError, Problem
    from trimtab.governance.keys import load_key
    from trimtab.governance.ledger.ledger import FOLDER
    from trimtab.governance.ledger.log import Log
    from trimtab.governance.review import Opinion, add_review, known_reviews, roles_of, sign_review
    from trimtab.governance.review import review as sign
    from trimtab.records.write import check_writable, write_bytes

    if add is not None:
        tell(f"entry {add_review(run, _read(add))}: added")
        say(f"next: trimtab status {run.parent}")
        return
    log = Log(run.parent / FOLDER)
    if decision is None:
        _show(run, roles_of(log, run.name))
        for index, s in known_reviews(log, run.name):
            tell_line(
                f"entry {index}: {s.body['role']} {s.body['decision']}, until {s.body['expires']}: {s.body['comment']}"
            )
        say(f"next: trimtab review {run} --role ROLE --key KEY --decision approve --comment …")
        return
    if role is None or key is None:
        fix = "Name your role and your key."
        raise ConfigError(Problem("review.who", "--role and --key", "are needed to sign", fix))
    answers = {question: given for question, _, given in (text.partition("=") for text in answer)}
    opinion = Opinion(decision, comment, answers)  # type: ignore[arg-type]
    if to is not None:
        check_writable(to)
        write_bytes(to, sign_review(run, role, load_key(key), opinion))
        say(f"next: the operator of the ledger runs trimtab review {run} --add {to}")
        return
    index = sign(run, role, load_key(key), opinion)
    tell(f"entry {index}: {role} {decision}")
    say(f"next: trimtab status {run.parent}")


def _read(path: Path) -> bytes:
    from trimtab.errors import InputError, Problem

    try:
        return path.read_bytes()
    except OSError as error:
        fix = "Name a file that trimtab review --to wrote."
        raise InputError(Problem("review.unreadable", str(path), str(error), fix)) from error


def _show(run: Path, roles: list[Role]) -> None:
    from trimtab.cli.output import tell, tell_point
    from trimtab.errors import InputError, Problem
    from trimtab.governance.waiver import waivers_of

    try:
        figures: dict[str, Any] = json.loads((run / "figures.json").read_bytes())
        points = json.loads((run / "stages/05_trim/done.json").read_bytes())["points"]
    except (OSError, ValueError, KeyError) as error:
        fix = "Name the directory of a finished run; trimtab run finishes one."
        raise InputError(Problem("review.no-run", str(run), f"is no finished run ({error})", fix)) from error
    tell(f"verdict: {figures['outcome']}")
    for verdict in figures["verdicts"]:
        tell(f"  {verdict['gate']['figure']:22} {verdict['outcome']:13} {verdict['reason']}")
    for waiver in waivers_of(json.loads((run / "run.json").read_bytes())["config"]):
        tell(f"waived: {waiver}")
    tell("trade-off on tune (* chosen):")
    for p in points:
        tell_point(p, chosen=p["chosen"])
    for role in roles:
        tell(
            f"role {role.name}: {role.quorum} of {', '.join(k.name for k in role.public)}, for {role.days} days"
        )
        for question in role.questions:
            tell(f"  asks: {question}")
