"""Polis exports: the log of votes, the matrix of participants, and the comments."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.charter._tables import SHOWN, Table, by_number, id_of, names, same
from trimtab.charter.votes import AGREE, DISAGREE, IN, OUT, PASS, UNMODERATED, Statement, Votes
from trimtab.errors import InputError, Problem

if TYPE_CHECKING:
    from trimtab.charter.votes import Ints

CHOICES = {"agree": AGREE, "pass": PASS, "disagree": DISAGREE}


def kind_of(table: Table) -> str:
    """Return what a table is: `votes`, `comments`, `participants` or ``""``; a known name decides."""
    votes, comments, people = names("votes"), names("comments"), names("participants")
    if all(table.find(votes[c]) for c in ("statement", "participant", "vote")):
        return "votes"
    # By a text, or by what moderators and voters made of it: a table of groups has an id and a `comment` too.
    if table.find(comments["statement"]) and any(
        table.find(comments[c]) for c in ("text", "moderated", "agrees")
    ):
        return "comments"
    own = {same(c) for c in table.columns}
    # The matrix of what participants marked as important has the same form, and holds no votes.
    counts = {"n-votes", "n-agree", "n-disagree"} & own and "n-important" not in own
    return "participants" if table.find(people["participant"]) and counts else ""


def is_grouped(table: Table) -> bool:
    """Return whether a table names participants and their groups."""
    return all(table.find(names("participants")[c]) for c in ("participant", "group"))


def is_matrix(table: Table) -> bool:
    """Return whether a table names participants, their groups, and statements by number."""
    return is_grouped(table) and any(id_of(c.strip()).isdigit() for c in table.columns)


def groups_of(table: Table) -> dict[str, str]:
    """Return participant → group of a table that names both; raises InputError for a participant of two groups."""
    people, group = (_named(table, names("participants")[c]) for c in ("participant", "group"))
    rows = list(zip(table.ids(people), groups_in(table, group), strict=True))
    once(table, people, [i for i, _ in dict.fromkeys(rows)])
    return dict(rows)


def groups_in(table: Table, column: str) -> list[str]:
    """Return a column of groups, "" where there is none."""
    return ["" if is_blank(g) else id_of(g) for g in table.texts(column)]


def from_log(table: Table) -> Votes:
    """Return the votes of a log, of each participant on each statement the last; raises InputError."""
    known = names("votes")
    statement, participant, vote = (_named(table, known[c]) for c in ("statement", "participant", "vote"))
    _named_by_all(table, participant, statement)
    value = _values(table, vote)
    times, told = _times(table)
    row, people = _by_arrival(*table.codes(participant, id_of), times)
    column, ids = _sorted(*table.codes(statement, id_of))
    key = row * len(ids) + column
    order = np.lexsort((np.arange(len(key)), times, key))
    last = order[np.append(key[order][1:] != key[order][:-1], True)]
    replaced = len(key) - len(last)
    notes = (f"{replaced} votes were changed later; the last one counts", *told) if replaced else ()
    return Votes(
        "opinions", tuple(people), tuple(Statement(i) for i in ids),
        row[last], column[last], value[last], notes=(*table.notes, *notes),
    )  # fmt: skip


def _named_by_all(table: Table, *columns: str) -> None:
    """Raise InputError where a vote is nobody's or on nothing: all of them would count as one participant's."""
    for column in columns:
        code, texts = table.codes(column)
        blank = np.flatnonzero(np.isin(code, [i for i, t in enumerate(texts) if is_blank(t)]))
        if blank.size:
            message = f"{blank.size} votes name nobody in {column[:40]!a}, the first in row {blank[0] + 1}"
            raise InputError(Problem("votes.nobody", table.place, message, "Fill it, or take the rows out."))


def check_sign(log: Table, votes: Votes, people: Table | None) -> None:
    """Raise InputError for a log whose comments do not tell its signs, and that people's own counts contradict.

    Without these, a log as the API of Polis gives it is refused too: -1 is agree there.
    """
    told = _lean_of_people(votes, people) if people else 0.0
    if told < 0 and people:
        message = f"the votes have the other sign than n-agree and n-disagree of {people.place}"
        raise InputError(Problem("votes.sign", log.place, message, "Multiply the votes by -1."))
    if not told and log.find(["zid"]) and log.find(["tid"]):
        message = (
            "is a log of Polis's own database, where -1 is agree, and no counts of comments are here to tell"
        )
        fix = "Put the comments with their counts beside it; where 1 is agree, take out the column zid."
        raise InputError(Problem("votes.sign", log.place, message, fix))


def _lean_of_people(votes: Votes, people: Table) -> float:
    """Return above 0 where people agree in the votes as in the counts of their table, below it where they do not."""
    agree, disagree = (_claimed(people, name) for name in ("n-agree", "n-disagree"))
    counts = zip(agree, disagree, strict=True)
    claimed = {
        i: a - d
        for i, (a, d) in zip(
            people.ids(_named(people, names("participants")["participant"])), counts, strict=True
        )
        if min(a, d) >= 0
    }
    lean = np.bincount(votes.row, votes.value, minlength=len(votes.participants))
    return float(sum(n * claimed.get(i, 0) for i, n in zip(votes.participants, lean, strict=True)))


def _claimed(table: Table, name: str) -> Ints:
    """Return a column of counts (N,), -1 where it tells none."""
    column = table.find([name])
    return np.array([_count(t) for t in table.texts(column)] if column else [-1] * table.rows)


def from_matrix(table: Table) -> Votes:
    """Return the votes of a matrix with a column for each statement; raises InputError."""
    known = names("participants")
    people = _named(table, known["participant"])
    group = table.find(known["group"])
    other = {same(n) for n in known["other"]}
    columns = [c for c in table.columns if c not in (people, group) and same(c) not in other]
    columns, notes = with_votes(table, by_number(columns), choice_of)
    row, column, value = matrix_cells(table, columns, choice_of)
    given = groups_in(table, group) if group else []
    ids = table.ids(people)
    once(table, people, ids)
    told = _as_counted(table, row, value)
    return Votes(
        "opinions", tuple(ids), tuple(Statement(id_of(c.strip())) for c in columns), row, column, value, tuple(given),
        notes=(*table.notes, *notes, *graded(table, columns), *told),
    )  # fmt: skip


def _as_counted(table: Table, row: Ints, value: Any) -> tuple[str, ...]:
    """Return a note where people have more votes than the matrix counts; raises InputError where its signs are turned."""
    agree, disagree, votes = (_claimed(table, n) for n in ("n-agree", "n-disagree", "n-votes"))
    known = (agree >= 0) & (disagree >= 0)
    lean = np.bincount(row, value, minlength=table.rows)  # agreed less disagreed
    if (lean * (agree - disagree))[known].sum() < 0:
        message = "the cells have the other sign than n-agree and n-disagree (-1 for agree)"
        raise InputError(Problem("votes.sign", table.place, message, "Multiply the votes by -1."))
    more = int((np.bincount(row, minlength=table.rows) > votes)[votes >= 0].sum())
    told = f"{more} participants have more votes than their n-votes says: is each column a statement?"
    return (told,) if more else ()


def statements(table: Table) -> dict[str, tuple[Statement, int, int]]:
    """Return by id the statements of a table of comments, and how many agree and disagree there (-1: not told)."""
    known = names("comments")
    ids = table.ids(column := _named(table, known["statement"]))

    def cells(name: str, default: str) -> list[str]:
        # The text may be called `comment`, as in tables of groups too, so that it does not tell them apart.
        column = table.find([*known[name], *(["comment"] if name == "text" else [])])
        return table.texts(column) if column else [default] * len(ids)

    moderated = [_moderated(table, i, m) for i, m in zip(ids, cells("moderated", ""), strict=True)]
    meta = (id_of(m.lower()) in names("words")["meta"] for m in cells("meta", ""))
    texts, agrees, disagrees = cells("text", ""), cells("agrees", "-1"), cells("disagrees", "-1")
    rows = zip(ids, texts, moderated, meta, agrees, disagrees, strict=True)
    told = [(Statement(i, t, mod, m), _count(a), _count(d)) for i, t, mod, m, a, d in rows]
    once(table, column, [s.id for s, *_ in dict.fromkeys(told)], "statement")
    return {row[0].id: row for row in told}


def _moderated(table: Table, statement: str, text: str) -> int:
    words = names("words")
    said = text.lower().removesuffix(".0").replace("\N{MINUS SIGN}", "-").replace("_", "-").replace(" ", "-")
    if is_blank(text):
        return UNMODERATED
    for word, value in (("moderated_out", OUT), ("moderated_in", IN), ("unmoderated", UNMODERATED)):
        if said in words[word]:
            return value
    place, message = f"{table.place}, statement {statement[:40]!a}", f"{text[:40]!a} is no moderation"
    fix = "Write -1 for what moderators took out, 1 for what they let in, 0 for what they did not see."
    raise InputError(Problem("votes.moderated", place, message, fix))


def _count(text: str) -> int:
    whole = text.removesuffix(".0")
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) < 10 else -1


def with_statements(votes: Votes, known: dict[str, tuple[Statement, int, int]]) -> Votes:
    """Return the votes with texts and moderation; notes say what does not fit the comments."""
    told = tuple(known[s.id][0] if s.id in known else s for s in votes.statements)
    notes = list(votes.notes)
    if missing := sum(s.id not in known for s in votes.statements):
        notes.append(f"{missing} statements that were voted on are not among the comments")
    agreed = np.bincount(votes.column[votes.value == AGREE], minlength=len(told))
    off = sum(s.id in known and known[s.id][1] not in (-1, a) for s, a in zip(told, agreed, strict=True))
    if off:
        notes.append(f"{off} statements have another number of agreements in the comments than in the votes")
    if lean_of_comments(votes, known) < 0:
        message = "the votes have the other sign than the counts of the comments (-1 for agree)"
        raise InputError(
            Problem("votes.sign", "votes", message, "Multiply the votes by -1, as exports have them.")
        )
    return replace(votes, statements=told, notes=tuple(notes))


def lean_of_comments(votes: Votes, known: dict[str, tuple[Statement, int, int]]) -> float:
    """Return above 0 where statements are agreed to as the comments count, below 0 the other way round, 0 where none tells.

    Polis's API has -1 for agree.
    """
    claimed = np.array([known[s.id][1:] if s.id in known else (-1, -1) for s in votes.statements])
    lean = np.bincount(votes.column, votes.value, minlength=len(claimed))
    return float((lean * (claimed[:, 0] - claimed[:, 1]))[(claimed >= 0).all(axis=1)].sum())


def _named(table: Table, known: list[str]) -> str:
    if (name := table.find(known)) is None:
        message = f"has no column named {', '.join(known[:4])}"
        raise InputError(Problem("votes.columns", table.place, message, "Name it so."))
    return name


def _sorted(code: Ints, values: list[str]) -> tuple[Ints, list[str]]:
    ordered = by_number(values)
    place = {v: i for i, v in enumerate(ordered)}
    return np.array([place[v] for v in values], dtype=np.intp)[code], ordered


def _by_arrival(code: Ints, values: list[str], times: Any) -> tuple[Ints, list[str]]:
    """Return participants in the order of their first votes: Polis's k-means starts at the first of them."""
    first = np.full(len(values), np.inf)
    np.minimum.at(first, code, times)
    order = sorted(range(len(values)), key=lambda i: (first[i], i))
    place = np.empty(len(values), dtype=np.intp)
    place[order] = np.arange(len(values))
    return place[code], [values[i] for i in order]


