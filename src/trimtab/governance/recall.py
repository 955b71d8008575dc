"""Recalls: what descends from something that must not be used, stated in the ledger and in a file for others.

A recall file holds the entries of recalls and revocations of keys, one a line, oldest first; each carries the
operator's signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.catalogue import Node, open_catalogue
from trimtab.governance.ledger.envelope import Entry, Statement, open_entry
from trimtab.governance.ledger.ledger import Ledger, open_ledger
from trimtab.records.write import write_bytes

KINDS = ("generator", "record", "dataset", "adapter")
NAMED = ("adapter", "guard", "system", "release")  # what a recall names one by one; records can be millions
FILE = "recalls.jsonl"
STATED = ("recall", "revocation")


@dataclass(frozen=True)
class Recall:
    """A recall: where it is in the ledger, and everything that it reaches."""

    index: int
    affected: Sequence[Node]
    missing: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reached:
    """A recall that reaches something: its entry, what was recalled and why, and the names of what it reaches."""

    entry: int
    kind: str
    name: str
    reason: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        parts = (
            f"{', '.join(self.parts[:6])}{f' and {len(self.parts) - 6} more' if len(self.parts) > 6 else ''}"
        )
        return f"{self.kind} {self.name[:32]} (entry {self.entry}): {self.reason}; it reaches {parts}"


def reaching(
    ledger: Sequence[Statement],
    things: Sequence[tuple[str, str]],
    below: Callable[[Node], Sequence[Node]] = lambda node: (),
) -> list[Reached]:
    """Return the recalls of a ledger that reach any of `things` (pairs of id and name).

    A recall reaches what it names, what descended from it when it was stated, and what `below` says descends from it.
    """
    found = []
    for index, s in enumerate(ledger):
        if s.kind == "recall":
            kind, name = s.body["kind"], s.body["name"]
            ids = {name, *s.subjects.values(), *(n.id for n in below(Node(kind, name, "")))}
            if parts := tuple(dict.fromkeys(told for id_, told in things if id_ in ids)):
                found.append(Reached(index, kind, name, s.body["reason"], parts))
    return found


def recall(workspace: Path, kind: str, name: str, reason: str) -> Recall:
    """State that something is recalled, write the recall file anew, and return what descends from it.

    Raises ConfigError for what the catalogue does not have, has twice, or without a reason.
    """
    with open_catalogue(workspace) as catalogue:
        node = _one(catalogue.find(name), kind, name)
        if not reason.strip():
            raise ConfigError(Problem("recall.reason", "--reason", "is empty", "Say why, in a sentence."))
        affected, missing = catalogue.below(node), catalogue.missing()
    subjects = {f"{n.kind} {n.label}": n.id for n in affected if n.kind in NAMED}
    body = {"kind": kind, "name": node.id, "reason": reason}
    ledger = open_ledger(workspace)
    index = ledger.append(Statement("recall", {f"{kind} {node.label}": node.id, **subjects}, body))
    write_recalls(workspace, ledger)
    return Recall(index, affected, missing)


def write_recalls(workspace: Path, ledger: Ledger) -> None:
    """Write the recall file anew."""
    entries = [data for data in ledger.log.entries() if _is_recall(data)]
    write_bytes(workspace / FILE, b"".join(data + b"\n" for data in entries))


def _is_recall(data: bytes) -> bool:
    return open_entry(data, "the ledger").statement.kind in STATED


def _one(found: Sequence[Node], kind: str, name: str) -> Node:
    if kind not in KINDS:
        raise ConfigError(
            Problem("recall.kind", kind, "cannot be recalled", f"Use one of {', '.join(KINDS)}.")
        )
    own = [node for node in found if node.kind == kind]
    if len(own) != 1:
        what = "is not in the catalogue" if not own else f"names {len(own)} of them"
        fix = "Look it up with trimtab trace, and give its whole id."
        raise ConfigError(Problem("recall.unknown", f"{kind} {ascii(name)[1:-1]:.80}", what, fix))
    return own[0]


def read_recalls(path: Path) -> list[Entry]:
    """Read a recall file; raises InputError for a line that is no recall."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        fix = "Name a file that trimtab recall wrote."
        raise InputError(Problem("recalls.unreadable", str(path), str(error), fix)) from error
    if lines.pop():
        raise InputError(Problem("recalls.cut", str(path), "ends within a line", "Take the file again."))
    entries = [open_entry(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]
    wrong = [i for i, e in enumerate(entries, start=1) if e.statement.kind not in STATED]
    if wrong:
        place, fix = f"{path}, line {wrong[0]}", "Name a file that trimtab recall wrote."
        raise InputError(Problem("recalls.other", place, "is no recall", fix))
    return entries
