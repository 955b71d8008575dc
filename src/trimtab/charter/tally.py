"""Counts a consultation: groups, consensus, what stands for groups, what divides them, and rankings by several rules."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trimtab.charter.consensus import Counts, consensus, count, coverage, laplace, representative
from trimtab.charter.groups import Groups, agreement, given_groups, opinion_groups, stability
from trimtab.charter.rankings import Ranking, accord, disputed, rankings, tops, winner
from trimtab.charter.votes import moderated_in
from trimtab.errors import ConfigError, InputError, Problem
from trimtab.statistics.estimate import Estimate

if TYPE_CHECKING:
    from trimtab.charter.consensus import Measure
    from trimtab.charter.votes import Flags, Votes

DIVIDES = 10


@dataclass(frozen=True)
class Options:
    """How to count: `own` or `given` groups, their number, strict moderation, and the votes a statement needs."""

    groups: str = "own"
    k: int | None = None
    strict: bool = False
    least: int = 1


@dataclass(frozen=True, eq=False)
class Tally:
    """The counted consultation; `to_json` holds all of it."""

    votes: Votes
    kept: Flags
    groups: Groups | None
    counts: Counts | None
    figures: dict[str, Measure]
    against: dict[str, Measure]
    rankings: list[Ranking]
    condorcet: int | None
    silhouettes: dict[int, float]
    given_agreement: float | None
    stable: float | None
    strict: bool = False
    given: bool = False

    @property
    def statements(self) -> list[int]:
        """Which statements of the votes are kept, by their index."""
        return [int(i) for i in np.flatnonzero(self.kept)]

    @property
    def origin(self) -> Literal["own", "given"]:
        """Whether the groups were found here or came with the votes."""
        return "given" if self.given else "own"

    def to_json(self) -> dict[str, Any]:
        """Return the tally as JSON values: counts, figures of each statement, groups and rankings."""
        total, people = len(self.votes.statements), self.votes.weights
        return {
            "kind": self.votes.kind,
            "participants": int(people.sum()),
            "statements": total,
            "votes": int(people[self.votes.row].sum()),
            "left_out": total - len(self.statements),
            "left_out_because": self.left_out(),
            "notes": list(self.votes.notes),
            "groups": self._groups(),
            "consensus": self._consensus(),
            "representative": self._representative(),
            "divides": self._divides(),
            **self._rankings(),
        }

    def left_out(self) -> dict[str, list[str]]:
        """Return reason → ids of the statements that are not counted."""
        found: dict[str, list[str]] = {}
        for told, kept in zip(self.votes.statements, self.kept, strict=True):
            if not kept:
                out = "moderation" if not moderated_in([told], strict=self.strict)[0] else "too few votes"
                found.setdefault("meta" if told.meta else out, []).append(told.id)
        return found

    def _groups(self) -> dict[str, Any]:
        if self.groups is None:
            return {"not_run": "rankings do not say what is agreed to"}
        people = self.votes.weights
        sizes = self.groups.sizes(people)
        return {
            "origin": self.origin,
            "sizes": dict(zip(self.groups.names, map(int, sizes), strict=True)),
            "unplaced": int(people.sum() - sizes.sum()),
            "silhouettes": self.silhouettes,
            "given_agreement": self.given_agreement,
            "stability": self.stable,
        }

    def _consensus(self) -> list[dict[str, Any]]:
        """Return the statements by group-aware consensus, the highest first; those a group never saw come last."""
        if not self.figures or self.counts is None:
            return []
        unseen, value = (self.counts.seen == 0).any(axis=0), self.figures["group_aware"].value
        order = sorted(self.statements, key=lambda s: (unseen[s], -value[s]))
        return [self.statement(s) for s in order]

    def statement(self, s: int) -> dict[str, Any]:
        """Return counts by group and figures of one statement of a tally with groups."""
        if self.counts is None or self.groups is None:
            raise ValueError("a tally of rankings has no groups")
        told, c = self.votes.statements[s], self.counts
        shares, covered = laplace(c.agreed, c.seen), coverage(c)
        groups = [
            {
                "group": name, "agreed": int(c.agreed[g, s]), "disagreed": int(c.disagreed[g, s]),
                "seen": int(c.seen[g, s]), "share": float(shares[g, s]), "coverage": float(covered[g, s]),
            }
            for g, name in enumerate(self.groups.names)
        ]  # fmt: skip
        estimates = {name: self._estimate(name, m, s).to_json() for name, m in self.figures.items()}
        estimates["group_aware_against"] = self._estimate(
            "group_aware_against", self.against["group_aware"], s
        ).to_json()
        return {"id": told.id, "text": told.text, "groups": groups, "figures": estimates,
                "coverage": float(c.seen[:, s].sum() / max(1, c.members.sum()))}  # fmt: skip

    def _estimate(self, name: str, measure: Measure, s: int) -> Estimate:
        counts = self.counts
        n = int(counts.seen[:, s].sum()) if counts else 0
        values = float(measure.value[s]), float(measure.low[s]), float(measure.high[s])
        return Estimate(name, *values, n, n)

    def _representative(self) -> dict[str, Any]:
        if self.counts is None or self.groups is None or len(self.groups.names) < 2:
            return {}  # one group stands for itself, and there are no others to compare it with
        found = representative(self.counts, self.kept)
        return {
            name: [
                {
                    **asdict(r),
                    "statement": self.votes.statements[r.statement].id,
                    "significant": r.significant,
                }
                for r in rows
            ]
            for name, rows in zip(self.groups.names, found, strict=True)
        }

    def _divides(self) -> list[dict[str, Any]]:
        """Return the statements on which the groups' shares are furthest apart, by the lower limit of the spread."""
        if self.counts is None or self.groups is None or len(self.groups.names) < 2:
            return []
        spread, shares = self.figures["spread"], laplace(self.counts.agreed, self.counts.seen)
        order = sorted(self.statements, key=lambda s: (-spread.low[s], -spread.value[s]))[:DIVIDES]
        names = self.groups.names
        return [
            {
                "statement": self.votes.statements[s].id, "spread": self._estimate("spread", spread, s).to_json(),
                "most": names[int(shares[:, s].argmax())], "least": names[int(shares[:, s].argmin())],
            }
            for s in order
        ]  # fmt: skip

    def orders(self) -> dict[str, Any]:
        """Return the places (K,) of the kept statements by each rule, group-aware consensus among them."""
        found = {r.rule: r.place for r in self.rankings}
        if self.figures and self.counts is not None:
            # What a group never saw comes last, as among the consensus.
            unseen = (self.counts.seen == 0).any(axis=0)
            value = np.round(self.figures["group_aware"].value - unseen, 12)[self.kept]
            found["group-aware"] = np.array([1 + int((value > v).sum()) for v in value])
        return found

    def _rankings(self) -> dict[str, Any]:
        ids = [self.votes.statements[s].id for s in self.statements]
        orders = self.orders()
        scores = {r.rule: r.score for r in self.rankings}
        by_rule = {
            rule: [
                {"statement": ids[i], "place": int(place[i]), "score": float(scores[rule][i])}
                if rule in scores else {"statement": ids[i], "place": int(place[i])}
                for i in np.argsort(place, kind="stable")
            ]
            for rule, place in orders.items()
        }  # fmt: skip
        return {
            "rankings": by_rule,
            "first": {rule: [ids[i] for i in best] for rule, best in tops(orders).items()},
            "condorcet_winner": None if self.condorcet is None else ids[self.condorcet],
            "accord": [{"rules": list(p), "tau": t} for p, t in accord(orders).items()],
            "disputed": [
                {"statement": ids[i], "places": {rule: int(place[i]) for rule, place in orders.items()}}
                for i in disputed(orders)
            ],
        }


