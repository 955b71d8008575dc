"""Whether those who must have reviewed a candidate have approved it, and nobody rejects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from trimtab.governance.ledger.envelope import Statement, is_time
from trimtab.governance.verify.log import CheckedLog
from trimtab.governance.verify.report import Finding, Report


def check_reviews(  # noqa: PLR0917
    log: CheckedLog,
    rows: Sequence[Mapping[str, Any]],
    said: Sequence[tuple[int, Statement]],
    candidate: Mapping[str, str],
    report: Report,
    at: str,
) -> None:
    """Hold what reviewers of a run `said` (index and statement) against its roles (`rows`), at a time.

    A role has its quorum of approvals of this candidate, and nobody's last word on the run, of whatever candidate, is a
    rejection: any change makes another candidate, and would silence one that ended with its candidate.
    """
    roles = {role["name"]: role for role in rows}
    latest: dict[tuple[str, str], tuple[bool, Any]] = {}
    last: dict[tuple[str, str], Any] = {}
    for index, statement in said:
        body, signer = statement.body, log.entries[index].signatures[0][0]
        role, who = roles[body["role"]], (body["role"], log.ring.holder(signer))
        last[who] = body
        if statement.subjects == candidate:
            _seen(log, index, body["seen"], report)
            _as_asked(index, body, role, report)
            latest[who] = (signer in log.ring.revoked, body)
    for (name, _), body in last.items():
        what = "a reviewer's last word on this run is a rejection"
        report.must(body["decision"] != "reject", "review.rejected", name, what)
    for role in roles.values():
        own = [found for (name, _), found in latest.items() if name == role["name"]]
        told = [f"of a revoked key: {b['decision']} by {role['name']}" for revoked, b in own if revoked]
        report.notes += told
        counted = [b for revoked, b in own if not revoked or b["decision"] != "approve"]
        _quorum(role, counted, report, at)


def _seen(log: CheckedLog, index: int, seen: dict[str, Any], report: Report) -> None:
    size = seen["size"]
    good = 0 < size <= index and log.root_of(size).hex() == seen["root"]
    report.must(good, "review.seen", f"entry {index}", "the reviewer saw another ledger")


def _as_asked(index: int, review: Mapping[str, Any], role: Mapping[str, Any], report: Report) -> None:
    """A review holds no longer than its role's days, and answers all that the role is asked."""
    end = datetime.fromisoformat(review["time"]) + timedelta(days=role["days"])
    good = is_time(review["expires"]) and review["expires"] <= end.strftime("%Y-%m-%dT%H:%M:%SZ")
    told = f"the review says that it holds until {review['expires']!a:.40}"
    report.must(bool(good), "review.expires", f"entry {index}", told)
    open_ = [q for q in role["questions"] if not str(review["answers"].get(q, "")).strip()]
    told = f"{len(open_)} questions of the role have no answer"
    report.must(not open_, "review.answers", f"entry {index}", told)


def _quorum(role: Mapping[str, Any], reviews: Sequence[Mapping[str, Any]], report: Report, at: str) -> None:
    name, quorum = role["name"], role["quorum"]
    decisions = [r["decision"] for r in reviews]
    report.must("reject" not in decisions, "review.rejected", name, "a reviewer rejects this release")
    approvals = [r for r in reviews if r["decision"] == "approve"]
    told = f"{len(approvals)} of {quorum} approvals"
    report.must(len(approvals) >= quorum, "review.quorum", name, told)
    report.notes += [f"{r['decision']} by {name}: {r['comment']}" for r in reviews]
    # One of a later time does not hold yet: who sets the ledger's clock ahead makes no review last longer.
    valid = [r for r in approvals if r["time"] <= at <= r["expires"]]
    if len(valid) < quorum:
        told = f"{len(valid)} of {quorum} reviews hold at {at}"
        report.due.append(Finding("review.due", name, told))
