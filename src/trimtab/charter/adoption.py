"""Adopts principles by the charter's written rule, and keeps the dissent beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.charter.charter import (
    UNWRITTEN,
    Adoption,
    Charter,
    Grouping,
    GroupSize,
    GroupVote,
    Principle,
    Rule,
)
from trimtab.errors import ConfigError, InputError, Problem, UnsettledError
from trimtab.records.record import digest

if TYPE_CHECKING:
    from trimtab.charter.tally import Tally

Rows = dict[str, dict[str, Any]]
SLUG = "s-"
COVERED = 0.5  # of a group's members: below it those who did not vote could turn its majority
TOLD = 5


@dataclass(frozen=True)
class Adopted:
    """The charter with statuses, the ids of statements that the rule would adopt but no principle names, and lost reasons.

    A reason is lost where the group and statement that people wrote it beside dissent no more.
    """

    charter: Charter
    unclaimed: tuple[str, ...]
    lost: tuple[str, ...] = ()


def adopt(charter: Charter, counted: Tally, votes: str) -> Adopted:
    """Return the charter with status, adoption and dissent of every principle that was voted on; retired ones stay as they are.

    `votes` is the digest of what was counted. Raises InputError for rankings, and ConfigError where the charter has no rule, where no principle
    names a statement, and for every named statement that was not counted.
    """
    if counted.groups is None:
        message = "rankings do not say what is agreed to, so the rule cannot be applied"
        raise InputError(Problem("adopt.rankings", "votes", message, "Adopt by approvals or opinions."))
    rule, rows = charter.rule, {row["id"]: row for row in counted.to_json()["consensus"]}
    problems = _problems(charter, rows)
    if problems or rule is None:
        raise ConfigError(problems)
    groups = _grouping(counted)
    principles = tuple(
        _decide(p, rule, rows, votes, groups) if p.voted_on and p.status != "retired" else p
        for p in charter.principle
    )
    claimed = {s for p in principles for s in p.voted_on or ()}
    unclaimed = tuple(i for i, row in rows.items() if i not in claimed and _outcome(rule, row) == "adopted")
    lost = tuple(r for one in zip(charter.principle, principles, strict=True) for r in _lost(*one))
    return Adopted(charter.model_copy(update={"principle": principles}), unclaimed, lost)


def _lost(before: Principle, after: Principle) -> list[str]:
    kept = {(d.group, d.statement) for d in after.dissent or ()}
    return [
        f"principle {before.id}, group {d.group}, statement {d.statement}: {d.reason}"
        for d in before.dissent or ()
        if d.reason and (d.group, d.statement) not in kept
    ]


def _problems(charter: Charter, rows: Rows) -> list[Problem]:
    found = []
    if charter.rule is None:
        fix = 'Write one before the votes are counted: [rule] with figure = "minimum" and least = 0.5.'
        found.append(Problem("adopt.no-rule", charter.name, "has no written rule", fix))
    if not any(p.voted_on for p in charter.principle):
        fix = 'Add voted_on = ["ID", …] to the principles that statements were voted on for.'
        found.append(Problem("adopt.no-statement", charter.name, "no principle names a statement", fix))
    for p in charter.principle:
        for s in p.voted_on or ():
            if s not in rows:
                place, message = f"principle {p.id}, voted_on", f"statement {s[:40]!a} was not counted"
                found.append(Problem("adopt.unknown", place, message, "Name a statement of the votes."))
    return found


def _grouping(counted: Tally) -> Grouping:
    if counted.groups is None:
        raise ValueError("a tally of rankings has no groups")
    groups, people = counted.groups, counted.votes.weights
    sizes = groups.sizes(people)
    pairs = zip(counted.votes.participants, groups.labels, strict=True)
    return Grouping(
        origin=counted.origin, unplaced=int(people.sum() - sizes.sum()),
        groups=tuple(GroupSize(group=n, members=int(s)) for n, s in zip(groups.names, sizes, strict=True)),
        digest=digest({person: groups.names[g] for person, g in pairs if g >= 0}),
    )  # fmt: skip


def _decide(principle: Principle, rule: Rule, rows: Rows, votes: str, grouping: Grouping) -> Principle:
    """Return a principle with what the rule came to; of several statements the one that fares worst decides.

    That is the one of the lowest limit among those with the worst outcome: what nobody saw has a lower one than what is rejected.
    """
    named = [rows[s] for s in principle.voted_on or ()]
    outcomes = [_outcome(rule, row) for row in named]
    status = next(o for o in ("rejected", "open", "adopted") if o in outcomes)
    decisive = [row for row, o in zip(named, outcomes, strict=True) if o == status]
    worst = min(decisive, key=lambda row: float(row["figures"][rule.figure]["low"]))
    figure = worst["figures"][rule.figure]
    adoption = Adoption(
        votes=votes, rule=rule, statement=worst["id"], value=_rounded(figure["value"]),
        low=_rounded(figure["low"]), high=_rounded(figure["high"]),
        groups=tuple(_vote(worst, g) for g in worst["groups"]), grouping=grouping,
    )  # fmt: skip
    dissent = tuple(_vote(row, g) for row in named for g in row["groups"] if _dissents(rule, g))
    kept = _with_reasons(dissent, principle.dissent or ())
    return principle.model_copy(update={"status": status, "adoption": adoption, "dissent": kept})


def _outcome(rule: Rule, row: dict[str, Any]) -> str:
    if any(g["seen"] < rule.votes for g in row["groups"]):
        return "open"  # figures of votes that were not cast are the prior's, and many groups' product is below any `least`
    figure = row["figures"][rule.figure]
    if figure["high"] < rule.least:
        return "rejected"
    return "adopted" if figure["low"] >= rule.least else "open"


def settled(decided: Charter, counted: Tally) -> None:
    """Raise UnsettledError, one problem of all, where the votes do not carry what a charter decided by them.

    That is where fewer than half of a group, or than the rule asks for, voted on a statement that a principle names, and
    where a ranking puts one that is rejected before one that is adopted.
    """
    rule, rows = decided.rule, {row["id"]: row for row in counted.to_json()["consensus"]}
    if rule is None:
        return
    asked = [p for p in decided.principle if p.voted_on and p.status != "retired"]
    named = dict.fromkeys(s for p in asked for s in p.voted_on or ())
    outcome = {s: _outcome(rule, rows[s]) for s in named}
    found = [*_hardly_seen(rule, [rows[s] for s in named]), *_the_other_way(outcome, counted)]
    if found:
        more = f"; and {len(found) - TOLD} more" if len(found) > TOLD else ""
        message = f"the votes do not settle what is adopted: {'; '.join(found[:TOLD])}{more}"
        fix = "Let more people vote, or leave out --strict: the [rule] then decides alone."
        raise UnsettledError(Problem("adopt.unsettled", "--strict", message, fix))


def _hardly_seen(rule: Rule, rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        for g in row["groups"]:
            if g["seen"] < rule.votes or g["coverage"] < COVERED:
                share = f"{g['seen']} votes, {100 * g['coverage']:.0f} % of its people"
                yield f"statement {row['id'][:40]!a} has of group {g['group'][:40]!a} {share}"


def _the_other_way(outcome: dict[str, str], counted: Tally) -> Iterator[str]:
    """Yield of each ranking that puts rejected statements before adopted ones the pair that is furthest apart."""
    ids = [counted.votes.statements[s].id for s in counted.statements]
    adopted, rejected = ([s for s in outcome if outcome[s] == o] for o in ("adopted", "rejected"))
    for name, places in counted.orders().items():
        place = dict(zip(ids, map(int, places), strict=True))
        pairs = [(a, r) for a in adopted for r in rejected if place[r] < place[a]]
        if pairs:
            a, r = max(pairs, key=lambda pair: place[pair[0]] - place[pair[1]])
            yield (
                f"{name} puts statement {r[:40]!a}, which is rejected, in place {place[r]} and {a[:40]!a}, which is "
                f"adopted, in place {place[a]}"
            )


def _dissents(rule: Rule, group: dict[str, Any]) -> bool:
    return bool(group["disagreed"] and group["disagreed"] >= rule.dissent * group["seen"])


def _vote(row: dict[str, Any], group: dict[str, Any]) -> GroupVote:
    counts = {k: group[k] for k in ("group", "agreed", "disagreed", "seen")}
    return GroupVote(statement=row["id"], **counts)


def _with_reasons(dissent: tuple[GroupVote, ...], before: tuple[GroupVote, ...]) -> tuple[GroupVote, ...]:
    """Return the dissent with the reasons that people wrote beside the same group and statement before."""
    reasons = {(d.group, d.statement): d.reason for d in before}
    return tuple(d.model_copy(update={"reason": reasons.get((d.group, d.statement))}) for d in dissent)


def _rounded(value: float) -> float:
    return round(float(value), 6)


def drafted(counted: Tally, top: int, name: str) -> Charter:
    """Return a draft from the `top` statements by group-aware consensus: people write the rest.

    Raises InputError for rankings, of which there is none.
    """
    rows = counted.to_json()["consensus"][:top]
    if not rows:
        message = "rankings do not say what is agreed to, so there is no consensus to draft from"
        raise InputError(Problem("charter.rankings", "votes", message, "Draft from approvals or opinions."))
    principles = tuple(
        Principle(
            id=SLUG + _slug(row["id"]), statement=row["text"] or _told(row["id"]),
            rationale=UNWRITTEN,
            status="draft", version="1", voted_on=(row["id"],),
        )
        for row in rows
    )  # fmt: skip
    return Charter(name=name, version="1", rule=Rule(), principle=principles)


def _told(ident: str) -> str:
    """Return what an id says where there is no text: surveys name a column by the statement itself."""
    return ident if " " in ident else f"Statement {ident}"


def _slug(ident: str) -> str:
    plain = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789" else "-" for c in ident.lower())
    return (
        plain
        if plain == ident
        else f"{plain[:40].strip('-')}-{hashlib.sha256(ident.encode()).hexdigest()[:6]}"
    )


def votes_digest(path: Path) -> str:
    """Return the SHA-256 of a file of votes, or of the names and digests of the files in a folder, hidden ones apart."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = (p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith("."))
    lines = (f"{votes_digest(p)}  {p.name}\n" for p in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
