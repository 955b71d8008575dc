#!/usr/bin/env python3
"""Checks the evidence of a trimtab bundle with nothing but Python's standard library (3.11 or newer).

    python3 verify.py BUNDLE [--trust KEYS] [--known-checkpoint FILE] [--at TIME] [--json]

Take this file from a release of the project, not from the bundle that it shall check. It checks files, signatures,
the tree, the order of statements, the commitments, record ids, verdicts as stated, waivers and the quorum of
reviews. It does not recompute figures from outcomes: `trimtab verify` does. The format is in docs/evidence.md.

Exit code: 0 everything checked holds, 1 something does not, 2 usage, 3 nobody vouched for the keys (no --trust), or
a review or waiver is due.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = "trimtab-bundle-1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
LARGEST = 2**53 - 1
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NAME = r"[A-Za-z0-9._/-]{1,100}"
NOTE = r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:— [^\n]+\n)+)"
PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
PATH = rf"(?!bundle\.json$|ledger/){PART}(?:/{PART})*"
# What each kind of statement says besides its time: texts, objects {}, lists [] and truth values ?.
SCHEMA = """
ledger-opened ledger operator origin
roles demo? roles[] run
run-started charter config model policy run split{} version
probe outcomes{} run stage
records records{} run stage
screen records{} run stage
training run stage
trim run stage
verdict gates{} outcome run
review answers{} comment decision expires role run seen{}
release demo? run waivers[]
recall kind name reason
key new old reason role
"""
TYPES = {"": str, "{}": dict, "[]": list, "?": bool}
WORDS = [re.findall(r"([a-z-]+)(\W*)(?: |$)", row) for row in SCHEMA.split("\n") if row]
FIELDS = {row[0][0]: {name: TYPES[mark] for name, mark in row[1:]} for row in WORDS}
STAGES = dict(before="probe", records="records", screen="screen", train="training", trim="trim")  # noqa: C408
STAGES.update(after="probe", reattack="probe")
SPLIT = "evidence/test-split.jsonl"
STATED = ("adapters/", "guard/", "stages/", "system.json", "run.json", "figures.json")


class EvidenceError(Exception):
    """Something does not hold: a code and what it is about."""


class Found:
    """What was found: failures, what is due, and notes."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []
        self.due: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def must(self, holds: bool, code: str, place: str) -> bool:
        """Note a failure unless it holds."""
        if not holds and (code, place) not in self.failures:
            self.failures.append((code, place))
        return holds


P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def _add(a: Point, b: Point) -> Point:
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point, number = _add(point, point), number >> 1
    return total