def choice_of(text: str) -> int | None:
    """Return the value of a vote's text; None for none. Raises ValueError for what is no vote."""
    if is_blank(text):
        return None
    plain = text.lower().removesuffix(".0").removeprefix("+").replace("\N{MINUS SIGN}", "-")
    plain = plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for degree in names("words")["degree"]:
        plain = plain.removeprefix(f"{degree} ")
    for word, value in CHOICES.items():
        if plain in names("words")[word]:
            return value
    raise ValueError("is no vote")


def is_blank(text: str) -> bool:
    """Return whether a cell holds nothing, as statistics programs write it too."""
    return not text or text.lower() in names("words")["none"]


def graded(table: Table, columns: list[str]) -> tuple[str, ...]:
    """Return a note where cells say how strongly people agree, which is not counted."""
    texts = {t.lower() for c in columns for t in table.values(c)}
    degrees = tuple(f"{d} " for d in names("words")["degree"])
    found = sorted(t for t in texts if t.startswith(degrees))
    return (f"degrees are not counted: {found[0][:40]!a} counts as what it is without",) if found else ()


def with_votes(table: Table, columns: list[str], *choices: Any) -> tuple[list[str], tuple[str, ...]]:
    """Return the columns that any of `choices` can read a cell of, or that are empty; a note names the others.

    Surveys ask more than votes: age, country, time. A column that holds votes and other things is not left out: that
    is for people to mend.
    """
    kept = [c for c in columns if c.strip() and _any_vote(table.values(c), choices)]
    if not (out := [c for c in columns if c not in kept]):
        return columns, ()
    shown = ", ".join(ascii(c[:40]) for c in out[:5]) + (f" and {len(out) - 5} more" if len(out) > 5 else "")
    return kept, (f"no statement, since no cell is a vote or the name is blank: {shown}",)


