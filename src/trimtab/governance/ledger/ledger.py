"""The ledger of a workspace: signed statements in one log, whose first entry names its keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from trimtab.errors import InputError, Problem
from trimtab.governance.keys import LEDGER, OPERATOR, find_key, load_key
from trimtab.governance.ledger.envelope import Entry, Statement, open_entry, seal
from trimtab.governance.ledger.keyring import keyring_in
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import Checkpoint, PublicKey, SecretKey

FOLDER = "ledger"


def now() -> str:
    """Return the time as statements hold it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Ledger:
    """A log with the keys of its operator: one signs statements, the other checkpoints.

    `known` is how many entries it had when these keys were found to be in force.
    """

    log: Log
    operator: SecretKey
    notary: SecretKey
    known: int = 0

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.log.folder

    def statements(self) -> Iterator[tuple[int, Entry]]:
        """Yield index and entry."""
        return statements_in(self.log)

    def append(self, statement: Statement, *signers: SecretKey, once: bool = False) -> int:
        """Append a statement with the time of now, signed by the operator unless others sign; return its index.

        With `once`, a statement of the same kind, run and subjects is not appended again. Times never go back.
        """
        found: list[int] = []

        def make(head: Checkpoint) -> Sequence[bytes]:
            first = 0 if once else max(0, min(self.known, head.size - 1))
            known = self._entries(first) if head.size else []
            self._still_in_force(known[max(0, self.known - first) :])
            if once and (index := _find(known, statement)) is not None:
                found.append(index)
                return []
            last = known[-1].statement.body["time"] if known else ""
            time = max(now(), last)  # one time for both: a second may pass between them
            stamped = replace(statement, body={**statement.body, "time": time})
            opening = [] if head.size else [self._opening(head.origin, time)]
            return [*opening, seal(stamped, signers or (self.operator,))]

        indices = self.log.append(make, self.notary, origin=f"trimtab/{secrets.token_hex(8)}")
        return found[0] if found else indices[-1]

    def append_signed(self, data: bytes) -> int:
        """Append an entry that somebody else signed; return its index.

        Raises InputError where the ledger has an entry of a later time: times never go back.
        """
        entry = open_entry(data, "the signed entry")

        def make(head: Checkpoint) -> Sequence[bytes]:
            first = max(0, min(self.known, head.size - 1))
            known = self._entries(first)
            self._still_in_force(known[max(0, self.known - first) :])
            last, time = known[-1].statement.body["time"], entry.statement.body["time"]
            if time < last:
                fix = "Take a new copy of the runs folder, and sign again."
                what = f"is of {time}, and the ledger has an entry of {last}"
                raise InputError(Problem("ledger.clock", "the signed entry", what, fix))
            return [data]

        return self.log.append(make, self.notary)[0]

    def _still_in_force(self, later: Sequence[Entry]) -> None:
        """Refuse to sign with keys that another process replaced after this ledger was opened."""
        if any(e.statement.kind == "key" and e.statement.body["role"] in (OPERATOR, LEDGER) for e in later):
            fix = "Run the command again: it uses the new key."
            what = "its keys were replaced while this command ran"
            raise InputError(Problem("ledger.key-replaced", str(self.folder), what, fix))

    def _entries(self, first: int) -> list[Entry]:
        entries = self.log.unlocked_entries(first)
        return [open_entry(data, f"{self.folder}, entry {i}") for i, data in enumerate(entries, start=first)]

    def _opening(self, origin: str, time: str) -> bytes:
        named = PublicKey(origin, self.notary.public.raw)
        body = {"ledger": str(named), "operator": str(self.operator.public), "origin": origin, "time": time}
        return seal(Statement("ledger-opened", {}, body), (self.operator,))


def statements_in(log: Log) -> Iterator[tuple[int, Entry]]:
    """Yield index and entry of a log, which needs no key."""
    for index, data in enumerate(log.entries()):
        yield index, open_entry(data, f"{log.folder}, entry {index}")


def _find(entries: Sequence[Entry], statement: Statement) -> int | None:
    for index, entry in enumerate(entries):
        one = entry.statement
        same = one.kind == statement.kind and one.subjects == statement.subjects
        if same and one.body.get("run") == statement.body.get("run"):
            return index
    return None


def open_ledger(workspace: Path) -> Ledger:
    """Return the ledger of a folder of runs, with those of this user's keys that are in force in it.

    They are made at first use. Raises InputError where the keys in force are not this user's.
    """
    log = Log(workspace / FOLDER)
    signed = log.signed()
    if signed is None:
        return Ledger(log, load_key(OPERATOR, make=True), load_key(LEDGER, make=True))
    own = keyring_in(log).own
    operator, notary = (find_key(own[role].id) if role in own else None for role in (OPERATOR, LEDGER))
    origin = signed.checkpoint.origin
    if not operator or not notary or not signed.signed_by(PublicKey(origin, notary.public.raw)):
        fix = (
            "Use another folder for your runs with -o, or the configuration that opened it (TRIMTAB_CONFIG)."
        )
        what = "was opened with other keys than this user's"
        raise InputError(Problem("ledger.other-keys", str(log.folder), what, fix))
    return Ledger(log, operator, notary, signed.checkpoint.size)
