"""Salted commitments: a root says nothing about what is under it, and cannot be opened to anything else.

The leaf of a row is the RFC 6962 hash of its salt (32 random bytes) and its canonical JSON; the rows with their
salts are the opening, kept by this user only until it is released.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rfc8785

from trimtab.errors import ConfigError, Problem
from trimtab.governance.ledger.tree import leaf_hash, root
from trimtab.records.write import read_jsonl, write_bytes

SALT = "salt"


def salted_root(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the root over rows that have their `salt` (64 hex digits), in hex."""
    leaves = []
    for row in rows:
        content = {k: v for k, v in row.items() if k != SALT}
        leaves.append(leaf_hash(bytes.fromhex(row[SALT]) + rfc8785.dumps(content)))
    return root(leaves).hex()


def commit(rows: Sequence[Mapping[str, Any]], opening: Path) -> str:
    """Return the root over the rows; what opens it is written to `opening`, or read where it is there already.

    What is there may say less of each row: a run that an older version began has stated that root. Raises ConfigError
    when it says something else: a root that has been stated stands.
    """
    if opening.exists():
        known = read_jsonl(opening)
        told = [{k: v for k, v in row.items() if k != SALT} for row in known]
        if len(told) != len(rows) or not all(
            t and t.items() <= r.items() for t, r in zip(told, rows, strict=True)
        ):
            what = "the cases are others than those that the run committed to when it began"
            fix = "Go on with the versions of trimtab and Python that it was begun with, or start anew with --fresh."
            raise ConfigError(Problem("run.cases-changed", str(opening), what, fix))
        return salted_root(known)
    salted = [{**row, SALT: secrets.token_hex(32)} for row in rows]
    write_bytes(opening, b"".join(rfc8785.dumps(row) + b"\n" for row in salted), private=True)
    return salted_root(salted)
