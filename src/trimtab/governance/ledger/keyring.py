"""Which keys are in force in a ledger: as its entries say, one after the other.

The opening names the keys of operator and ledger, `roles` those of reviewers. A `key` entry puts a new key in the
place of an old one, signed by the old holder and the new key; a `revocation` ends a reviewer's key. A key that was
replaced or revoked signs nothing more. What a replaced key signed still counts; approvals of a revoked one do not,
and its rejections do, so that nobody is silenced by taking a key away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.governance.ledger.envelope import Entry, Statement, open_entry
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import PublicKey, malformed, parse_key

REVIEWER = "reviewer"


@dataclass
class Keyring:
    """Keys in force: `own` by role of the ledger's own, `roles` by run and role; `gone` and `revoked` hold key ids.

    `ever` has all keys that hold or held a role of the ledger's own, in order.
    `person` leads from a key to the first key of the same holder: two keys of one reviewer are one signer.
    """

    own: dict[str, PublicKey] = field(default_factory=dict)
    roles: dict[tuple[str, str], list[PublicKey]] = field(default_factory=dict)
    person: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    ever: dict[str, list[PublicKey]] = field(default_factory=dict)

    def holders(self, run: str, role: str) -> list[PublicKey]:
        """Return the keys that may review a run in a role."""
        return [key for key in self.roles.get((run, role), ()) if key.id not in self.gone]

    def holder(self, key_id: str) -> str:
        """Return what identifies the holder of a key."""
        return self.person.get(key_id, key_id)

    def signers(self, entry: Entry, place: str) -> list[PublicKey]:
        """Return the keys that must have signed an entry, and no others may; raises InputError `entry.signer`."""
        statement = entry.statement
        if statement.kind == "review":
            named = {k for k, _ in entry.signatures}
            held = self.holders(statement.body["run"], statement.body["role"])
            return [key for key in held if key.id in named][:1]
        if statement.kind == "key":
            return self._replacing(statement, place)
        if statement.kind == "revocation" and statement.body["key"] in {k.id for k in self.own.values()}:
            raise malformed(
                "entry.signer", place, "revokes a key of the ledger's own, which is replaced instead"
            )
        return [self.own["operator"]]

    def _replacing(self, statement: Statement, place: str) -> list[PublicKey]:
        role, old, new = (
            statement.body["role"],
            statement.body["old"],
            parse_key(statement.body["new"], place),
        )
        if role == REVIEWER:
            held = [k for keys in self.roles.values() for k in keys if k.id == old and k.id not in self.gone]
            if not held or new.id in self.known():
                raise malformed(
                    "entry.signer", place, "replaces no reviewer's key, or by one that is known already"
                )
            return [held[0], new]
        if old != self.own[role].id or new.id in self.known():
            what = "replaces a key that is not in force, or by one that is known already"
            raise malformed("entry.signer", place, what)
        return [self.own["operator"], new]

    def known(self) -> set[str]:
        """Return the ids of all keys that hold or held anything."""
        held = {key.id for keys in self.roles.values() for key in keys}
        return held | {key.id for key in self.own.values()} | self.gone

    def learn(self, statement: Statement, place: str) -> None:
        """Take in what a statement says of keys; raises InputError for what is no key."""
        body = statement.body
        if statement.kind == "ledger-opened":
            self.own = {role: parse_key(body[role], place) for role in ("operator", "ledger")}
            self.ever = {role: [key] for role, key in self.own.items()}
        elif statement.kind == "roles":
            run, rows = body["run"], body["roles"]
            self.roles |= {(run, row["name"]): [parse_key(k, place) for k in row["keys"]] for row in rows}
        elif statement.kind == "revocation":
            self.gone.add(body["key"])
            self.revoked.add(body["key"])
        elif statement.kind == "key" and body["role"] == REVIEWER:
            self._replace(body["old"], parse_key(body["new"], place))
        elif statement.kind == "key":
            self.gone.add(self.own[body["role"]].id)
            self.own[body["role"]] = parse_key(body["new"], place)
            self.ever[body["role"]].append(self.own[body["role"]])

    def _replace(self, old: str, new: PublicKey) -> None:
        for where, keys in self.roles.items():
            self.roles[where] = [new if key.id == old else key for key in keys]
        self.person[new.id] = self.holder(old)
        self.gone.add(old)


def keyring_of(statements: Iterable[Statement], place: str) -> Keyring:
    """Return the keys in force after these statements, whose signatures are not checked here."""
    ring = Keyring()
    for statement in statements:
        ring.learn(statement, place)
    return ring


def keyring_in(log: Log) -> Keyring:
    """Return the keys in force in a ledger; none in one that is empty."""
    place = str(log.folder)
    return keyring_of((open_entry(data, place).statement for data in log.entries()), place)