def _decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = y * y - 1, D * y * y + 1
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _encode(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = _decode(bytes([0x58]) + bytes([0x66]) * 31) or (0, 1, 1, 0)


def verifies(key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature (64 bytes) of the key (32 bytes) covers the data."""
    point, s = _decode(key), int.from_bytes(signature[32:], "little")
    if point is None or len(signature) != 64 or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + data).digest(), "little") % ORDER
    minus = (P - point[0], point[1], 1, P - point[3])
    return _encode(_add(_times(s, BASE), _times(h, minus))) == signature[:32]


def unbase(text: Any) -> bytes:
    """Read canonical base64."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (AttributeError, binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ValueError("spare bits")
    return data


def plain(value: Any) -> bool:
    """Whether a value holds texts, whole numbers, truth values, null, lists and objects with ASCII keys only."""
    if isinstance(value, dict):
        return all(k.isascii() and plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return isinstance(value, str) or value is None


def written(value: Any) -> bytes:
    """Write plain JSON in its only form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def canonical(data: bytes) -> Any:
    """Read JSON in its only form (RFC 8785) without fractions; ValueError for other bytes."""
    try:
        value = json.loads(data.decode("utf-8"))
        same = plain(value) and written(value) == data
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not same:
        raise ValueError("not canonical")
    return value


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Key:
    """A public key as C2SP writes it: NAME+HASH+BASE64(0x01, key)."""

    def __init__(self, text: str) -> None:
        self.name, _, rest = text.partition("+")
        hashed, _, key = rest.partition("+")
        data = unbase(key)
        self.raw, self.id = data[1:], sha256(data[1:])
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        good = re.fullmatch(NAME, self.name) and len(data) == 33 and data[0] == 1
        if not good or self.hash.hex() != hashed or int.from_bytes(self.raw, "little") & (2**255 - 1) >= P:
            raise ValueError("not a key")


class Note:
    """A signed checkpoint (C2SP tlog-checkpoint, signed-note)."""

    def __init__(self, data: bytes) -> None:
        m = re.fullmatch(NOTE, data.decode("utf-8"))
        if not m or not re.fullmatch(NAME, m[1]) or int(m[2]) > LARGEST:
            raise ValueError("not a checkpoint")
        self.origin, self.size, self.root = m[1], int(m[2]), unbase(m[3])
        self.text = f"{m[1]}\n{m[2]}\n{m[3]}\n".encode()
        self.lines = []
        for line in m[4][:-1].split("\n"):
            parts = re.fullmatch(r"— ([^ ]+) ([^ ]+)", line)
            signature = unbase(parts[2]) if parts else b""
            if not parts or not re.fullmatch(NAME, parts[1]) or len(signature) != 68:
                raise ValueError("not a signature")
            self.lines.append((parts[1], signature[:4], signature[4:]))
        if len(self.root) != 32 or len({line[:2] for line in self.lines}) < len(self.lines):
            raise ValueError("not a checkpoint")

    def signed_by(self, key: Key) -> bool:
        """Whether this key signed it."""
        own = [s for name, hashed, s in self.lines if (name, hashed) == (key.name, key.hash)]
        return bool(own) and all(verifies(key.raw, s, self.text) for s in own)


class Entry:
    """An in-toto statement in a DSSE envelope."""

    def __init__(self, data: bytes) -> None:
        envelope = shaped(data, "entry.malformed", {"payload", "payloadType", "signatures"})
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise EvidenceError("entry.payload-type")
        try:
            payload, self.signatures = unbase(envelope["payload"]), []
            for row in envelope["signatures"]:
                if set(row) != {"keyid", "sig"} or not isinstance(row["keyid"], str):
                    raise ValueError("not a signature")
                self.signatures.append((row["keyid"], unbase(row["sig"])))
        except (TypeError, ValueError) as error:
            raise EvidenceError("entry.malformed") from error
        if not self.signatures:
            raise EvidenceError("entry.unsigned")
        if len(dict(self.signatures)) < len(self.signatures):
            raise EvidenceError("entry.duplicate-key")
        self.signed = b"DSSEv1 28 %b %d %b" % (PAYLOAD_TYPE.encode(), len(payload), payload)
        self.kind, self.subjects, self.body = statement(payload)


def shaped(data: bytes, code: str, keys: set[str]) -> dict[str, Any]:
    """Read a canonical object with exactly these keys."""
    try:
        value = canonical(data)
    except ValueError as error:
        raise EvidenceError(code) from error
    if not isinstance(value, dict) or set(value) != keys:
        raise EvidenceError(code)
    return value


def statement(payload: bytes) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Read an in-toto statement of a known kind: kind, subjects, predicate."""
    try:
        value = canonical(payload)
    except ValueError as error:
        raise EvidenceError("entry.malformed") from error
    try:
        name, body = value["predicateType"], value["predicate"]
        kind = name.removeprefix("urn:trimtab:").removesuffix(":v1")
        subjects = {row["name"]: row["digest"]["sha256"] for row in value["subject"]}
        again = [{"digest": {"sha256": d}, "name": n} for n, d in sorted(subjects.items())]
        good = value == {"_type": STATEMENT, "predicate": body, "predicateType": name, "subject": again}
        fields = {**FIELDS[kind], "time": str}
        good = good and name == f"urn:trimtab:{kind}:v1" and {k: type(v) for k, v in body.items()} == fields
        good = good and all(re.fullmatch(r"[0-9a-f]{64}", d) for d in subjects.values())
        good = good and re.fullmatch(TIME, body["time"])
    except (KeyError, TypeError, AttributeError) as error:
        raise EvidenceError("entry.statement") from error
    if not good:
        raise EvidenceError("entry.statement")
    return kind, subjects, body


def leaf(data: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def tree(hashes: list[bytes]) -> bytes:
    """Root over leaf hashes: pairs are joined level by level, an odd last one moves up."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    while len(hashes) > 1:
        both = zip(hashes[::2], hashes[1::2], strict=False)
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in both]
        hashes = pairs + ([hashes[-1]] if len(hashes) % 2 else [])
    return hashes[0]


def tile_name(level: str, index: int, width: int) -> str:
    """Path of a tile."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join([*(f"x{p}" for p in parts[:-1]), parts[-1]])
    return f"tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


def read_ledger(folder: Path, found: Found) -> tuple[Note, list[bytes], set[str]] | None:
    """Read checkpoint and entries; None where they cannot be read. The third is what files a ledger has."""
    try:
        note = Note((folder / "checkpoint").read_bytes())
    except (OSError, ValueError):
        found.must(False, "ledger.checkpoint", "ledger/checkpoint")
        return None
    names, entries = {"checkpoint"}, []
    for index in range(-(-note.size // 256)):
        width = min(256, note.size - 256 * index)
        name = tile_name("entries", index, width)
        names.add(name)
        part = cut(folder / name)
        if not found.must(part is not None and len(part) == width, "ledger.tile", f"ledger/{name}"):
            return None
        entries += part or []
    level, hashes = 0, [leaf(e) for e in entries]
    while hashes:
        for index in range(-(-len(hashes) // 256)):
            part = hashes[256 * index : 256 * index + 256]
            name = tile_name(str(level), index, len(part))
            names.add(name)
            there = (folder / name).read_bytes() if (folder / name).is_file() else None
            found.must(there == b"".join(part), "ledger.tile", f"ledger/{name}")
        hashes = [tree(hashes[i : i + 256]) for i in range(0, len(hashes) // 256 * 256, 256)]
        level += 1
    found.must(tree([leaf(e) for e in entries]) == note.root, "ledger.root", "ledger/checkpoint")
    return note, entries, names


def cut(path: Path) -> list[bytes] | None:
    """Read a tile of entries, each after its length in two bytes; None for what is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            return None
        entries.append(data[at + 2 : end])
        at = end
    return entries


def read_manifest(folder: Path, found: Found) -> dict[str, Any] | None:
    """Read bundle.json; None where it is not what it must be."""
    try:
        data = (folder / "bundle.json").read_bytes()
        value = shaped(data, "bundle.manifest", {"demo", "files", "format", "run"})
        good = isinstance(value["demo"], bool) and isinstance(value["run"], str)
        for name, row in value["files"].items():
            good = good and bool(re.fullmatch(PATH, name)) and set(row) == {"sha256", "size"}
    except (OSError, EvidenceError, AttributeError, TypeError):
        good = False
    if not found.must(good, "bundle.manifest", "bundle.json"):
        return None
    return value if found.must(value["format"] == FORMAT, "bundle.format", "bundle.json") else None


def check_files(folder: Path, files: dict[str, Any], ledger: set[str], found: Found) -> None:
    """Compare what is there with what the manifest and the ledger say."""
    expected = {*files, "bundle.json", *(f"ledger/{n}" for n in ledger)}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found.must(False, "bundle.link", name)
        elif path.is_file():
            found.must(name in expected, "bundle.unlisted", name)
    for name, row in sorted(files.items()):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            found.must(False, "bundle.missing", name)
            continue
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]
        found.must(same and path.stat().st_size == row["size"], "bundle.changed", name)


class Log:
    """A ledger whose entries can be read: the note, entries, leaf hashes, and the keys in force at its end."""

    def __init__(self, note: Note, raw: list[bytes], found: Found) -> None:
        self.note, self.found, self.leaves = note, found, [leaf(r) for r in raw]
        self.entries: list[Entry] = []
        self.keys: dict[str, Key] = {}
        self.roles: dict[tuple[str, str], list[Key]] = {}
        for index, data in enumerate(raw):
            try:
                self.entries.append(Entry(data))
            except EvidenceError as error:
                found.must(False, str(error), f"entry {index}")
        self.readable = len(self.entries) == len(raw) and self._open()

    def _open(self) -> bool:
        try:
            body = self.entries[0].body
            self.keys = {"operator": Key(body["operator"]), "ledger": Key(body["ledger"])}
            good = body["origin"] == self.note.origin == self.keys["ledger"].name
            good = good and [e.kind for e in self.entries].count("ledger-opened") == 1
        except (IndexError, KeyError, ValueError):
            good = False
        return self.found.must(good, "ledger.opening", "entry 0")

    def check(self) -> None:
        """Check the clock and the signers of each entry, and of the checkpoint."""
        last = ""
        for index, entry in enumerate(self.entries):
            place = f"entry {index}"
            self.found.must(entry.body["time"] >= last, "ledger.clock", place)
            last = entry.body["time"]
            try:
                keys = {k.id: k for k in self._signers(entry)}
                if {k for k, _ in entry.signatures} != set(keys):
                    raise EvidenceError("entry.signer")
                if not all(verifies(keys[k].raw, s, entry.signed) for k, s in entry.signatures):
                    raise EvidenceError("entry.signature")
                self._learn(entry)
            except EvidenceError as error:
                self.found.must(False, str(error), place)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.found.must(False, "entry.statement", place)
        signed = len(self.note.lines) == 1 and self.note.signed_by(self.keys["ledger"])
        self.found.must(signed, "ledger.signature", "ledger/checkpoint")

    def _signers(self, entry: Entry) -> list[Key]:
        """Return the keys that must have signed an entry, and no others."""
        body = entry.body
        if entry.kind == "review":
            held = self.roles.get((body["run"], body["role"]), [])
            return [k for k in held if k.id in dict(entry.signatures)][:1]
        if entry.kind == "key":
            if body["old"] != self.keys[body["role"]].id:
                raise EvidenceError("entry.signer")
            return [self.keys["operator"], Key(body["new"])]
        return [self.keys["operator"]]

    def _learn(self, entry: Entry) -> None:
        if entry.kind == "key":
            self.keys[entry.body["role"]] = Key(entry.body["new"])
        if entry.kind == "roles":
            for role in entry.body["roles"]:
                self.roles[entry.body["run"], role["name"]] = [Key(k) for k in role["keys"]]


class Claims:
    """The statements of one run, and whether the bundle is what they say."""

    def __init__(self, folder: Path, manifest: dict[str, Any], log: Log, at: str) -> None:
        self.folder, self.files = folder, manifest["files"]
        self.demo, self.run = manifest["demo"], manifest["run"]
        self.log, self.found, self.at = log, log.found, at
        self.candidate = sha256((folder / "bundle.json").read_bytes())
        self.own = [(i, e) for i, e in enumerate(log.entries) if e.body.get("run") == self.run]
        subjects = {"bundle.json": self.candidate}
        self.released = [(i, e) for i, e in self.of("release") if e.subjects == subjects]

    def of(self, kind: str) -> list[tuple[int, Entry]]:
        """Return index and entry of one kind."""
        return [(i, e) for i, e in self.own if e.kind == kind]

    def check(self) -> None:
        """Check everything; a statement that is not shaped as it must be is a failure of its own."""
        for part in ("order", "stages", "terms", "split", "records", "verdict", "reviews"):
            try:
                getattr(self, part)()
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError):
                self.found.must(False, "claims.malformed", part)

    def order(self) -> None:
        """The run states its terms once and first; roles come before training."""
        must, started = self.found.must, self.of("run-started")
        if must(len(started) == 1, "run.not-started", self.run):
            must(self.own[0][0] == started[0][0], "run.order", self.run)
        indices = [i for i, _ in self.of("training")]
        roles = self.of("roles")
        if must(len(roles) == 1, "roles.missing", self.run):
            index, entry = roles[0]
            must(entry.body["demo"] == self.demo, "release.demo", self.run)
            must(self.demo or not indices or index < indices[0], "roles.late", f"entry {index}")
            keys = [Key(k).raw for role in entry.body["roles"] for k in role["keys"]]
            keys += [k.raw for k in self.log.keys.values()]
            must(len(set(keys)) == len(keys), "roles.key-twice", f"entry {index}")
        if must(len(self.released) == 1, "release.missing", self.run):
            must(self.released[0][1].body["demo"] == self.demo, "release.demo", self.run)

    def stages(self) -> None:
        """Every stage is stated once, in order, and its files are in the bundle as stated."""
        must, stated, last = self.found.must, set(), -1
        for name, kind in [*STAGES.items(), ("verdict", "verdict")]:
            found = [i for i, e in self.of(kind) if e.body.get("stage", "verdict") == name]
            if must(len(found) > 0, "stage.missing", name) and must(len(found) == 1, "stage.repeated", name):
                must(found[0] > last, "stage.order", name)
                last = max(last, found[0])
        for _, entry in self.own:
            if entry.kind in ("release", "review"):
                continue
            for name, digest in entry.subjects.items():
                if entry.kind in ("records", "screen") and name not in self.files:
                    continue
                if must(name in self.files, "stage.absent", name):
                    must(self.files[name]["sha256"] == digest, "stage.changed", name)
                stated.add(name)
        for name in self.files:
            must(not name.startswith(STATED) or name in stated, "stage.unstated", name)

    def terms(self) -> None:
        """Policy and charter are those that the run started with."""
        body = self.of("run-started")[0][1].body
        for key in ("policy", "charter"):
            row = self.files.get(f"{key}.json")
            self.found.must(row is not None and row["sha256"] == body[key], f"{key}.changed", f"{key}.json")

    def split(self) -> None:
        """The outcomes are of all the cases that were committed to before training, and of no others."""
        must, body = self.found.must, self.of("run-started")[0][1].body["split"]
        rows = self.lines(SPLIT)
        must((salted(rows), len(rows)) == (body["root"], body["cases"]), "split.root", SPLIT)
        known: dict[str, set[str]] = {}
        for row in rows:
            known.setdefault(row["suite"], set()).add(row["item"])
        for _, entry in self.of("probe"):
            again = entry.body["stage"] == "reattack"
            for name in [n for n in entry.subjects if n.endswith(".jsonl")]:
                outcomes = [json.loads(line) for line in (self.folder / name).read_text("utf-8").splitlines()]
                stem = name.rpartition("/")[2].removesuffix(".jsonl")
                must(entry.body["outcomes"].get(stem) == len(outcomes), "outcomes.count", name)
                items = [("reattack" if again else o["suite"], o["item"]) for o in outcomes]
                must(len(set(items)) == len(items), "split.repeated", name)
                must(all(item in known.get(suite, ()) for suite, item in items), "split.unknown", name)
                for suite in {s for s, _ in items}:
                    missing = known.get(suite, set()) - {i for s, i in items if s == suite}
                    must(not missing, "split.incomplete", name)

    def lines(self, name: str) -> list[Any]:
        """Read canonical JSON lines that the manifest lists."""
        if name not in self.files:
            raise ValueError(name)
        return [canonical(line) for line in (self.folder / name).read_bytes().split(b"\n")[:-1]]

    def records(self) -> None:
        """The records are those that the screen kept, by id and lineage."""
        must = self.found.must
        for mechanism, stated in self.of("screen")[0][1].body["records"].items():
            name, opening = f"records/{mechanism}.jsonl", f"evidence/screen-{mechanism}.jsonl"
            rows, opened = self.lines(name), self.lines(opening)
            must(len(rows) == stated["count"], "records.count", name)
            must(salted(opened) == stated["root"], "records.root", opening)
            ids = [(row["id"], row["lineage_id"]) for row in rows]
            must(ids == [(row["id"], row["lineage_id"]) for row in opened], "records.root", name)
            must(all((row["id"], row["lineage_id"]) == identity(row) for row in rows), "records.id", name)

    def verdict(self) -> None:
        """The verdict is that of the figures; a gate that did not pass was waived with reason, owner and expiry."""
        must, body = self.found.must, self.of("verdict")[0][1].body
        told = json.loads((self.folder / "figures.json").read_bytes())
        gates = json.loads((self.folder / "policy.json").read_bytes())
        stated = {v["gate"]["figure"]: v["outcome"] for v in told["verdicts"]}
        same = (stated, told["outcome"]) == (body["gates"], body["outcome"])
        must(same, "verdict.changed", "figures.json")
        must([v["gate"] for v in told["verdicts"]] == gates, "verdict.gates", "figures.json")
        waived = {w["gate"]: w for _, e in self.released[:1] for w in e.body["waivers"]}
        open_gates = [g["figure"] for g in gates if g["required"] and stated.get(g["figure"]) != "pass"]
        for name in open_gates if self.released else []:
            if not must(name in waived, "gate.not-passed", name):
                continue
            why, owner, expires = (waived[name][k] for k in ("reason", "owner", "expires"))
            good = why.strip() and owner.strip() and re.fullmatch(TIME, expires)
            must(bool(good), "waiver.empty", name)
            self.found.notes.append(f"waived: {name} {stated.get(name)}, by {owner} until {expires}: {why}")
            if expires < self.at:
                self.found.due.append(("waiver.due", name))

    def reviews(self) -> None:
        """Each role has its quorum of approvals of this candidate; nobody's last word is a rejection."""
        must = self.found.must
        latest: dict[tuple[str, str], Entry] = {}
        end = self.released[0][0] if self.released else len(self.log.entries)
        for index, entry in self.of("review"):
            if entry.subjects != {"bundle.json": self.candidate} or index > end:
                continue
            seen = entry.body["seen"]
            good = tree(self.log.leaves[: seen["size"]]).hex() == seen["root"] and 0 < seen["size"] <= index
            must(good, "review.seen", f"entry {index}")
            latest[entry.body["role"], entry.signatures[0][0]] = entry
        for role in self.of("roles")[0][1].body["roles"]:
            own = [e for (name, _), e in latest.items() if name == role["name"]]
            decisions = [e.body["decision"] for e in own]
            must("reject" not in decisions, "review.rejected", role["name"])
            must(decisions.count("approve") >= role["quorum"], "review.quorum", role["name"])
            valid = [e for e in own if e.body["decision"] == "approve" and e.body["expires"] >= self.at]
            if len(valid) < role["quorum"]:
                self.found.due.append(("review.due", role["name"]))


def salted(rows: list[dict[str, Any]]) -> str:
    """Root over rows with their salts."""
    hashes = []
    for row in rows:
        content = {k: v for k, v in row.items() if k != "salt"}
        hashes.append(leaf(bytes.fromhex(row["salt"]) + written(content)))
    return tree(hashes).hex()


CONTENT = {"pair": ("text_a", "text_b"), "preference": ("chosen", "rejected")}


def identity(row: dict[str, Any]) -> tuple[str, str]:
    """Return id and lineage id of a record, made anew."""
    fields = CONTENT.get(row["kind"], ("messages",))
    lineage = {k: v for k, v in row["lineage"].items() if k != "time"}
    own = sha256(written({"kind": row["kind"], **{f: row[f] for f in fields}}))
    return own, sha256(written({"id": own, "lineage": lineage}))


def read_trust(path: Path) -> list[tuple[str, Key]]:
    """Read lines ROLE KEY; ValueError where a key is there twice."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    found = [(row[0], Key(row[1])) for row in rows if row and not row[0].startswith("#")]
    if not found or len({k.raw for _, k in found}) < len(found):
        raise ValueError("no key, or one twice")
    return found


def check_trust(log: Log, trust: list[tuple[str, Key]], run: str) -> None:
    """The keys in force, and those of the run's roles that reviewed, are those that the auditor trusts."""
    for role, key in log.keys.items():
        good = any(r == role and k.raw == key.raw for r, k in trust)
        log.found.must(good, f"trust.{role}", key.name)
    for entry in log.entries:
        if entry.kind == "review" and entry.body["run"] == run:
            good = any(r == entry.body["role"] and k.id == entry.signatures[0][0] for r, k in trust)
            log.found.must(good, "trust.reviewer", entry.body["role"])


def check_known(log: Log, known: Note) -> None:
    """The log begins with the one that the auditor saw before."""
    must = log.found.must
    if not must(known.origin == log.note.origin, "known.origin", known.origin):
        return
    keys = [Key(e.body["ledger"]) for e in log.entries[:1]]
    keys += [Key(e.body["new"]) for e in log.entries if e.kind == "key" and e.body["role"] == "ledger"]
    must(any(known.signed_by(k) for k in keys), "known.signature", known.origin)
    if must(known.size <= log.note.size, "known.rollback", f"{log.note.size} of {known.size} entries"):
        must(tree(log.leaves[: known.size]) == known.root, "known.fork", f"{known.size} entries")


def verify(folder: Path, trust: Path | None = None, known: Path | None = None, at: str = "") -> Found:
    """Check a bundle; ValueError or OSError where what the auditor brings cannot be read."""
    found = Found()
    keys = read_trust(trust) if trust else None
    seen = Note(known.read_bytes()) if known else None
    manifest = read_manifest(folder, found)
    ledger = read_ledger(folder / "ledger", found)
    if manifest is not None and ledger is not None:
        check_files(folder, manifest["files"], ledger[2], found)
    log = Log(ledger[0], ledger[1], found) if ledger else None
    if manifest is None or log is None or not log.readable:
        return found
    log.check()
    Claims(folder, manifest, log, at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")).check()
    if keys is not None:
        check_trust(log, keys, manifest["run"])
    if seen is not None:
        check_known(log, seen)
    return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Check the evidence of a trimtab bundle.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trust", type=Path, help="lines ROLE KEY, from outside the bundle")
    parser.add_argument("--known-checkpoint", type=Path, help="a checkpoint of this ledger seen before")
    parser.add_argument("--at", default="", help="when reviews must hold, such as 2026-01-31T00:00:00Z")
    arguments = parser.parse_args()
    if not arguments.bundle.is_dir() or (arguments.at and not re.fullmatch(TIME, arguments.at)):
        parser.error("BUNDLE must be a folder, and --at a time such as 2026-01-31T00:00:00Z")
    try:
        found = verify(arguments.bundle, arguments.trust, arguments.known_checkpoint, arguments.at)
    except (OSError, ValueError) as error:
        parser.error(f"--trust or --known-checkpoint cannot be read: {error}")
    lines = [f"{place} [{code}]" for code, place in [*found.failures, *found.due]]
    print(*(ascii(line)[1:-1] for line in lines + found.notes), sep="\n")
    if found.failures:
        print(f"evidence: {len(found.failures)} failures")
        return 1
    signer = "signers as trusted" if arguments.trust else "self-consistent, signer not authenticated"
    print(f"evidence: {'due' if found.due else 'holds'}; {signer}; figures were not recomputed")
    if not arguments.known_checkpoint:
        print("roll back and fork: not checked, for want of --known-checkpoint")
    return 3 if found.due or not arguments.trust else 0


if __name__ == "__main__":
    sys.exit(main())
