"""`trimtab charter`: the principles that a model should be taught, and the votes behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.charter.charter import Principle
    from trimtab.charter.tally import Tally

charter = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@charter.callback()
def about() -> None:
    """Count what people voted for, and keep a charter: the values that the model should be taught.

    Example: `trimtab charter tally export/`, then `trimtab charter adopt charter.toml export/`
    """


@charter.command()
def tally(
    votes: Path = typer.Argument(help="Polis export (folder or file), or a CSV of approvals or rankings."),
    groups: str = typer.Option("own", help="Opinion groups: own (found here) or given (of the export)."),
    k: int | None = typer.Option(
        None, min=2, max=26, help="Number of groups; default: the best of 2 to 5 by silhouette."
    ),
    strict: bool = typer.Option(
        False, "--strict-moderation", help="Count only statements that moderators let in."
    ),
    least: int = typer.Option(1, min=0, help="Leave out statements with fewer votes."),
    top: int = typer.Option(10, min=1, help="Statements to print; --json has them all."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Count a consultation: opinion groups, consensus across them, what divides them, and several rankings.

    Reads Polis exports (votes, participants-votes, comments) and CSV with a row for each ballot: approvals (1, 0),
    rankings (1, 2, 3 …), or a column `ranking` with lines such as A > B = C.

    Example: `trimtab charter tally export/ --json`

    Exit code: 0 counted, 2 input.
    """
    from trimtab.charter.read_votes import read_votes
    from trimtab.charter.tally import Options
    from trimtab.charter.tally import tally as count

    counted = count(read_votes(votes), Options(groups, k, strict, least))
    if json:
        _events(counted.to_json())
    else:
        _tell(counted, top)


def _events(found: dict[str, Any]) -> None:
    """Print a tally as JSON lines: its head, then each statement, finding and ranking."""
    from trimtab.cli.output import event

    head = {k: v for k, v in found.items() if not isinstance(v, list | dict)}
    event("tally", **head, left_out_because=found["left_out_because"], notes=found["notes"])
    event("groups", **found["groups"])
    for row in found["consensus"]:
        event("statement", **row)
    for group, rows in found["representative"].items():
        event("representative", group=group, statements=rows)
    for row in found["divides"]:
        event("divides", **row)
    for rule, rows in found["rankings"].items():
        event("ranking", rule=rule, first=found["first"][rule], places=rows)
    event("accord", condorcet_winner=found["condorcet_winner"], tau=found["accord"])
    for row in found["disputed"]:
        event("disputed", **row)


def _tell(counted: Tally, top: int) -> None:
    from trimtab.cli._tally import lines
    from trimtab.cli.output import say, tell

    for line in lines(counted, top):
        tell(line)
    say("next: trimtab charter adopt CHARTER VOTES, or --json for every figure")


VOTES = typer.Option(None, "--votes", help="Draft it from these votes: the statements of most consensus.")


@charter.command()
def init(
    path: Path = typer.Argument(Path("charter.toml"), help="Where to write it."),
    votes: Path | None = VOTES,
    top: int = typer.Option(10, min=1, help="With --votes: how many statements to take."),
) -> None:
    """Write a charter to start from: the built-in one, or a draft from what people voted for.

    Example: `trimtab charter init ours.toml --votes export/ --top 8`
    """
    from trimtab.charter.adoption import drafted
    from trimtab.charter.charter import read_charter
    from trimtab.charter.read_votes import read_votes
    from trimtab.charter.tally import tally as count
    from trimtab.charter.write_charter import write_charter
    from trimtab.cli.output import tell

    if votes:
        draft, head = drafted(count(read_votes(votes)), top, path.stem), f"Drafted from {votes}."
    else:
        draft, head = read_charter(), "The default charter of trimtab: change what you see otherwise."
    write_charter(draft, path, head=head)
    tell(f"wrote {len(draft.principle)} principles to {path}\nnext: trimtab charter validate {path}")


@charter.command()
def show(
    path: Path | None = typer.Argument(None, help="A charter; default: the built-in one."),
    json: bool = typer.Option(False, "--json", help="One JSON line for each principle on stdout."),
) -> None:
    """Show the principles of a charter, what they rest on, and the dissent beside them.

    Example: `trimtab charter show charter.toml`
    """
    from trimtab.charter.charter import read_charter
    from trimtab.cli.output import event, tell

    found = read_charter(path)
    if json:
        event("charter", name=found.name, version=found.version, digest=found.digest)
        for p in found.principle:
            event("principle", **p.model_dump(mode="json", exclude_none=True))
        return
    tell(f"{found.name}, version {found.version}, digest {found.digest}")
    for p in found.principle:
        for line in _principle(p):
            tell(line)


def _principle(p: Principle) -> Iterator[str]:
    """Yield the lines of a principle: statements are other people's text, and a break in one must not look like another line."""
    yield ""
    for line in _about(p):
        indent = len(line) - len(line.lstrip())
        yield line[:indent] + " ".join(line.split())


