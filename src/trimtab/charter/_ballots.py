"""Plain ballots, a row for each voter: approvals, places, rankings written as `A > B = C`, or a column for each choice."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from trimtab.charter._polis import choice_of, graded, groups_in, is_blank, matrix_cells, once, with_votes
from trimtab.charter._tables import SHOWN, Table, by_number, names, same
from trimtab.charter.votes import Kind, Statement, Votes
from trimtab.errors import InputError, Problem

CHOICE = re.compile(
    r"(?:rank|choice|preference|place)-?(\d+)|(\d+)(?:st|nd|rd|th)(?:-(?:rank|choice|preference|place))?"
)

DIGITS = 12  # of a number that is read


def from_ballots(table: Table) -> Votes:
    """Return the votes of a table of ballots; what its cells hold says of which kind. Raises InputError."""
    known = names("ballots")
    if (statement := table.find(names("votes")["statement"])) and table.find(["vote"]):
        message = (
            f"has a column vote and a column {statement[:40]!a}, and none that says whose votes they are"
        )
        raise InputError(Problem("votes.columns", table.place, message, "Name that column voter-id."))
    if column := table.find(known["ranking"]):
        return _from_lists(table, [_levels(t) for t in table.texts(column)], "ranking")
    if column := table.find(known["approved"]):
        return _from_lists(table, [[_parts(t, ";")] for t in table.texts(column)], "approval")
    if choices := _choices(table):
        rows = zip(*(table.ids(c) for c in choices), strict=True)
        return _from_lists(table, [[[t] for t in row if not is_blank(t)] for row in rows], "ranking")
    people, weight, group = (table.find(known[name]) for name in ("participant", "count", "group"))
    columns = by_number(c for c in table.columns if c not in (people, weight, group))
    columns, notes = with_votes(table, columns, choice_of, _approval, partial(_place, most=len(columns)))
    kind = _kind(table, columns)
    read = {"opinions": choice_of, "approval": _approval, "ranking": _place}[kind]
    row, column_, value = matrix_cells(table, columns, read)
    voters = table.texts(people) if people else [str(i + 1) for i in range(table.rows)]
    if people:
        once(table, people, voters)
    if group:
        notes = (*notes, f"the column {group[:40]!a} is read as people's groups, not as a statement")
    votes = Votes(
        kind, tuple(voters), tuple(Statement(c) for c in columns), row, column_, value,
        tuple(groups_in(table, group)) if group else (), _weights(table),
        (*table.notes, *notes, *graded(table, columns)),
    )  # fmt: skip
    if kind == "ranking":
        votes = replace(votes, notes=(*votes.notes, *_either(table)))
        votes = _ranked(votes, table.place)
        return _filled(votes, _LAST, UNPLACED)
    if kind == "approval" and (votes.value == 1).all():
        return _filled(votes, -1, "empty cells count as not approved, since no cell says no")
    return votes


def _kind(table: Table, columns: list[str]) -> Kind:
    """Return what the cells are: opinions where one is -1 or a word of it, places where one is above 1."""
    texts = {t.lower().removesuffix(".0") for c in columns for t in table.values(c) if not is_blank(t)}
    words = names("words")
    plain = {"0", "1", "no", "yes", *words["approve"], *words["reject"]}
    if any(t not in plain and _opinion(t) for t in texts):
        return "opinions"
    places = any(t.isascii() and t.isdigit() and int(t[:9]) > 1 for t in texts)
    return "ranking" if places else "approval"


def _opinion(text: str) -> bool:
    try:
        return choice_of(text) is not None
    except ValueError:
        return False


def _either(table: Table) -> tuple[str, ...]:
    """Return a note where columns are named as choices are, and hold numbers that can be places or statements."""
    if len(found := _choice_columns(table)) < 2:
        return ()
    first = found[min(found)][:40]
    return (f"the columns {first!a} and so on are read as statements, and their numbers as places",)


def _ranked(votes: Votes, place: str) -> Votes:
    """Return rankings with a note of those that skip places; raises InputError where most do: that is a scale, not a ranking.

    A place may be at most one more than there are better statements on the ballot.
    """
    order = np.lexsort((-votes.value, votes.row))
    row, places = votes.row[order], -votes.value[order]
    better = np.arange(len(row)) - np.searchsorted(row, row)  # on the same ballot, before it
    skips = np.unique(row[places > better + 1])
    cast = len(np.unique(row))
    if 2 * len(skips) > cast:
        message = (
            f"{len(skips)} of {cast} ballots skip places, so the numbers look like a scale and not like ranks"
        )
        fix = "Write a scale as agree, pass and disagree (1, 0, -1); in a ranking 1 is the best place."
        raise InputError(Problem("votes.scale", place, message, fix))
    told = f"{len(skips)} of {cast} ballots skip places; their order counts"
    return replace(votes, notes=(*votes.notes, told)) if len(skips) else votes


def _approval(text: str) -> int | None:
    if is_blank(text):
        return None
    plain = text.lower().removesuffix(".0")
    if plain in names("words")["approve"]:
        return 1
    if plain in names("words")["reject"]:
        return -1
    raise ValueError("is no approval")


def _place(text: str, most: int = 10**6 - 1) -> int | None:
    plain = text.removesuffix(".0")
    if is_blank(text):
        return None
    if _whole(plain) and 0 < int(plain) <= most:
        return -int(plain)
    raise ValueError("is no place")


def _weights(table: Table) -> Any:
    column = table.find(names("ballots")["count"])
    if column is None:
        return np.ones(0)
    texts = [t.removesuffix(".0") for t in table.texts(column)]
    bad = [i for i, t in enumerate(texts) if not (_whole(t) and int(t) > 0)]
    if bad:
        fix = "Write a whole number above 0."
        raise InputError(
            [
                Problem("votes.count", f"{table.place}, row {i + 1}", f"{texts[i][:40]!a} is no count", fix)
                for i in bad[:SHOWN]
            ]
        )
    return np.array([float(t) for t in texts])


def _choices(table: Table) -> list[str]:
    """Return the columns of first choice, second choice and so on, in that order, where they name statements; else none.

    Numbers name statements where one is above the number of columns: otherwise they can be places.
    """
    found = _choice_columns(table)
    cells = {v.removesuffix(".0") for c in found.values() for v in table.values(c) if not is_blank(v)}
    if len(found) < 2 or not cells:
        return []
    if all(v.lstrip("+-").replace(".", "", 1).isdigit() for v in cells):
        named = all(map(_whole, cells)) and max(map(int, cells)) > len(found)
    else:  # statements may be called "choice 1" too, and then the cells are votes
        named = not any(map(_opinion, cells))
    return [found[n] for n in sorted(found)] if named else []


def _choice_columns(table: Table) -> dict[int, str]:
    return {int(m[1] or m[2]): c for c in table.columns if (m := CHOICE.fullmatch(same(c)))}


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def _from_lists(table: Table, parsed: list[list[list[str]]], kind: Kind) -> Votes:
    """Return the votes of ballots that list statements, level by level; what is not listed is last, or not approved."""
    ids = by_number({i for levels in parsed for level in levels for i in level})
    place = {name: i for i, name in enumerate(ids)}
    problems = [
        Problem("votes.twice", f"{table.place}, row {r + 1}", "lists a statement twice", "List it once.")
        for r, levels in enumerate(parsed)
        if sum(map(len, levels)) > len(set().union(*levels, set()))
    ]
    if problems or not ids:
        raise InputError(
            problems[:SHOWN] or [Problem("votes.empty", table.place, "lists nothing", "Fill it.")]
        )
    value = np.full((len(parsed), len(ids)), -1 if kind == "approval" else _LAST, dtype=np.int32)
    for r, levels in enumerate(parsed):
        for depth, level in enumerate(levels):
            value[r, [place[i] for i in level]] = 1 if kind == "approval" else -(depth + 1)
    row, column = (a.ravel() for a in np.indices(value.shape))
    people, group = (table.find(names("ballots")[name]) for name in ("participant", "group"))
    voters = table.texts(people) if people else [str(i + 1) for i in range(len(parsed))]
    if people:
        once(table, people, voters)
    return Votes(
        kind, tuple(voters), tuple(Statement(i) for i in ids), row, column, value.ravel(),
        tuple(groups_in(table, group)) if group else (), _weights(table),
        (*table.notes, *_unlisted(parsed, len(ids), kind)),
    )  # fmt: skip


def _unlisted(parsed: list[list[list[str]]], statements: int, kind: Kind) -> tuple[str, ...]:
    """Return a note of the ballots that rank nothing, and of the places that rankings leave open."""
    if kind == "approval":
        return ()
    listed = [sum(map(len, levels)) for levels in parsed]
    empty, blank = listed.count(0), sum(statements - n for n in listed)
    notes = [f"{empty} ballots rank nothing; all statements are tied there"] if empty else []
    return (*notes, *([f"{blank} {UNPLACED}"] if blank else []))


_LAST = -(10**6)
UNPLACED = "statements without a place on a ballot count as last there"


def _levels(text: str) -> list[list[str]]:
    return [_parts(level, "=") for level in text.split(">")]


def _parts(text: str, separator: str) -> list[str]:
    return [n for part in text.split(separator) if (n := part.strip())]


def _filled(votes: Votes, missing: int, what: str) -> Votes:
    """Return the ballots with the value `missing` for every statement that a ballot says nothing of; a note says so."""
    blank = votes.shape[0] * votes.shape[1] - len(votes.value)
    if not blank:
        return votes
    value = np.full(votes.shape, missing, dtype=np.int32)
    value[votes.row, votes.column] = votes.value
    row, column = (a.ravel() for a in np.indices(value.shape))
    return replace(
        votes, row=row, column=column, value=value.ravel(), notes=(*votes.notes, f"{blank} {what}")
    )
