"""Replaces and revokes keys, each by an entry in the ledger; a revocation is in the recall file, too."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from trimtab.errors import ConfigError, Problem
from trimtab.governance.keys import LEDGER, OPERATOR, load_key, new_key, retire_key
from trimtab.governance.ledger.envelope import Statement
from trimtab.governance.ledger.keyring import REVIEWER, keyring_in
from trimtab.governance.ledger.ledger import Ledger, open_ledger
from trimtab.governance.ledger.note import PublicKey, SecretKey
from trimtab.governance.recall import write_recalls


def rotate(workspace: Path, name: str, reason: str) -> tuple[int, PublicKey]:
    """Put a new key in the place of one in a workspace's ledger; return the entry's index and the new key.

    `name` is `operator`, `ledger` or that of a reviewer's key. The old key is kept under another name. Where the
    key of that name is not the one in force, because it was replaced for another workspace, it takes its place here.
    Raises ConfigError without a reason, and where the key holds nothing in this ledger.
    """
    _say_why(reason)
    ledger, current = open_ledger(workspace), load_key(name)
    if not ledger.known:
        fix = "Name a folder of runs with --workspace."
        raise ConfigError(
            Problem("keys.no-ledger", str(workspace), "has no ledger in which a key holds", fix)
        )
    if name in (OPERATOR, LEDGER):
        old = ledger.operator if name == OPERATOR else ledger.notary
        fresh = old.public.raw == current.public.raw
    else:
        old, fresh = current, True
        _held(ledger, old)
    new = new_key(f"{name}-{secrets.token_hex(4)}") if fresh else current
    index = _state(ledger, name, old, new, reason)
    if fresh:
        retire_key(name, new.public.name)
    return index, load_key(name).public


def _say_why(reason: str) -> None:
    if not reason.strip():
        raise ConfigError(Problem("keys.reason", "--reason", "is empty", "Say why, in a sentence."))


def _held(ledger: Ledger, key: SecretKey) -> None:
    ring = keyring_in(ledger.log)
    held = {k.id for run, role in ring.roles for k in ring.holders(run, role)}
    if key.public.id not in held:
        fix = "Nothing is to be done here: make another key and name it in the roles of the next run."
        raise ConfigError(Problem("keys.not-held", key.public.name, "holds no role in this ledger", fix))


def _state(ledger: Ledger, name: str, old: SecretKey, new: SecretKey, reason: str) -> int:
    role = name if name in (OPERATOR, LEDGER) else REVIEWER
    # A checkpoint is signed under the ledger's origin, so its new key bears that name; others bear their own.
    named = ledger.log.head().origin if role == LEDGER else name
    body = {
        "new": str(PublicKey(named, new.public.raw)),
        "old": old.public.id,
        "reason": reason,
        "role": role,
    }
    signers = (old if role == REVIEWER else ledger.operator, new)
    writer = replace(ledger, notary=new) if role == LEDGER else ledger
    return writer.append(Statement("key", {}, body), *signers)


def revoke(workspace: Path, key: str, reason: str) -> int:
    """State that a reviewer's key, named by the beginning of its id or by its name, signs nothing more.

    Its approvals count no more; return the entry's index. Raises ConfigError without a reason, and where it is none
    or several of this ledger's.
    """
    _say_why(reason)
    ledger = open_ledger(workspace)
    ring = keyring_in(ledger.log)
    held = {k.id: k for run, role in ring.roles for k in ring.holders(run, role)}
    found = [k for k in held.values() if k.name == key or (len(key) >= 8 and k.id.startswith(key))]
    if len(found) != 1:
        what = "holds no role in this ledger" if not found else f"is the name of {len(found)} keys"
        fix = "Give the whole id; operator and ledger are replaced with trimtab keys rotate."
        raise ConfigError(Problem("keys.unknown", f"{ascii(key)[1:-1]:.80}", what, fix))
    index = ledger.append(Statement("revocation", {}, {"key": found[0].id, "reason": reason}))
    write_recalls(workspace, ledger)
    return index