def _about(p: Principle) -> Iterator[str]:
    about = [
        p.status or "",
        f"version {p.version}" if p.version else "",
        f"asks to {p.framing}" if p.framing else "",
    ]
    told = ", ".join(a for a in about if a)
    yield f"{p.id}{f' ({told})' if told else ''}: {p.statement}"
    yield f"  why: {p.rationale}"
    yield from (f"  - {line}" for line in p.specifics)
    for e in p.examples:
        if e.prompt:
            yield f"  asked: {e.prompt}"
        yield f"  keeps it: {e.keeps}"
        yield f"  breaks it: {e.breaks}"
    if a := p.adoption:
        groups = ", ".join(f"{g.group} {g.agreed}/{g.seen}" for g in a.groups)
        yield (
            f"  {a.rule.figure} {a.value:.2f} [{a.low:.2f}, {a.high:.2f}], rule {a.rule.least:g}; statement "
            f"{a.statement}: {groups}"
        )
        yield f"  groups {a.grouping or 'not recorded: found in the votes or given with them'}"
    for d in p.dissent or ():
        reason = f": {d.reason}" if d.reason else ""
        yield f"  dissent: group {d.group}, statement {d.statement}, {d.disagreed} of {d.seen} disagree{reason}"


@charter.command()
def validate(path: Path = typer.Argument(help="A charter.")) -> None:
    """Check a charter, and say what a reader would miss in it.

    Example: `trimtab charter validate charter.toml`

    Exit code: 0 usable, 2 not.
    """
    from trimtab.charter.charter import missing, read_charter, unsaid
    from trimtab.cli.output import say, tell
    from trimtab.mechanisms.values.cases import held_out

    found = read_charter(path)
    tell(f"{len(found.principle)} principles, version {found.version}, digest {found.digest}")
    for line in (*missing(found), *unsaid(found)):
        tell(f"note: {line}")
    if bare := held_out(found)[1]:
        tell(f"note: no pair to measure by, which examples with a prompt are, in {', '.join(bare)}")
    say(f"next: trimtab charter show {path}, or trimtab reinforce --charter {path} -o values.parquet")


@charter.command()
def diff(
    before: Path = typer.Argument(help="A charter."),
    after: Path = typer.Argument(help="Another charter."),
    json: bool = typer.Option(False, "--json", help="One JSON line for each change on stdout."),
) -> None:
    """Say what changed between two charters, and what changed without a new version.

    Example: `trimtab charter diff charter.toml ours.toml`
    """
    from dataclasses import asdict

    from trimtab.charter.charter import read_charter
    from trimtab.charter.compare_charters import changes, unversioned
    from trimtab.cli.output import event, say, tell

    one, two = read_charter(before), read_charter(after)
    for c in (found := changes(one, two)):
        if json:
            event("change", **asdict(c))
        else:
            tell(str(c))
    if not found and not json:
        tell(f"no change: digest {one.digest}")
    for ident in unversioned(one, two):
        say(f"note: {ident or 'the charter'} changed and kept its version")


@charter.command()
def adopt(
    path: Path = typer.Argument(help="A charter with a [rule], and voted_on in its principles."),
    votes: Path = typer.Argument(help="The votes, as for tally."),
    output: Path | None = typer.Option(None, "-o", "--output", help="Write the charter with the outcome."),
    groups: str = typer.Option("own", help="Opinion groups: own (found here) or given (of the export)."),
    strict: bool = typer.Option(
        False, "--strict", help="Refuse where a ranking puts what is rejected first, or few of a group voted."
    ),
) -> None:
    """Decide by the charter's written rule which principles the votes adopt; dissent is kept beside them.

    The rule stands in the charter before the votes are counted: [rule] with figure (group_aware, minimum,
    geometric_mean), least, votes of each group, dissent and groups. Principles name their statements: voted_on = ["12"].
    The outcome says whether groups were found in the votes or given with them, and how many people each holds.

    Example: `trimtab charter adopt charter.toml export/ -o adopted.toml`

    Exit code: 0 decided, 2 input, 3 a principle is open, or with --strict refused: then nothing is written.
    """
    from trimtab.charter.adoption import adopt as decide
    from trimtab.charter.adoption import settled, votes_digest
    from trimtab.charter.charter import read_charter
    from trimtab.charter.read_votes import read_votes
    from trimtab.charter.tally import Options
    from trimtab.charter.tally import tally as count
    from trimtab.charter.write_charter import write_charter
    from trimtab.cli.output import say, tell
    from trimtab.errors import EXIT_INCONCLUSIVE

    found = read_charter(path)
    options = Options(groups, found.rule.groups if found.rule else None)
    counted = count(read_votes(votes), options)
    decided = decide(found, counted, votes_digest(votes))
    if strict:
        settled(decided.charter, counted)
    asked = [p for p in decided.charter.principle if p.voted_on]
    for p in asked:
        for line in _principle(p):
            tell(line)
    if decided.unclaimed:
        tell(f"\nno principle names these, and the rule would adopt them: {', '.join(decided.unclaimed)}")
    for line in decided.lost:
        say(f"note: a reason is not kept, since that group dissents no more: {line}")
    if output:
        write_charter(decided.charter, output, head=f"Decided on {votes} by the rule below.")
        say(f"next: trimtab charter show {output}")
    if any(p.status == "open" for p in asked):
        raise typer.Exit(EXIT_INCONCLUSIVE)
