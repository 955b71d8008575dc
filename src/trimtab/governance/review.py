"""Reviews: people sign the digest of a release candidate with keys of their own, for a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.candidate import build_candidate
from trimtab.governance.ledger.envelope import Statement, open_entry, seal
from trimtab.governance.ledger.keyring import keyring_in
from trimtab.governance.ledger.ledger import FOLDER, now, open_ledger, statements_in
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import PublicKey, SecretKey
from trimtab.governance.roles import Role
from trimtab.governance.verify.files import MANIFEST

Decision = Literal["approve", "reject", "dissent"]


@dataclass(frozen=True)
class Opinion:
    """What a reviewer says: the decision, a comment, and answers to the role's questions."""

    decision: Decision
    comment: str
    answers: Mapping[str, str]


def roles_of(log: Log, run: str) -> list[Role]:
    """Return the roles that were fixed for a run; none where none were."""
    for _, entry in statements_in(log):
        if entry.statement.kind == "roles" and entry.statement.body["run"] == run:
            return [Role.model_validate_json(json.dumps(row)) for row in entry.statement.body["roles"]]
    return []


def review(run: Path, role_name: str, key: SecretKey, opinion: Opinion) -> int:
    """State a review of a run's candidate in its ledger; return the index of the entry.

    Raises ConfigError where the role or key is none of the run's, or a question has no answer.
    """
    ledger = open_ledger(run.parent)
    return ledger.append_signed(sign_review(run, role_name, key, opinion))


def sign_review(run: Path, role_name: str, key: SecretKey, opinion: Opinion) -> bytes:
    """Return the signed review of a run's candidate, which its operator adds to the ledger; needs no key but `key`.

    Raises ConfigError where the role or key is none of the run's, or a question has no answer.
    """
    log = Log(run.parent / FOLDER)
    roles = {role.name: role for role in roles_of(log, run.name)}
    if role_name not in roles:
        fix = (
            f"Use one of {', '.join(roles)}." if roles else "Name them with roles = … before the run starts."
        )
        raise ConfigError(Problem("review.role", role_name, "is no role of this run", fix))
    role = roles[role_name]
    _check(role, keyring_in(log).holders(run.name, role_name), key, opinion)
    with tempfile.TemporaryDirectory() as folder:
        candidate = build_candidate(run, Path(folder))
    return signed_review(log, run.name, candidate, role=role, key=key, opinion=opinion)


def add_review(run: Path, data: bytes) -> int:
    """Append a signed review to the ledger of a run and return its index; raises InputError for what is none of this run."""
    ledger = open_ledger(run.parent)
    entry = open_entry(data, "the review")
    review = entry.statement.body
    fix = "Take the file that `trimtab review --to FILE` wrote, of these runs as they are."
    if entry.statement.kind != "review" or review["run"] != run.name:
        raise InputError(Problem("review.other", "the review", f"is no review of {run.name}", fix))
    holders = keyring_in(ledger.log).holders(run.name, review["role"])
    if len(entry.signatures) != 1 or not any(entry.signed_by(key) for key in holders):
        what = f"is not signed by a key of the role {review['role']}"
        raise InputError(Problem("review.signature", "the review", what, fix))
    with tempfile.TemporaryDirectory() as folder:
        candidate = build_candidate(run, Path(folder))
    size, head = review["seen"]["size"], ledger.log.head()
    if entry.statement.subjects != {MANIFEST: candidate}:
        raise InputError(Problem("review.candidate", "the review", "is of other files than the run's", fix))
    if not 0 < size <= head.size or ledger.log.root_of(size).hex() != review["seen"]["root"]:
        raise InputError(Problem("review.seen", "the review", "is of another ledger", fix))
    return ledger.append_signed(data)


def _check(role: Role, holders: Sequence[PublicKey], key: SecretKey, opinion: Opinion) -> None:
    problems = []
    if all(k.raw != key.public.raw for k in holders):
        fix = f"Use a key of this role: {', '.join(k.name for k in holders)}."
        problems.append(Problem("review.key", key.public.name, f"does not hold the role {role.name}", fix))
    if opinion.decision not in get_args(Decision):
        fix = f"Use one of {', '.join(get_args(Decision))}."
        problems.append(Problem("review.decision", opinion.decision, "is not a decision", fix))
    if not opinion.comment.strip():
        problems.append(Problem("review.comment", "--comment", "is empty", "Say why, in a sentence."))
    for question in role.questions:
        if not opinion.answers.get(question, "").strip():
            fix = f"Add --answer '{question}=…'"
            problems.append(Problem("review.answer", question, "has no answer", fix))
    extra, fix = sorted(set(opinion.answers) - set(role.questions)), "Leave it away."
    problems += [Problem("review.answer", q, "is not asked of this role", fix) for q in extra]
    if problems:
        raise ConfigError(problems)


def signed_review(
    log: Log, run: str, candidate: str, *, role: Role, key: SecretKey, opinion: Opinion
) -> bytes:
    """Return a signed review, which covers the checkpoint that the reviewer saw and holds for the role's days."""
    head, last = log.head(), ""
    for _, entry in statements_in(log):
        last = entry.statement.body["time"]
    time = max(now(), last)
    body = {
        "answers": dict(opinion.answers),
        "comment": opinion.comment,
        "decision": opinion.decision,
        "expires": (datetime.fromisoformat(time) + timedelta(days=role.days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "role": role.name,
        "run": run,
        "seen": {"root": head.root.hex(), "size": head.size},
        "time": time,
    }
    return seal(Statement("review", {MANIFEST: candidate}, body), [key])


def known_reviews(log: Log, run: str) -> Sequence[tuple[int, Statement]]:
    """Return the reviews of a run, oldest first."""
    found = [(i, e.statement) for i, e in statements_in(log)]
    return [(i, s) for i, s in found if s.kind == "review" and s.body["run"] == run]
