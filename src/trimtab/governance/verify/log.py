"""The ledger in a bundle: tiles, tree, signatures, clock, and the keys in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.governance.ledger.envelope import Entry, open_entry
from trimtab.governance.ledger.keyring import Keyring
from trimtab.governance.ledger.note import PublicKey, Signed, malformed, parse_checkpoint
from trimtab.governance.ledger.tiles import (
    CHECKPOINT,
    ENTRIES,
    new_tiles,
    read_tile,
    tile_path,
    tiles_of,
    unpack,
)
from trimtab.governance.ledger.tree import leaf_hash, root, root_at, subtrees_of
from trimtab.governance.verify.report import Report

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass
class CheckedLog:
    """A ledger whose entries can be read, and the keys in force at its end."""

    signed: Signed
    entries: list[Entry]
    leaves: list[bytes]
    ring: Keyring = field(default_factory=Keyring)

    @property
    def keys(self) -> dict[str, PublicKey]:
        """The keys of operator and ledger."""
        return self.ring.own

    def root_of(self, size: int) -> bytes:
        """Return the root of the first `size` entries."""
        return root_at(subtrees_of(self.leaves), size)


def read_log(folder: Path, report: Report) -> tuple[Signed, list[bytes], set[str]] | None:
    """Return checkpoint, entries and names of the files of a ledger; None, and a failure, where it is unreadable."""
    try:
        signed = parse_checkpoint((folder / CHECKPOINT).read_bytes(), f"ledger/{CHECKPOINT}")
    except (OSError, TrimtabError) as error:
        report.must(False, "ledger.checkpoint", f"ledger/{CHECKPOINT}", f"cannot be read ({error!s:.80})")
        return None
    size, entries, names = signed.checkpoint.size, list[bytes](), {CHECKPOINT}
    # The size is what the note says: files are asked for one by one, so that a false one ends at the first.
    for level, index, width in tiles_of(size):
        if level != ENTRIES:
            break
        path = tile_path(level, index, width)
        names.add(path)
        try:
            entries += unpack(read_tile(folder, level, index, width), width, path)
        except TrimtabError:
            report.must(False, "ledger.tile", f"ledger/{path}", "is not a tile of entries")
            return None
    for path, data in new_tiles(folder, 0, entries).items():
        names.add(path)
        there = (folder / path).read_bytes() if (folder / path).is_file() else b""
        report.must(there == data, "ledger.tile", f"ledger/{path}", "is not what the entries give")
    same = root([leaf_hash(e) for e in entries]) == signed.checkpoint.root
    report.must(same, "ledger.root", f"ledger/{CHECKPOINT}", "is not the root of the entries")
    return signed, entries, names


def check_log(signed: Signed, raw: Sequence[bytes], report: Report) -> CheckedLog | None:
    """Open every entry and check its signers and time, and the checkpoint; None where an entry cannot be read."""
    entries = []
    for index, data in enumerate(raw):
        try:
            entries.append(open_entry(data, f"entry {index}"))
        except TrimtabError as error:
            report.must(False, error.problems[0].code, f"entry {index}", error.problems[0].message)
    log = CheckedLog(signed, entries, [leaf_hash(data) for data in raw])
    if len(entries) < len(raw) or not _opened(log, report):
        return None
    last = ""
    for index, entry in enumerate(entries):
        time = entry.statement.body["time"]
        report.must(time >= last, "ledger.clock", f"entry {index}", f"is of {time}, the one before of {last}")
        last = time
        try:
            _check_signers(log, entry, f"entry {index}")
        except TrimtabError as error:
            code, what = error.problems[0].code, error.problems[0].message
            code = code if code.startswith("entry.") else "entry.statement"  # such as a key that is none
            report.must(False, code, f"entry {index}", what)
        except _MALFORMED:
            report.must(False, "entry.statement", f"entry {index}", "does not say what its kind must say")
    good = len(signed.signatures) == 1 and signed.signed_by(log.keys["ledger"])
    report.must(good, "ledger.signature", f"ledger/{CHECKPOINT}", "is not signed by the ledger's key alone")
    return log


def _opened(log: CheckedLog, report: Report) -> bool:
    kinds = [e.statement.kind for e in log.entries]
    good = kinds[:1] == ["ledger-opened"] and kinds.count("ledger-opened") == 1
    if good:
        body = log.entries[0].statement.body
        try:
            log.ring.learn(log.entries[0].statement, "entry 0")
            good = body["origin"] == log.signed.checkpoint.origin == log.keys["ledger"].name
        except TrimtabError:
            good = False
    return report.must(good, "ledger.opening", "entry 0", "does not open this ledger")


def _check_signers(log: CheckedLog, entry: Entry, place: str) -> None:
    """Raise InputError unless the right keys, and no others, signed; learn what the entry says of keys."""
    keys = {key.id: key for key in log.ring.signers(entry, place)}
    if {k for k, _ in entry.signatures} != set(keys):
        raise malformed("entry.signer", place, "is not signed by those who may say this")
    if not all(entry.signed_by(key) for key in keys.values()):
        raise malformed("entry.signature", place, "its signature does not cover it")
    log.ring.learn(entry.statement, place)