def tally(votes: Votes, options: Options = Options()) -> Tally:
    """Count votes; raises InputError where nothing is left to count, ConfigError for groups that are not given."""
    used = moderated_in(votes.statements, strict=options.strict)
    used &= np.array([not s.meta for s in votes.statements], dtype=bool)
    seen = np.bincount(votes.column, votes.weights[votes.row], minlength=len(votes.statements))
    kept = used & (seen >= options.least)
    if not kept.any():
        message = "no statement is left: all are taken out by moderation or have too few votes"
        fix = (
            "Ask for fewer with --least."
            if used.any()
            else "Leave out --strict-moderation, or look at the moderation."
        )
        raise InputError(Problem("votes.nothing", "votes", message, fix))
    found, pairs = rankings(votes, kept)
    if votes.kind == "ranking":
        return Tally(votes, kept, None, None, {}, {}, found, winner(pairs), {}, None, None, options.strict)
    groups, given = _groups(votes, used, options)
    counts = count(votes, groups)
    return Tally(
        votes, kept, groups, counts, consensus(counts.agreed, counts.seen),
        consensus(counts.disagreed, counts.seen), found, winner(pairs), groups.silhouettes,
        agreement(groups, given, votes.weights) if given and options.groups == "own" else None,
        stability(votes, used, groups) if options.groups == "own" else None, options.strict, options.groups == "given",
    )  # fmt: skip


def _groups(votes: Votes, used: Flags, options: Options) -> tuple[Groups, Groups | None]:
    given = given_groups(votes)
    if options.groups == "own":
        found = opinion_groups(votes, used, k=options.k)
        if not found.names:
            raise InputError(Problem("votes.nothing", "votes", "nobody voted", "Name another file."))
        return found, given
    if options.groups != "given":
        raise ConfigError(Problem("tally.groups", "--groups", "is own or given", "Choose one of them."))
    if given is None:
        fix = "Add participants-votes with group-id, or use --groups own."
        raise ConfigError(Problem("tally.groups", "--groups given", "the votes name no groups", fix))
    if options.k and options.k != len(given.names):
        message = f"{options.k} groups are asked for, and the votes name {len(given.names)}"
        fix = "Leave out --k, or `groups` in the charter's [rule], or use --groups own."
        raise ConfigError(Problem("tally.groups", "--groups given", message, fix))
    return given, given
