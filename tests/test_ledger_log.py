"""The ledger's files: whole after every kill, refusal and race; read in their only form or not at all."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trimtab.errors import InputError, Problem, TrimtabError
from trimtab.governance.keys import read_trust
from trimtab.governance.ledger.envelope import PAYLOAD_TYPE, Statement, open_entry, seal
from trimtab.governance.ledger.ledger import open_ledger
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import (
    Checkpoint,
    PublicKey,
    SecretKey,
    encode64,
    parse_checkpoint,
    parse_key,
    sign_checkpoint,
)
from trimtab.governance.ledger.tiles import ENTRIES, read_tile, tile_path, tiles_of, unpack
from trimtab.governance.ledger.tree import is_consistent, is_included, leaf_hash, root
from trimtab.governance.recall import read_recalls
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.files import FORMAT, read_manifest
from trimtab.governance.verify.report import Report


def key(name: str, seed: int = 1) -> SecretKey:
    secret = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return SecretKey(PublicKey(name, secret.public_key().public_bytes_raw()), secret)


KEY = key("k")


def grow(log: Log, entries: list[bytes]) -> range:
    return log.append(lambda head: entries, KEY, origin="o")


def check(log: Log, entries: list[bytes]) -> None:
    """Assert that the log holds these entries and that its checkpoint says so."""
    signed = log.signed()
    assert signed
    assert signed.signed_by(PublicKey("o", KEY.public.raw))
    assert log.entries() == entries
    assert signed.checkpoint == Checkpoint("o", len(entries), root([leaf_hash(e) for e in entries]))


def test_the_log_holds_what_was_appended_at_every_size(tmp_path: Path) -> None:
    log = Log(tmp_path / "l")
    known: list[bytes] = []
    for n in (1, 2, 250, 3, 1, 255, 0, 513):
        new = [b"%d" % (len(known) + i) for i in range(n)]
        assert grow(log, new) == range(len(known), len(known) + n)
        known += new
        check(log, known)
    there = {p.relative_to(log.folder).as_posix() for p in log.folder.rglob("*") if p.is_file()}
    assert there == {tile_path(*t) for t in tiles_of(len(known))} | {"checkpoint", ".lock"}


def test_proofs_are_made_from_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os, "fsync", lambda handle: None
    )  # hundreds of tiles, and nothing here is about power cuts
    log = Log(tmp_path)
    entries = [b"%d" % i for i in range(70_000)]
    grow(log, entries)
    leaves = [leaf_hash(e) for e in entries]
    top = log.head().root
    assert top == root(leaves)
    for index in (0, 1, 255, 256, 65_535, 65_536, 69_999):
        assert is_included(leaves[index], index, len(leaves), log.inclusion(index), top)
    for old in (1, 255, 256, 257, 65_536, 65_537, 70_000):
        assert is_consistent(old, len(leaves), log.consistency(old), root(leaves[:old]), top)


def test_a_statement_made_again_after_a_kill_is_there_once(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    body = {"run": "r", "stage": "trim"}
    trim = Statement("trim", {"a": "0" * 64}, body)
    first = ledger.append(trim, once=True)
    assert ledger.append(trim, once=True) == first
    others = [replace(trim, subjects={"a": "1" * 64}), replace(trim, body={**body, "run": "s"})]
    assert [ledger.append(one, once=True) for one in others] == [first + 1, first + 2]
    assert ledger.append(trim) == first + 3


class Killed(BaseException):
    """What nothing catches."""


def calls_until_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], Any]) -> None:
    """Let the n-th fsync or rename of an append fail, for every n, and go on each time."""
    log, n = Log(tmp_path / "l"), 0
    known = [b"first"] * 254
    grow(log, known)
    while True:
        n += 1
        left = n
        real: dict[str, Callable[..., Any]] = {"fsync": os.fsync, "replace": Path.replace}

        def sometimes(name: str) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    fail()
                return real[name](*arguments)  # noqa: B023

            return call

        new = [b"%d/%d" % (n, i) for i in range(3)]
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", sometimes("fsync"))
            patched.setattr(Path, "replace", sometimes("replace"))
            try:
                grow(log, new)
                done = True
            except (Killed, InputError):
                done = False
        found = log.entries()
        assert found in (known, [*known, *new]), "neither before nor after the append"
        assert not done or found == [*known, *new], "an acknowledged entry is lost"
        known = found
        check(log, known)
        if left > 0:
            break
    assert n > 10
    grow(log, [b"last"])
    check(log, [*known, b"last"])


def test_a_kill_at_any_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill() -> None:
        raise Killed

    calls_until_done(tmp_path, monkeypatch, kill)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_refusing_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse() -> None:
        raise OSError(number, "refused")

    calls_until_done(tmp_path, monkeypatch, refuse)


def test_processes_that_append_at_once_and_are_killed(tmp_path: Path) -> None:
    log, children = Log(tmp_path / "l"), []
    processes, appends = (8, 500) if os.environ.get("TRIMTAB_VERIFY_ALL") else (4, 12)
    killed = processes - 1
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            try:
                for i in range(appends):
                    if number == killed and i == appends // 2:
                        os.kill(os.getpid(), 9)
                    grow(log, [b"%d %d" % (number, i)])
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [*[0] * killed, -9]
    entries = log.entries()
    assert len(set(entries)) == len(entries) == killed * appends + appends // 2
    check(log, entries)
    for number in range(processes):
        own = [e for e in entries if e.startswith(b"%d " % number)]
        assert own == [b"%d %d" % (number, i) for i in range(len(own))]


@pytest.mark.parametrize("path", ["tile/0/000.p/5", "tile/entries/000.p/5", "checkpoint"])
def test_nothing_is_appended_to_a_damaged_log(tmp_path: Path, path: str) -> None:
    log = Log(tmp_path)
    grow(log, [b"12345"] * 5)
    data = bytearray((tmp_path / path).read_bytes())
    data[-40 if path == "checkpoint" else -2] ^= 1
    (tmp_path / path).write_bytes(data)
    if path == "checkpoint":  # another signature: who opens the ledger sees that it is not his
        signed = log.signed()
        assert signed
        assert not signed.signed_by(PublicKey("o", KEY.public.raw))
        return
    with pytest.raises(InputError, match=r"ledger\.damaged"):
        grow(log, [b"6"])


def test_tile_paths() -> None:
    assert tile_path(0, 5) == "tile/0/005"
    assert tile_path("entries", 1234067, 7) == "tile/entries/x001/x234/067.p/7"
    assert list(tiles_of(0)) == []
    assert list(tiles_of(257)) == [
        ("entries", 0, 256), ("entries", 1, 1), (0, 0, 256), (0, 1, 1), (1, 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x05abc", b"\x00\x01a\x00\x01b", b""])
def test_a_tile_that_holds_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"ledger\.tile"):
        unpack(data, 1, "here")


def test_a_narrow_tile_is_read_from_a_wider_one_and_not_from_a_short_one(tmp_path: Path) -> None:
    log = Log(tmp_path / "l")
    assert log.entries() == []
    entries = [b"%d" % i for i in range(256)]
    grow(log, entries)
    assert read_tile(log.folder, 0, 0, 3) == b"".join(leaf_hash(e) for e in entries[:3])
    with pytest.raises(InputError, match=r"cannot be read.*ledger\.tile"):
        read_tile(log.folder, ENTRIES, 0, 3)
    whole = log.folder / tile_path(0, 0)
    whole.write_bytes(whole.read_bytes()[:64])
    with pytest.raises(InputError, match=r"holds fewer than 3 hashes.*ledger\.tile"):
        read_tile(log.folder, 0, 0, 3)


def test_a_file_where_the_log_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"")
    with pytest.raises(InputError, match=r"ledger\.refused"):
        grow(Log(tmp_path / "l"), [b"a"])


NOTE = sign_checkpoint(Checkpoint("o", 3, bytes(32)), [KEY])


def test_a_checkpoint_is_a_signed_note() -> None:
    signed = parse_checkpoint(NOTE, "here")
    assert signed.checkpoint == Checkpoint("o", 3, bytes(32))
    assert signed.signed_by(KEY.public)
    assert not signed.signed_by(key("k", 2).public)
    assert not signed.signed_by(key("other").public)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"), ("\n3\n", "\n-3\n"), ("\n3\n", "\n99999999999999999\n"), ("o\n", "\n"), ("o\n", "o o\n"),
        ("AAAA=", "AAAB="), ("AAAA=", "AA=\n"), ("\n\n", "\n"), ("\n\n", "\nextra\n\n"), ("— ", "- "), ("=\n", "="),
        ("— k", "— k k"), ("\n— ", "\n\n— "), ("\n", "\r\n"),
    ],
)  # fmt: skip
def test_another_form_of_a_checkpoint_is_refused(old: str, new: str) -> None:
    text = NOTE.decode()
    assert old in text
    with pytest.raises(InputError, match=r"ledger\.checkpoint"):
        parse_checkpoint(text.replace(old, new, 1).encode(), "here")


def test_a_root_of_another_length_is_refused() -> None:
    short = NOTE.replace(encode64(bytes(32)).encode(), encode64(bytes(31)).encode())
    with pytest.raises(InputError, match="the root is not 32 bytes"):
        parse_checkpoint(short, "here")


def test_a_key_named_twice_is_refused() -> None:
    again = NOTE.decode().splitlines(keepends=True)[-1]
    with pytest.raises(InputError, match="named twice"):
        parse_checkpoint(NOTE + again.encode(), "here")


@pytest.mark.parametrize(
    "text",  # two public keys: of Go's checksum database, and of its documentation of notes
    [
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_keys_are_written_as_c2sp_does(text: str) -> None:
    assert str(parse_key(text, "here")) == text


@pytest.mark.parametrize(
    "text",
    ["", "k", "k+00000000+AA==", f"{KEY.public}x", str(KEY.public).replace("k+", "j+"), f"k k{KEY.public}"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"key\.malformed"):
        parse_key(text, "here")


def test_a_key_has_one_form() -> None:
    p = 2**255 - 19
    with pytest.raises(InputError, match="only form"):
        parse_key(str(PublicKey("k", (p + 1).to_bytes(32, "little"))), "here")


NOW = "2026-01-31T00:00:00Z"
STATEMENT = Statement(
    "verdict", {"figures.json": "a" * 64}, {"gates": {}, "outcome": "pass", "run": "r", "time": NOW}
)
ENTRY = seal(STATEMENT, [KEY])


def test_an_entry_is_what_other_tools_read() -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer._key import Key

    entry = open_entry(ENTRY, "here")
    assert entry.statement == STATEMENT
    assert entry.signed_by(KEY.public)
    assert not entry.signed_by(key("k", 2).public)
    value = json.loads(ENTRY)
    theirs = Envelope.from_dict(value)
    assert theirs.pae() == entry.signed
    public = Key.from_dict(
        KEY.public.id,
        {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": KEY.public.raw.hex()}},
    )
    assert set(theirs.verify([public], 1)) == {KEY.public.id}


def altered(**changes: Any) -> bytes:
    """Return an entry whose envelope or statement was changed, and signed again where it can be."""
    payload = {**STATEMENT.to_json(), **changes}
    data = (
        payload
        if isinstance(payload, bytes)
        else rfc8785.dumps({k: v for k, v in payload.items() if v != "-"})
    )
    return rfc8785.dumps({
        "payload": encode64(data), "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": KEY.public.id, "sig": encode64(bytes(64))}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (b"", "malformed"), (b"[]", "malformed"), (b"{}", "malformed"), (b"\xff", "malformed"), (b"[" * 100_000, "malformed"),
        (ENTRY + b"\n", "malformed"), (ENTRY.replace(b'":', b'": ', 1), "malformed"),
        (ENTRY.replace(b'{"payload"', b'{"payload":"","payload"'), "malformed"),
        (ENTRY.replace(b"in-toto", b"in-tota"), "payload-type"),
        (ENTRY.replace(b'"keyid":"', b'"keyid":1,"k":"'), "malformed"),
        (ENTRY.replace(b'"keyid":"' + KEY.public.id.encode() + b'"', b'"keyid":1'), "malformed"),
        (ENTRY[: ENTRY.index(b"[") + 1] + b"]}", "unsigned"),
        (ENTRY.replace(b"[{", b"[" + ENTRY[ENTRY.index(b"{", 5) : -2] + b",{", 1), "duplicate-key"),
        (altered(_type="x"), "statement"), (altered(predicateType="urn:trimtab:other:v1"), "statement"),
        (altered(predicate={}), "statement"), (altered(predicate="x"), "statement"),
        (altered(predicate={**STATEMENT.body, "time": "t"}), "statement"), (altered(predicate={**STATEMENT.body, "x": 1}), "statement"),
        (altered(predicate={**STATEMENT.body, "run": 1}), "statement"), (altered(subject="x"), "statement"),
        (altered(subject=[1]), "statement"), (altered(more=1), "statement"), (altered(_type="-"), "statement"),
        (altered(subject=[{"name": "a", "digest": {"sha256": "a" * 64}, "more": 1}]), "statement"),
        (altered(subject=[{"name": n, "digest": {"sha256": "a" * 64}} for n in "ba"]), "statement"),
        (altered(subject=[{"name": "a", "digest": {"sha256": "a" * 64}}] * 2), "statement"),
        (altered(predicate={"time": NOW, "x": 1.5}), "malformed"), (altered(predicate={"time": "t", "é": 1}), "malformed"),
    ],
)  # fmt: skip
def test_another_form_of_an_entry_is_refused(entry: bytes, code: str) -> None:
    with pytest.raises(InputError, match=rf"entry\.{code}"):
        open_entry(entry, "here")


def test_base64_with_spare_bits_is_refused() -> None:
    text = ENTRY.decode()
    at = text.index('"', text.index('"sig":"') + 7) - 3  # the last letter before "=="
    assert text[at + 1 : at + 3] == "=="
    other = text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :]
    with pytest.raises(InputError, match="spare bits"):
        open_entry(other.encode(), "here")


def test_a_statement_with_a_fraction_is_not_signed() -> None:
    with pytest.raises(ValueError, match="a float in a statement"):
        seal(Statement("recall", {}, {"time": NOW, "reason": 1.5}), [KEY])


def test_what_is_too_large_for_a_ledger_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        seal(Statement("recall", {}, {"time": "t", "reason": "x" * 70_000}), [KEY])


class Hangs(BaseException):
    """What nothing catches."""


@contextmanager
def within_a_second() -> Iterator[None]:
    """Raise Hangs after a second of this process's own time, which other processes do not add to."""

    def stop(*_: Any) -> None:
        raise Hangs

    old = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


