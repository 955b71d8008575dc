"""Entries: in-toto statements (v1) in DSSE envelopes, both as canonical JSON (RFC 8785).

Statements hold texts, whole numbers, lists and objects with ASCII keys only, so that every JSON reader sees the
same values and canonical form is one line in any language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rfc8785

from trimtab.errors import InputError
from trimtab.governance.ledger.note import SecretKey, decode64, encode64, malformed

if TYPE_CHECKING:
    from trimtab.governance.ledger.note import PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
LARGEST = 65535  # bytes of an entry: its length is written in two (C2SP tlog-tiles)
DEEPEST = 99  # levels of lists and objects: what a reader can take must not depend on its stack
# What each kind of statement says, besides its time; nothing else may be in it.
FIELDS: Mapping[str, Mapping[str, type]] = {
    "ledger-opened": {"ledger": str, "operator": str, "origin": str},
    "roles": {"demo": bool, "roles": list, "run": str},
    "run-started": {
        "charter": str, "config": str, "model": str, "policy": str, "run": str, "split": dict, "version": str,
    },
    "probe": {"outcomes": dict, "run": str, "stage": str},
    "records": {"records": dict, "run": str, "stage": str},
    "screen": {"records": dict, "run": str, "stage": str},
    "training": {"run": str, "stage": str},
    "trim": {"run": str, "stage": str},
    "verdict": {"gates": dict, "outcome": str, "run": str},
    "review": {
        "answers": dict, "comment": str, "decision": str, "expires": str, "role": str, "run": str, "seen": dict,
    },
    "release": {"demo": bool, "run": str, "waivers": list},
    "recall": {"kind": str, "name": str, "reason": str},
    "bundle-key": {"key": str, "run": str},
    "revocation": {"key": str, "reason": str},
    "key": {"new": str, "old": str, "reason": str, "role": str},
}  # fmt: skip
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_TYPES = {f"urn:trimtab:{kind}:v1": kind for kind in FIELDS}


@dataclass(frozen=True)
class Statement:
    """Who says what about which files: `subjects` name → SHA-256 in hex, `body` the predicate with its `time`."""

    kind: str
    subjects: Mapping[str, str]
    body: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the in-toto statement."""
        subjects = [{"digest": {"sha256": d}, "name": name} for name, d in sorted(self.subjects.items())]
        return {
            "_type": STATEMENT,
            "predicate": dict(self.body),
            "predicateType": f"urn:trimtab:{self.kind}:v1",
            "subject": subjects,
        }


@dataclass(frozen=True)
class Entry:
    """An entry as it was read: the statement, what was signed, and the signatures as (key id, signature)."""

    statement: Statement
    signed: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key signed it."""
        return any(k == key.id and key.verifies(s, self.signed) for k, s in self.signatures)


def pae(payload: bytes) -> bytes:
    """Return what DSSE signs: the type and the payload, each after its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(statement: Statement, keys: Iterable[SecretKey]) -> bytes:
    """Return the envelope of a statement, signed by each key; ValueError where it is too large for a ledger."""
    payload = rfc8785.dumps(_plain(statement.to_json(), "statement"))
    data = pae(payload)
    signatures = [{"keyid": k.public.id, "sig": encode64(k.sign(data))} for k in keys]
    envelope: Any = {"payload": encode64(payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    entry = rfc8785.dumps(envelope)
    if len(entry) > LARGEST:
        raise ValueError(f"an entry of {len(entry)} bytes does not fit into a ledger")
    return entry


def open_entry(data: bytes, place: str) -> Entry:
    """Read an envelope and its statement, each in its only form; raises InputError with a code `entry.…`."""
    envelope = canonical(data, place, "entry.malformed")
    if not isinstance(envelope, dict) or set(envelope) != {"payload", "payloadType", "signatures"}:
        raise malformed("entry.malformed", place, "is not a DSSE envelope")
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise malformed("entry.payload-type", place, "holds another type than an in-toto statement")
    payload = decode64(_text(envelope["payload"], place), place, "entry.malformed")
    signatures = _signatures(envelope["signatures"], place)
    return Entry(_statement(canonical(payload, place, "entry.malformed"), place), pae(payload), signatures)


def canonical(data: bytes, place: str, code: str) -> Any:
    """Return the value of canonical JSON of texts and whole numbers; raises InputError for any other bytes."""
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_refuse, parse_constant=_refuse)
        if rfc8785.dumps(_plain(value, place)) != data:
            raise ValueError("another form of the same value")
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise malformed(code, place, f"is not canonical JSON ({str(error)[:80]})") from error
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not a whole number")


def strict(data: bytes) -> Any:
    """Return the value of JSON in any form that every reader sees alike: UTF-8, no key twice, no NaN or infinity.

    Raises ValueError for other bytes, RecursionError for what is too deep.
    """
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    json.dumps(value, allow_nan=False)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _plain(value: Any, place: str, level: int = 0) -> Any:
    """Return the value; ValueError where it holds what not every reader sees alike."""
    if level > DEEPEST:
        raise ValueError(f"{place}: is deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        if not all(isinstance(k, str) and k.isascii() for k in value):
            raise ValueError(f"{place}: a key is not ASCII")
        return {k: _plain(v, place, level + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, place, level + 1) for v in value]
    if not isinstance(value, str | int) and value is not None:
        raise ValueError(f"{place}: a {type(value).__name__} in a statement")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise malformed("entry.malformed", place, "a text is missing")
    return value


def _signatures(rows: Any, place: str) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(rows, list) or not all(
        isinstance(r, dict) and set(r) == {"keyid", "sig"} for r in rows
    ):
        raise malformed("entry.malformed", place, "the signatures are not (keyid, sig)")
    if not rows:
        raise malformed("entry.unsigned", place, "nobody signed it")
    found = [
        (_text(r["keyid"], place), decode64(_text(r["sig"], place), place, "entry.malformed")) for r in rows
    ]
    if len({k for k, _ in found}) < len(found):
        raise malformed("entry.duplicate-key", place, "one key is named twice")
    return tuple(found)


def is_time(text: str) -> bool:
    """Whether a text is a time that there is, such as 2027-01-31T00:00:00Z."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _statement(value: Any, place: str) -> Statement:
    error = malformed("entry.statement", place, "is not a statement of a kind that ledgers hold")
    if not isinstance(value, dict) or set(value) != {"_type", "predicate", "predicateType", "subject"}:
        raise error
    kind, body = _TYPES.get(str(value["predicateType"])), value["predicate"]
    if value["_type"] != STATEMENT or kind is None or not isinstance(body, dict):
        raise error
    fields = {**FIELDS[kind], "time": str}
    if set(body) != set(fields) or not all(type(body[k]) is t for k, t in fields.items()):
        raise error
    if not is_time(body["time"]) or not isinstance(value["subject"], list):
        raise error
    found = Statement(kind, dict(_subject(row, error) for row in value["subject"]), body)
    if found.to_json() != value:
        raise error
    return found


def _subject(row: Any, error: InputError) -> tuple[str, str]:
    match row:
        case {"name": str(name), "digest": {"sha256": str(digest)}} if re.fullmatch("[0-9a-f]{64}", digest):
            return name, digest
    raise error
