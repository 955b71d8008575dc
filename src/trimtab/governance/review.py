"""Reviews: people sign the digest of a release candidate with keys of their own, for a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from trimtab.errors import ConfigError, Problem
from trimtab.governance.candidate import build_candidate
from trimtab.governance.ledger.envelope import Statement
from trimtab.governance.ledger.keyring import keyring_in
from trimtab.governance.ledger.ledger import Ledger, open_ledger
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


def roles_of(ledger: Ledger, run: str) -> list[Role]:
    """Return the roles that were fixed for a run; none where none were."""
    for _, entry in ledger.statements():
        if entry.statement.kind == "roles" and entry.statement.body["run"] == run:
            return [Role.model_validate_json(json.dumps(row)) for row in entry.statement.body["roles"]]
    return []


def review(run: Path, role_name: str, key: SecretKey, opinion: Opinion) -> int:
    """State a review of a run's candidate in its ledger; return the index of the entry.

    Raises ConfigError where the role or key is none of the run's, or a question has no answer.
    """
    ledger = open_ledger(run.parent)
    roles = {role.name: role for role in roles_of(ledger, run.name)}
    if role_name not in roles:
        fix = (
            f"Use one of {', '.join(roles)}." if roles else "Name them with roles = … before the run starts."
        )
        raise ConfigError(Problem("review.role", role_name, "is no role of this run", fix))
    role = roles[role_name]
    _check(role, keyring_in(ledger.log).holders(run.name, role_name), key, opinion)
    with tempfile.TemporaryDirectory() as folder:
        candidate = build_candidate(run, Path(folder))
    return state_review(ledger, run.name, candidate, role=role, key=key, opinion=opinion)


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


def state_review(
    ledger: Ledger, run: str, candidate: str, *, role: Role, key: SecretKey, opinion: Opinion
) -> int:
    """Append a review, which covers the checkpoint that the reviewer saw and holds for the role's days."""
    head = ledger.log.head()
    expires = datetime.now(UTC) + timedelta(days=role.days)
    body = {
        "answers": dict(opinion.answers),
        "comment": opinion.comment,
        "decision": opinion.decision,
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "role": role.name,
        "run": run,
        "seen": {"root": head.root.hex(), "size": head.size},
    }
    return ledger.append(Statement("review", {MANIFEST: candidate}, body), key)


def known_reviews(ledger: Ledger, run: str) -> Sequence[tuple[int, Statement]]:
    """Return the reviews of a run, oldest first."""
    found = [(i, e.statement) for i, e in ledger.statements()]
    return [(i, s) for i, s in found if s.kind == "review" and s.body["run"] == run]
