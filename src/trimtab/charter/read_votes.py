"""Reads votes: a folder or a file of a Polis export, or one file of ballots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trimtab.charter._ballots import from_ballots
from trimtab.charter._polis import (
    check_sign,
    from_log,
    from_matrix,
    groups_of,
    is_grouped,
    is_matrix,
    kind_of,
    lean_of_comments,
    statements,
    with_statements,
)
from trimtab.charter._tables import Table, column_names, is_table, read_table
from trimtab.charter.votes import Votes
from trimtab.errors import InputError, Problem


def read_votes(path: Path) -> Votes:
    """Read votes from a folder or a file; raises InputError with all its problems.

    Of a folder the columns of every CSV and JSON table say what it is; other tables (a summary) are passed over. The
    log of votes goes before the matrix of participants, which then only gives the source's groups.
    """
    if not path.is_dir():
        table = read_table(path)
        return _votes(path, {kind_of(table): table})
    found: dict[str, Path] = {}
    others: list[Path] = []
    tables = (
        file for file in path.iterdir() if is_table(file) and not file.name.startswith(".")
    )  # `._votes.csv` of a Mac
    heads = {file: _headed(file) for file in sorted(tables)}
    for file, head in heads.items():
        kind = kind_of(head)
        if kind and kind in found:
            message = f"holds more than one table of {kind}: {found[kind].name}, {file.name}"
            fix = "Leave one of them in the folder."
            raise InputError(Problem("votes.which", str(path), message, fix))
        if kind:
            found[kind] = file
        else:
            others.append(file)
    # A matrix of participants without counts (n-votes, …): its groups are what it adds to the log.
    grouped = [f for f in others if is_grouped(heads[f])]
    if "votes" in found and "participants" not in found and grouped:
        found["groups"] = grouped[0]
    alone = len(grouped) == 1 and not {"votes", "participants"} & set(found)
    if "comments" in found and alone and is_matrix(heads[grouped[0]]):
        found["participants"] = grouped[0]
    if not found and len(others) == 1:
        found[""] = others[0]
    return _votes(path, {kind: read_table(file) for kind, file in found.items()})


def _headed(path: Path) -> Table:
    """Return a table of a file's columns without their cells."""
    return Table(str(path), dict.fromkeys(column_names(path)))


def _votes(path: Path, found: dict[str, Table]) -> Votes:
    comments = statements(found["comments"]) if "comments" in found else {}
    if "votes" in found:
        votes = from_log(found["votes"])
        people = found.get("participants", found.get("groups"))
        if not lean_of_comments(votes, comments):
            check_sign(found["votes"], votes, people)
        if people and is_grouped(people):
            votes = _with_given(votes, groups_of(people))
    elif "participants" in found:
        votes = from_matrix(found["participants"])
    elif "" in found and "comments" not in found:
        votes = from_ballots(found[""])
    else:
        message = "holds no votes" + (", only comments" if "comments" in found else "")
        fix = "Name a file with a vote in each row, or a column for each statement."
        raise InputError(Problem("votes.none", str(path), message, fix))
    if "comments" in found:
        votes = with_statements(votes, comments)
        votes = replace(votes, notes=(*votes.notes, *found["comments"].notes))
    return votes


def _with_given(votes: Votes, group: dict[str, str]) -> Votes:
    return replace(votes, given=tuple(group.get(p, "") for p in votes.participants))