def test_what_hangs_is_stopped() -> None:
    def hang() -> None:
        with within_a_second():
            while True:
                pass

    with pytest.raises(Hangs):
        hang()


def from_file(read: Callable[[Path], Any]) -> Callable[[bytes, str], Any]:
    """Return a parser of a file as one of bytes."""

    def parse(data: bytes, place: str) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "bundle.json").write_bytes(data)
            return read(Path(folder) / "bundle.json")

    return parse


def manifest(path: Path) -> Any:
    report = Report()
    found = read_manifest(path.parent, report)
    if found is None:
        raise InputError(Problem(next(iter(report.codes)), "here", "is no manifest", ""))
    return found


RECALL = seal(Statement("recall", {}, {"kind": "record", "name": "n", "reason": "r", "time": NOW}), [KEY])
MANIFEST = rfc8785.dumps(
    {"demo": False, "files": {"a/b": {"sha256": "0" * 64, "size": 1}}, "format": FORMAT, "run": "r"}
)
CHECKED: list[tuple[bytes, Callable[[bytes], Any]]] = [
    (ENTRY, script.Entry), (NOTE, script.Note), (str(KEY.public).encode(), lambda d: script.Key(d.decode(errors="replace"))),
]  # fmt: skip


def mutated(good: bytes) -> Iterator[bytes]:
    for seed in range(int(os.environ.get("TRIMTAB_FUZZ", "300"))):
        dice = random.Random(seed)
        data = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data) + 1)
            data[at : at + dice.choice((0, 0, 1, 3))] = dice.randbytes(dice.choice((0, 1, 1, 2)))
        yield bytes(data)


@pytest.mark.parametrize("number", range(len(CHECKED)))
def test_fuzz_of_the_script(number: int) -> None:
    """Only ValueError, of which its own error is one, comes out of the script's parsers, and in a second."""
    good, parse = CHECKED[number]
    parse(good)
    for data in mutated(good):
        with suppress(ValueError), within_a_second():
            parse(data)


def test_fuzz() -> None:
    """Only this project's error comes out of the parsers, whatever goes in, and in a second."""
    parsers: list[tuple[bytes, Callable[[bytes, str], Any]]] = [
        (ENTRY, open_entry),
        (NOTE, parse_checkpoint),
        (str(KEY.public).encode(), lambda data, place: parse_key(data.decode(errors="replace"), place)),
        (b"\x00\x03abc\x00\x00", lambda data, place: unpack(data, 2, place)),
        (RECALL + b"\n", from_file(read_recalls)),
        (f"operator {KEY.public}\n".encode(), from_file(read_trust)),
        (MANIFEST, from_file(manifest)),
    ]
    for good, parse in parsers:
        parse(good, "here")
        for data in mutated(good):
            with suppress(TrimtabError), within_a_second():
                parse(data, "here")