def _any_vote(texts: list[str], choices: Any) -> bool:
    said = [t for t in texts if not is_blank(t)]
    return not said or any(_reads(choice, t) for choice in choices for t in said)


def _reads(choice: Any, text: str) -> bool:
    try:
        return choice(text) is not None
    except ValueError:
        return False


def _values(table: Table, vote: str) -> Any:
    code, texts = table.codes(vote)
    values, bad = np.zeros(len(texts), dtype=np.int32), {}
    for i, text in enumerate(texts):
        try:
            choice = choice_of(text)
        except ValueError:
            choice = None
        if choice is None:
            bad[i] = text
        else:
            values[i] = choice
    if bad:
        where = np.flatnonzero(np.isin(code, list(bad)))[:SHOWN]
        raise InputError([_no_vote(f"{table.place}, row {r + 1}", bad[int(code[r])]) for r in where])
    return values[code]


def _no_vote(place: str, text: str) -> Problem:
    message = f"{text[:40]!a} is no vote"
    return Problem("votes.value", place, message, "Votes are 1 agree, 0 pass, -1 disagree.")


def matrix_cells(table: Table, columns: list[str], choice: Any) -> tuple[Ints, Ints, Any]:
    """Return rows, columns and values of the cells that hold a vote; raises InputError with all that hold none.

    `choice` gives the value of a cell's text, None for an empty one, and raises ValueError for what is no vote.
    """
    rows, cols, values, problems = [], [], [], []
    for c, name in enumerate(columns):
        code, texts = table.codes(name)
        found = np.zeros(len(texts), dtype=np.int32)
        empty = np.zeros(len(texts), dtype=bool)
        for i, text in enumerate(texts):
            try:
                value = choice(text)
            except ValueError:
                at = int(np.flatnonzero(code == i)[0])
                problems.append(_no_vote(f"{table.place}, row {at + 1}, column {name[:40]!a}", text))
                continue
            empty[i], found[i] = value is None, value or 0
        cast = np.flatnonzero(~empty[code])
        rows.append(cast)
        cols.append(np.full(len(cast), c, dtype=np.intp))
        values.append(found[code[cast]])
    if problems:
        raise InputError(problems[:SHOWN])
    if not rows:
        raise InputError(
            Problem("votes.columns", table.place, "has no column of votes", "Add one a statement.")
        )
    return np.concatenate(rows), np.concatenate(cols), np.concatenate(values)


def once(table: Table, column: str, ids: list[str], what: str = "participant") -> None:
    """Raise InputError for an id that is there twice."""
    if twice := next((i for i, n in Counter(ids).items() if n > 1), None):
        message = f"the {what} {twice[:40]!a} has more than one row"
        raise InputError(Problem("votes.twice", f"{table.place}, {column}", message, "Keep one row of each."))


def _times(table: Table) -> tuple[Any, tuple[str, ...]]:
    """Return the votes' times (N,) as numbers, zero where none can be read: then the order of rows decides, as a note says."""
    found = [c for name in names("votes")["time"] if (c := table.find([name])) is not None]
    for column in found:
        code, texts = table.codes(column)
        try:
            return np.array([_time(t) for t in texts])[code], ()
        except ValueError:
            continue
    if not found:
        return np.zeros(table.rows), ()
    told = f"the times in {found[0][:40]!a} cannot be read: the order of rows says which vote is the last"
    return np.zeros(table.rows), (told,)


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
