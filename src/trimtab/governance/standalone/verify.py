#!/usr/bin/env python3
"""Checks the evidence of a trimtab bundle with nothing but Python's standard library (3.11 or newer).

    python3 verify.py BUNDLE [--trust KEYS] [--known-checkpoint FILE] [--recalls FILE] [--at TIME]

Take this file from a release of the project, not from the bundle that it shall check. It checks files, signatures,
tree, order of statements, commitments, record ids, verdicts as stated, waivers and the quorum of reviews. Figures,
documents, witnesses and what model.sig says are checked by `trimtab verify` alone. See docs/evidence.md.
Exit code: 0 everything checked holds, 1 something does not, 2 usage, 3 no --trust, or a review or waiver is due.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FORM, FORMAT, STATEMENT = "%Y-%m-%dT%H:%M:%SZ", "trimtab-bundle-1", "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE, UNEVEN = "application/vnd.in-toto+json", "(?:[02468][1235679]|[13579][01345789])"
LARGEST, LONGEST = 2**53 - 1, 2**29  # whole number, and bytes of a file other than weights
DEEPEST, NESTED = 8, 99  # levels of folders in a bundle, and of lists and objects
Pair = tuple[str, str]
TIME = rf"(?!0000|.{{5}}02-3|.{{5}}(?:0[469]|11)-31|(?:..{UNEVEN}|{UNEVEN}00)-02-29)[0-9]{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"  # fmt: skip
NOTE = r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:— [^\n]+\n)+)"
NAME, PART = r"[A-Za-z0-9._/-]{1,100}", r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
PATH = rf"(?!bundle\.json$|model\.sig$|ledger(?:/|$)){PART}(?:/{PART})*"
# What each kind of statement says besides its time, and what records hold. A text has no mark; the marks are TYPES.
SCHEMA = """
ledger-opened ledger operator origin; roles demo? roles[] run; release demo? run waivers[]; bundle-key key run
run-started charter config model policy run split{} version; records records{} run stage; screen records{} run stage
training run stage; trim run stage; probe outcomes{} run stage; verdict gates{} outcome run; recall kind name reason
review answers{} comment decision expires role run seen{}; key new old reason role; revocation key reason
record id lineage_id kind mechanism cell source messages! chosen! rejected! text_a! text_b! lineage{}
lineage charter~ depth# generator~ operator~ parents* seed template~ time version
"""
TYPES = {"": str, "{}": dict, "[]": list, "?": bool, "#": int, "!": None, "~": (str, None), "*": [str]}
WORDS = [re.findall(r"([a-z_-]+)(\W*)(?: |$)", row) for row in re.split(r"[;\n] *", SCHEMA) if row]
FIELDS: Any = {row[0][0]: {name: TYPES[mark] for name, mark in row[1:]} for row in WORDS}
SOURCES, TURNS = ("human", "synthetic", "mixed", "unknown"), [{"content": str, "role": str}]
RECORD = FIELDS.pop("record") | {"lineage": FIELDS.pop("lineage"), "source": SOURCES}
CONTENT: dict[str, dict[str, Any]] = {"sft": {"messages": TURNS}, "document": {"messages": TURNS}}
CONTENT |= {"preference": {"chosen": TURNS, "rejected": TURNS}, "pair": {"text_a": str, "text_b": str}}
SUBJECT, FILE = {"digest": {"sha256": str}, "name": str}, {"sha256": str, "size": int}
STAGES = {"before": "probe", "records": "records", "screen": "screen", "train": "training", "trim": "trim", "after": "probe", "reattack": "probe"}  # fmt: skip
# What files a statement of a stage or kind has, those that must be there, and those that no statement has.
MORE = {"train": r"|(adapters|guard)/.+", "trim": r"|system\.json"}
PLACES = {name: rf"stages/0{n}_{name}/[^/]+" + MORE.get(name, "") for n, name in enumerate(STAGES, start=1)}
PLACES |= {"run-started": r"run\.json", "verdict": r"figures\.json", "roles": "", "bundle-key": ""}
OUTCOMES = [f"stages/{stage}/outcomes.jsonl" for stage in ("01_before", "06_after", "07_reattack")]
OUTCOME = {"attempt", "cluster", "item", "judge", "raw", "response", "split", "suite", "system", "value"}
SPLIT, WEIGHTS = "evidence/test-split.jsonl", ("adapters/", "guard/")
WRITTEN = r"(policy|charter|croissant)\.json|(README|VERIFY|TRAINING_CONTENT)\.md|verify\.py"
SCORED = ("pair", "preference", "choice", "text")  # they ask for likelihoods, which not all models give


class EvidenceError(ValueError): ...  # something does not hold: its code


def need(holds: Any, code: str) -> None:  # an EvidenceError, or a ValueError where it has no code
    if not holds:
        raise (EvidenceError if "." in code else ValueError)(code)


class Found:  # what was found: failures, what is due, and notes
    def __init__(self) -> None:
        self.failures, self.due, self.notes = list[Pair](), list[Pair](), list[str]()

    def must(self, holds: bool, code: str, place: str) -> bool:  # note a failure unless it holds
        if not holds and (code, place) not in self.failures:
            self.failures.append((code, place))
        return holds


P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
File = Path | None


def _add(a: Point, b: Point) -> Point:
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    for bit in f"{number:b}":
        total = _add(_add(total, total), point) if bit == "1" else _add(total, total)
    return total


def _decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    u, v = y * y - 1, D * y * y + 1
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    x = x * ROOT % P if (v * x * x - u) % P else x
    good = y < P and (v * x * x - u) % P == 0 and not (x == 0 and sign)
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x * y % P) if good else None


BASE = _decode(bytes([0x58]) + bytes([0x66]) * 31) or (0, 1, 1, 0)


def verifies(key: bytes, signature: bytes, data: bytes) -> bool:  # RFC 8032, 5.1.7
    point, s = _decode(key), int.from_bytes(signature[32:], "little")
    if point is None or len(signature) != 64 or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + data).digest(), "little") % ORDER
    x, y, z, _ = _add(_times(s, BASE), _times(h, (P - point[0], point[1], 1, P - point[3])))
    x, y = x * pow(z, P - 2, P) % P, y * pow(z, P - 2, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def unbase(text: Any) -> bytes:  # read canonical base64
    data = base64.b64decode(str(text), validate=True)
    need(base64.b64encode(data).decode() == text, "no base64, or spare bits")
    return data


def plain(value: Any, level: int = 0) -> bool:
    """Whether a value holds texts, whole numbers, truth values, null, lists and objects with ASCII keys only."""
    if isinstance(value, dict):
        return all(map(str.isascii, value)) and plain([*value.values()], level)
    if isinstance(value, list):
        return not (value and level == NESTED) and all(plain(v, level + 1) for v in value)
    return isinstance(value, str) or value is None or (isinstance(value, int) and abs(value) <= LARGEST)


def strict(data: bytes) -> Any:  # JSON that all readers see alike: UTF-8, no key twice, no NaN
    objects: Any = []
    value = json.loads(data.decode("utf-8"), object_pairs_hook=lambda p: [dict(p), objects.append(p)][0])
    need(all(len(dict(pairs)) == len(pairs) for pairs in objects), "a key is there twice")
    json.dumps(value, allow_nan=False)
    return value


def fits(v: Any, form: Any) -> bool:  # an object or list of forms, one of forms, of a type, or this value
    if isinstance(form, dict):
        return type(v) is dict and v.keys() == form.keys() and all(fits(v[k], form[k]) for k in form)
    if isinstance(form, list):
        return type(v) is list and all(fits(row, form[0]) for row in v)
    return any(fits(v, one) for one in form) if isinstance(form, tuple) else form in (v, type(v), object)


def written(value: Any) -> bytes:  # write plain JSON in its only form
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def canonical(data: bytes, code: str = "claims.malformed", form: Any = object) -> Any:
    """Read JSON in its only form (RFC 8785) without fractions, of one form or of any."""
    try:
        value = json.loads(data.decode("utf-8"))
        good = plain(value) and written(value) == data
    except (RecursionError, ValueError):
        good = False
    need(good and fits(value, form), code)
    return value


class Key:  # a public key as C2SP writes it: NAME+HASH+BASE64(0x01, key), a witness's with 0x04
    def __init__(self, text: str, kind: int = 1) -> None:
        self.name, hashed, key = [*text.split("+", 2), "", ""][:3]
        data = unbase(key)
        self.raw, self.id = data[1:], hashlib.sha256(data[1:]).hexdigest()
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        need(re.fullmatch(NAME, self.name) and len(data) == 33 and data[0] == kind, "not a key")
        y = int.from_bytes(self.raw, "little")
        need(y % 2**255 < P and y - 2**255 not in (1, P - 1) and self.hash.hex() == hashed, "not a key")


class Note:  # a signed checkpoint (C2SP tlog-checkpoint, signed-note)
    def __init__(self, data: bytes) -> None:
        m: Any = re.fullmatch(NOTE, data.decode("utf-8"))
        need(m and re.fullmatch(NAME, m[1]) and int(m[2]) <= LARGEST, "not a checkpoint")
        self.origin, self.size, self.root = m[1], int(m[2]), unbase(m[3])
        self.text, self.lines = f"{m[1]}\n{m[2]}\n{m[3]}\n".encode(), list[tuple[str, bytes, bytes]]()
        for _, name, *rest in [line.split(" ") for line in m[4][:-1].split("\n")]:
            signature = unbase("".join(rest[:1]))
            need(re.fullmatch(NAME, name) and len(signature) in (68, 76) and len(rest) == 1, "no signature")
            self.lines.append((name, signature[:4], signature[4:]))
        need(len(self.root) == 32 and len({n[:2] for n in self.lines}) == len(self.lines), "not a checkpoint")

    def signed_by(self, key: Key) -> bool:  # whether this key signed it
        own = [s for name, hashed, s in self.lines if (name, hashed) == (key.name, key.hash)]
        return bool(own) and all(verifies(key.raw, s, self.text) for s in own)


class Entry:  # an in-toto statement in a DSSE envelope
    def __init__(self, data: bytes) -> None:
        form = {"payload": str, "payloadType": object, "signatures": [{"keyid": str, "sig": str}]}
        envelope = canonical(data, "entry.malformed", form)
        need(envelope["payloadType"] == PAYLOAD_TYPE, "entry.payload-type")
        payload = unbase(envelope["payload"])
        self.signatures = [(row["keyid"], unbase(row["sig"])) for row in envelope["signatures"]]
        need(self.signatures, "entry.unsigned")
        need(len(dict(self.signatures)) == len(self.signatures), "entry.duplicate-key")
        self.signed = b"DSSEv1 28 %b %d %b" % (PAYLOAD_TYPE.encode(), len(payload), payload)
        value = canonical(payload, "entry.malformed")
        form = {"_type": STATEMENT, "predicate": dict, "predicateType": str, "subject": [SUBJECT]}
        need(fits(value, form), "entry.statement")
        name, self.body = value["predicateType"], value["predicate"]
        self.kind = name.removeprefix("urn:trimtab:").removesuffix(":v1")
        good = name == f"urn:trimtab:{self.kind}:v1" and self.kind in FIELDS
        need(good and fits(self.body, {**FIELDS[self.kind], "time": str}), "entry.statement")
        self.subjects = {row["name"]: row["digest"]["sha256"] for row in value["subject"]}
        good = [row["name"] for row in value["subject"]] == sorted(self.subjects)
        good = good and all(re.fullmatch(r"[0-9a-f]{64}", d) for d in self.subjects.values())
        need(good and re.fullmatch(TIME, self.body["time"]), "entry.statement")


def leaf(data: bytes) -> bytes:  # hash of a leaf
    return hashlib.sha256(b"\0" + data).digest()


def tree(hashes: list[bytes]) -> bytes:
    """Root over leaf hashes: the left half holds the largest power of two that leaves a right one (RFC 6962)."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    left = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(hashes[:left]) + tree(hashes[left:])).digest()


def tile_name(level: str, index: int, width: int) -> str:  # path of a tile
    path, rest = f"{index % 1000:03d}", index // 1000
    while rest:
        path, rest = f"x{rest % 1000:03d}/{path}", rest // 1000
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
            same = (folder / name).is_file() and (folder / name).read_bytes() == b"".join(part)
            found.must(same, "ledger.tile", f"ledger/{name}")
        level, whole = level + 1, range(0, len(hashes) // 256 * 256, 256)
        hashes = [tree(hashes[i : i + 256]) for i in whole]
    found.must(tree([leaf(e) for e in entries]) == note.root, "ledger.root", "ledger/checkpoint")
    return note, entries, names


def cut(path: Path) -> list[bytes] | None:  # a tile of entries, each after its length in two bytes
    data = path.read_bytes() if path.is_file() else b"?"
    entries, at = list[bytes](), 0
    while at < len(data) and len(entries) <= 256:  # one more than a tile holds, and it is none
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            return None
        entries.append(data[at + 2 : end])
        at = end
    return entries


def walk(folder: Path) -> dict[str, os.DirEntry[str]]:  # no link is followed; one level more than is allowed
    found = level = {e.name: e for e in os.scandir(folder)}
    for _ in range(DEEPEST):
        above = [(name, e) for name, e in level.items() if e.is_dir(follow_symlinks=False)]
        level = {f"{name}/{e.name}": e for name, inner in above for e in os.scandir(inner)}
        found |= level
    return found


def read_manifest(folder: Path, found: Found) -> dict[str, Any] | None:  # None where it is not one
    try:
        data = (folder / "bundle.json").read_bytes()
        value = canonical(data, "bundle.manifest", {"demo": bool, "files": dict, "format": str, "run": str})
        good = all(re.fullmatch(PATH, name) and fits(row, FILE) for name, row in value["files"].items())
        good = good and len({name.lower() for name in value["files"]}) == len(value["files"])
    except (OSError, EvidenceError):
        good = False
    if not found.must(good, "bundle.manifest", "bundle.json"):
        return None
    return value if found.must(value["format"] == FORMAT, "bundle.format", "bundle.json") else None


def check_files(folder: Path, files: dict[str, Any], ledger: set[str], found: Found) -> None:
    """Compare what is there with what the manifest and the ledger say."""
    expected = {*files, "bundle.json", "model.sig", *(f"ledger/{n}" for n in ledger)}
    there = {name for name, entry in walk(folder).items() if not entry.is_dir()}
    found.failures += [("bundle.unlisted", name) for name in sorted(there - expected)]
    for name, row in sorted(files.items()):
        path = folder / name
        safe = not name.startswith(WEIGHTS) or name.endswith((".json", ".safetensors"))
        found.must(safe, "bundle.unsafe", name)
        if found.must(name in there, "bundle.missing", name):
            same = path.stat().st_size == row["size"]  # or a sparse file would be read to its end
            with path.open("rb") as file:
                same = same and hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]
            found.must(same, "bundle.changed", name)


class Log:  # a ledger whose entries can be read, and the keys in force at its end (governance/ledger/keyring.py)
    def __init__(self, note: Note, raw: list[bytes], found: Found) -> None:
        self.note, self.found, self.leaves = note, found, [leaf(r) for r in raw]
        self.entries, self.roles, self.person = list[Entry](), dict[Pair, list[Key]](), dict[str, str]()
        self.gone = self.revoked = frozenset[str]()
        for index, data in enumerate(raw):
            try:
                self.entries.append(Entry(data))
            except ValueError as error:
                code = str(error) if isinstance(error, EvidenceError) else "entry.malformed"
                found.must(False, code, f"entry {index}")
        self.readable = len(self.entries) == len(raw) and self._open()

    def _open(self) -> bool:
        try:
            body = self.entries[0].body
            self.keys = {"operator": Key(body["operator"]), "ledger": Key(body["ledger"])}
            self.ever = list(self.keys.items())
            good = body["origin"] == self.note.origin == self.keys["ledger"].name
            good = good and [e.kind for e in self.entries].count("ledger-opened") == 1
        except (IndexError, KeyError, ValueError):
            good = False
        return self.found.must(good, "ledger.opening", "entry 0")

    def check(self) -> None:  # check the clock and the signers of each entry, and of the checkpoint
        last = ""
        for index, entry in enumerate(self.entries):
            place = f"entry {index}"
            self.found.must(entry.body["time"] >= last, "ledger.clock", place)
            last = entry.body["time"]
            try:
                keys = {k.id: k for k in self._signers(entry)}
                need({k for k, _ in entry.signatures} == set(keys), "entry.signer")
                good = all(verifies(keys[k].raw, s, entry.signed) for k, s in entry.signatures)
                need(good, "entry.signature")
                self._learn(entry.kind, entry.body)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                code = str(error) if isinstance(error, EvidenceError) else "entry.statement"
                self.found.must(False, code, place)
        signed = len(self.note.lines) == 1 and self.note.signed_by(self.keys["ledger"])
        self.found.must(signed, "ledger.signature", "ledger/checkpoint")

    def _signers(self, entry: Entry) -> list[Key]:
        body = entry.body
        if entry.kind == "review":
            held = self.roles.get((body["run"], body["role"]), [])
            return [k for k in held if k.id in dict(entry.signatures) and k.id not in self.gone][:1]
        own, reviewers = {k.id for k in self.keys.values()}, [k for ks in self.roles.values() for k in ks]
        new, signer = [Key(body["new"])] if entry.kind == "key" else [], [self.keys["operator"]]
        free = bool(new) and new[0].id not in own | self.gone | {k.id for k in reviewers}
        if new and body["role"] == "reviewer":
            signer = [k for k in reviewers if k.id == body["old"] and k.id not in self.gone][:1]
            need(signer and free, "entry.signer")
        elif new:
            need(body["old"] == self.keys[body["role"]].id and free, "entry.signer")
        need(entry.kind != "revocation" or body["key"] not in own, "entry.signer")
        return signer + new

    def _learn(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "roles":
            self.roles |= {(body["run"], r["name"]): [Key(k) for k in r["keys"]] for r in body["roles"]}
        elif kind == "key" and body["role"] == "reviewer":
            new, old = Key(body["new"]), body["old"]
            self.roles = {r: [new if k.id == old else k for k in ks] for r, ks in self.roles.items()}
            self.person[new.id], self.gone = self.person.get(old, old), self.gone | {old}
        elif kind == "key":
            self.gone, self.keys[body["role"]] = self.gone | {body["old"]}, Key(body["new"])
            self.ever.append((body["role"], self.keys[body["role"]]))
        elif kind == "revocation":
            self.gone, self.revoked = self.gone | {body["key"]}, self.revoked | {body["key"]}


class Claims:  # the statements of one run, and whether the bundle is what they say
    def __init__(self, folder: Path, manifest: dict[str, Any], log: Log, at: str) -> None:
        self.folder, self.files, self.demo = folder, manifest["files"], manifest["demo"]
        self.run, self.log, self.found, self.at = manifest["run"], log, log.found, at
        self.subjects = {"bundle.json": hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()}
        self.own = [(i, e) for i, e in enumerate(log.entries) if e.body.get("run") == self.run]
        runs = {e.body.get("run", self.run): "no verdict" for e in log.entries}
        runs |= {e.body["run"]: e.body["outcome"] for e in log.entries if e.kind == "verdict"}
        told = Counter(came_to for run, came_to in runs.items() if run != self.run)
        others = ", ".join(f"{n} {came_to}" for came_to, n in sorted(told.items())) or "none"
        self.found.notes.append(f"other runs in this ledger: {others}")
        self.found.notes += ["a trial: its maker holds the keys of all reviewers"] * self.demo
        self.released = [(i, e) for i, e in self.of("release") if e.subjects == self.subjects][-1:]

    def of(self, kind: str) -> list[tuple[int, Entry]]:  # return index and entry of one kind
        return [(i, e) for i, e in self.own if e.kind == kind]

    def check(self) -> None:
        """Check everything; a statement that is not shaped as it must be is a failure of its own."""
        for part in ("order", "stages", "terms", "split", "records", "system", "verdict", "reviews"):
            try:
                getattr(self, part)()
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError, RuntimeError):
                self.found.must(False, "claims.malformed", part)

    def order(self) -> None:  # the run states its terms once and first; roles come before training
        must, started, roles = self.found.must, self.of("run-started"), self.of("roles")
        there, named = (self.folder / "model.sig").is_file(), bool(self.of("bundle-key"))
        must(there == named, "model-signature.missing" if named else "model-signature.key", "model.sig")
        if must(len(started) == 1, "run.not-started", self.run):
            must(self.own[0][0] == started[0][0], "run.order", self.run)
        if must(len(roles) == 1, "roles.missing", self.run):
            (index, entry), rows = roles[0], roles[0][1].body["roles"]
            good = all(1 <= r["quorum"] <= len(r["keys"]) and 1 <= r["days"] <= 3650 for r in rows)
            must(good and 0 < len({r["name"] for r in rows}) == len(rows), "roles.missing", self.run)
            must(entry.body["demo"] == self.demo, "release.demo", self.run)
            must(self.demo or all(index < i for i, _ in self.of("training")), "roles.late", f"entry {index}")
            keys = [k.raw for k in (*self.log.keys.values(), *(Key(k) for r in rows for k in r["keys"]))]
            must(len(set(keys)) == len(keys), "roles.key-twice", f"entry {index}")
        if must(len(self.released) == 1, "release.missing", self.run):
            must(self.released[0][1].body["demo"] == self.demo, "release.demo", self.run)

    def stages(self) -> None:
        """Every stage is stated once, in order, its files are in the bundle as stated, and no others are."""
        must, stated, last = self.found.must, {SPLIT}, -1
        for name, kind in [*STAGES.items(), ("verdict", "verdict")]:
            found = [i for i, e in self.of(kind) if e.body.get("stage", "verdict") == name]
            if must(len(found) > 0, "stage.missing", name) and must(len(found) == 1, "stage.repeated", name):
                must(found[0] > last, "stage.order", name)
                last = max(last, found[0])
        for entry in [e for _, e in self.own if e.kind not in ("release", "review")]:
            step = entry.body.get("stage", entry.kind)
            must(step in PLACES and STAGES.get(step, step) == entry.kind, "stage.unknown", step)
            for name, digest in entry.subjects.items():
                must(bool(re.fullmatch(PLACES.get(step, ""), name)), "stage.place", name)
                left_out = entry.kind in ("records", "screen") and name not in self.files
                if not left_out and must(name in self.files, "stage.absent", name):
                    must(self.files[name]["sha256"] == digest, "stage.changed", name)
                stated.add(name)
        for mechanism in [m for _, e in self.of("screen") for m in e.body["records"]]:
            stated |= {f"records/{mechanism}.jsonl", f"evidence/screen-{mechanism}.jsonl"}
        for name in [*self.files, *OUTCOMES, "run.json", "system.json", "figures.json"]:
            must(name in stated or bool(re.fullmatch(WRITTEN, name)), "stage.unstated", name)

    def terms(self) -> None:  # policy and charter are those that the run started with
        must, body = self.found.must, self.of("run-started")[0][1].body
        for key in ("policy", "charter"):
            same = self.files.get(f"{key}.json", {}).get("sha256") == body[key]
            must(same, f"{key}.changed", f"{key}.json")
        told = {n: strict((self.folder / n).read_bytes()) for n in self.files if n.endswith(".json")}
        self.told, about = told, told["run.json"]
        named = [about["config"]["gates"], about["config_digest"], about["charter_digest"], about["version"]]
        stated = [told["policy.json"], body["config"], body["charter"], body["version"]]
        must(named == stated, "run.changed", "run.json")
        for row, v in [(r, v) for r in told["charter.json"]["principle"] for v in r.get("dissent", ())]:
            why = f"{v['disagreed']} of {v['seen']} in group {v['group']} disagreed"
            self.found.notes.append(f"dissent on {row['id']}: {why}")

    def split(self) -> None:
        """The outcomes are of all the cases that were committed to before training, and of no others."""
        must, body, rows = self.found.must, self.of("run-started")[0][1].body["split"], self.lines(SPLIT)
        must((salted(rows), len(rows)) == (body["root"], body["cases"]), "split.root", SPLIT)
        known = {(row["suite"], row["item"]): row["cluster"] for row in rows}
        absent, measured = list[Pair](), set[str]()
        for _, entry in self.of("probe"):
            again = entry.body["stage"] == "reattack"
            for name in [n for n in entry.subjects if n.endswith(".jsonl")]:
                outcomes = self.lines(name, strict)
                need(all(o.keys() == OUTCOME and type(o["raw"]) is dict for o in outcomes), "no outcomes")
                must(entry.body["outcomes"].get(Path(name).stem) == len(outcomes), "outcomes.count", name)
                items = {("reattack" if again else o["suite"], o["item"]): o["cluster"] for o in outcomes}
                must(len(items) == len(outcomes), "split.repeated", name)
                must(items.keys() <= known.keys(), "split.unknown", name)
                must(all(known.get(i, c) == c for i, c in items.items()), "split.cluster", name)
                suites = {s for s, _ in items}
                missing = [s for s, i in known.keys() - items.keys() if (s == "reattack") == again]
                must(not suites.intersection(missing), "split.incomplete", name)
                absent += [(name, s) for s in {*missing} - suites]
                measured |= suites
        for name, suite in absent:
            must(suite.startswith(SCORED) and suite not in measured, "split.absent", name)

    def lines(self, name: str, read: Any = canonical) -> list[Any]:  # listed, and each with its end
        *rows, rest = (self.folder / name).read_bytes().split(b"\n")
        need(name in self.files and not rest, f"not lines: {name}")
        return [read(row) for row in rows]

    def records(self) -> None:  # the records are those that the screen kept, by id and lineage
        must = self.found.must
        for mechanism, stated in self.of("screen")[0][1].body["records"].items():
            name, opening = f"records/{mechanism}.jsonl", f"evidence/screen-{mechanism}.jsonl"
            rows, opened = self.lines(name), self.lines(opening)
            must(len(rows) == stated["count"], "records.count", name)
            must(salted(opened) == stated["root"], "records.root", opening)
            ids = [(row["id"], row["lineage_id"]) for row in rows]
            must(ids == [(row["id"], row["lineage_id"]) for row in opened], "records.root", name)
            must(ids == [identity(row) for row in rows], "records.id", name)
            whole = [hashlib.sha256(written(row)).hexdigest() for row in rows]
            must([o.get("row", d) for o, d in zip(opened, whole, strict=False)] == whole, "records.row", name)
            told = [f"{name}: source and cell of a record are as told, not committed to"]
            self.found.notes += told * (not all("row" in o for o in opened))

    def part(self, start: str) -> str:  # digest of the files whose names begin so, "" of none
        names = [name for name in sorted(self.files) if name.startswith(start)]
        rows = [f"{self.files[name]['sha256']}  {Path(name).name}" for name in names]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest() if rows else ""

    def system(self) -> None:
        """The system is on the run's model, its parts are there, and each adapter learned from records that were kept."""
        must, system = self.found.must, self.told["system.json"]
        base, kept = (self.of(k)[0][1].body[n] for k, n in (("run-started", "model"), ("screen", "records")))
        must(system["base_digest"] == base, "system.base", "system.json")
        there = {name.split("/")[1] for name in self.files if name.startswith("adapters/")}
        for name in there | {f"trimtab_{m}" for m, _ in system["strengths"].items()}:
            part, own = name.removeprefix("trimtab_"), self.part(f"adapters/{name}/adapter_")
            same = own != "" and (part not in system["strengths"] or system["digests"].get(part) == own)
            must(same and kept.get(part, {"count": 0})["count"] > 0, "system.parts", name)
        own, tuned = self.part("guard/guard."), self.part("guard/encoder/adapter_")
        own = hashlib.sha256(written([own, tuned])).hexdigest() if tuned else own
        must(not system["guard"] or system["digests"].get("guard") == own != "", "system.parts", "guard")

    def verdict(self) -> None:
        """The verdict is that of the figures; a gate that did not pass was waived with reason, owner and expiry."""
        must, body = self.found.must, self.of("verdict")[0][1].body
        told, gates = self.told["figures.json"], self.told["policy.json"]
        stated = {v["gate"]["figure"]: v["outcome"] for v in told["verdicts"]}
        must((stated, told["outcome"]) == (body["gates"], body["outcome"]), "verdict.changed", "figures.json")
        same = [v["gate"] for v in told["verdicts"]] == gates and len(stated) == len(gates)
        must(same, "verdict.gates", "figures.json")
        must(any(g["required"] for g in gates), "gate.none", "policy.json")
        waived = {w["gate"]: w for _, e in self.released[:1] for w in e.body["waivers"]}
        open_gates = [g["figure"] for g in gates if g["required"] and stated.get(g["figure"]) != "pass"]
        for name in [g for g in open_gates if self.released and must(g in waived, "gate.not-passed", g)]:
            why, owner, expires = (waived[name][k] for k in ("reason", "owner", "expires"))
            must(bool(why.strip() and owner.strip() and re.fullmatch(TIME, expires)), "waiver.empty", name)
            self.found.notes.append(f"waived: {name} {stated.get(name)}, by {owner} until {expires}: {why}")
            self.found.due += [("waiver.due", name)] * (expires < self.at)

    def reviews(self) -> None:
        """Each role has its quorum of approvals, none by a revoked key; nobody's last word is a rejection."""
        must, latest, last = self.found.must, dict[Pair, Entry](), dict[Pair, Entry]()
        stop = self.released[0][0] if self.released else len(self.log.entries)
        roles = {role["name"]: role for role in self.of("roles")[0][1].body["roles"]}
        for index, entry in [(i, e) for i, e in self.of("review") if i < stop]:
            review, place, signer = entry.body, f"entry {index}", entry.signatures[0][0]
            role, seen = roles[review["role"]], review["seen"]
            last[who := (review["role"], self.log.person.get(signer, signer))] = entry
            if entry.subjects != self.subjects:
                continue
            good = tree(self.log.leaves[: seen["size"]]).hex() == seen["root"] and 0 < seen["size"] <= index
            must(good, "review.seen", place)
            end = datetime.fromisoformat(review["time"]) + timedelta(days=role["days"])
            good = re.fullmatch(TIME, review["expires"]) and review["expires"] <= end.strftime(FORM)
            must(bool(good), "review.expires", place)
            open_ = [q for q in role["questions"] if not str(review["answers"].get(q, "")).strip()]
            must(not open_, "review.answers", place)
            latest[who] = entry
        for role in roles.values():
            given = [e for (name, _), e in latest.items() if name == role["name"]]
            words = [e.body["decision"] for e in [*given, *last.values()] if e.body["role"] == role["name"]]
            must("reject" not in words, "review.rejected", role["name"])
            yes = [e for e in given if e.body["decision"] == "approve"]
            yes = [e for e in yes if e.signatures[0][0] not in self.log.revoked]
            must(len(yes) >= role["quorum"], "review.quorum", role["name"])
            lacking = sum(e.body["time"] <= self.at <= e.body["expires"] for e in yes) < role["quorum"]
            self.found.due += [("review.due", role["name"])] * lacking


def salted(rows: list[dict[str, Any]]) -> str:  # root over rows with their salts
    return tree([leaf(bytes.fromhex(r.pop("salt")) + written(r)) for r in map(dict, rows)]).hex()


def identity(row: dict[str, Any]) -> tuple[str, str]:  # id and lineage id of a record, made anew
    kind, forms = row["kind"], CONTENT[row["kind"]]
    need(fits(row, RECORD | forms | {"kind": kind}) and all(row[field] for field in forms), "not a record")
    lineage = {k: v for k, v in row["lineage"].items() if k != "time"}
    need(re.fullmatch("-?[0-9]+", lineage["seed"]) and lineage["depth"] >= 0, "not a record")
    own = hashlib.sha256(written({"kind": kind, **{field: row[field] for field in forms}})).hexdigest()
    return own, hashlib.sha256(written({"id": own, "lineage": lineage})).hexdigest()


def read_trust(path: Path) -> list[tuple[str, Key]]:  # lines ROLE KEY, no key in two roles
    rows = [r for r in map(str.split, path.read_text("utf-8").splitlines()) if r and r[0][0] != "#"]
    need(all(len(row) == 2 for row in rows), "a line is not ROLE KEY")
    keys = [(role, Key(key, 4 if role == "witness" else 1)) for role, key in rows]
    found = [row for row in keys if row[0] != "witness"]
    once = len({(role, key.raw) for role, key in found}) == len({key.raw for _, key in found})
    need(found and once, "no key, or one in two roles")
    return found


def check_brought(log: Log, trust: list[tuple[str, Key]], known: Note | None, run: str) -> None:
    """Keys in force, and those that reviewed the run, are trusted; the log begins with the one that is known."""
    must, held = log.found.must, {(role, key.id) for role, key in trust}
    for role, key in log.keys.items() if trust else ():
        must((role, key.id) in held, f"trust.{role}", key.name)
    for e in [e for e in log.entries if trust and e.kind == "review" and e.body["run"] == run]:
        must((e.body["role"], e.signatures[0][0]) in held, "trust.reviewer", e.body["role"])
    if known and must(known.origin == log.note.origin, "known.origin", known.origin):
        must(any(known.signed_by(k) for r, k in log.ever if r == "ledger"), "known.signature", known.origin)
        if must(known.size <= log.note.size, "known.rollback", f"{log.note.size} of {known.size} entries"):
            must(tree(log.leaves[: known.size]) == known.root, "known.fork", f"{known.size} entries")


def read_recalls(path: Path) -> list[Entry]:  # lines that are recalls and revocations
    *lines, rest = path.read_bytes().split(b"\n")
    entries = [Entry(line) for line in lines]
    need(not rest and all(e.kind in ("recall", "revocation") for e in entries), "not recalls")
    return entries


def check_recalls(claims: Claims, brought: list[Entry], trust: list[tuple[str, Key]]) -> None:
    """Nothing of the bundle is recalled, in its own ledger or by entries that the auditor brings."""
    must, log = claims.found.must, claims.log
    operators = {key.id: key.raw for role, key in log.ever + trust if role == "operator"}
    for number, entry in enumerate(brought, start=1):
        (signer, signature), *more = entry.signatures
        good = not more and signer in operators and verifies(operators[signer], signature, entry.signed)
        must(good, "recalls.signer", f"recall {number}")
    rows = [row for name in claims.files if name.startswith("records/") for row in claims.lines(name)]
    names = {digest for _, e in claims.own for digest in e.subjects.values()}
    names |= {f["sha256"] for f in claims.files.values()}
    names |= {n for r in rows for n in (r["id"], r["lineage"]["generator"], *r["lineage"]["parents"])}
    for entry in [*(e for e in log.entries if e.kind == "recall"), *brought]:
        if entry.kind == "recall":
            reached = names & {entry.body["name"], *entry.subjects.values()}
            must(not reached, "recalled", f"{entry.body['kind']} {entry.body['name'][:16]}")
        for _, review in claims.of("review") if entry.kind == "revocation" else []:
            must(review.signatures[0][0] != entry.body["key"], "key.revoked", review.body["role"])


def verify(folder: Path, trust: File = None, known: File = None, at: str = "", recalls: File = None) -> Found:
    """Check a bundle; ValueError or OSError where what the auditor brings cannot be read."""
    found, brought = Found(), read_recalls(recalls) if recalls else []
    keys, seen = read_trust(trust) if trust else [], Note(known.read_bytes()) if known else None
    for name, entry in walk(folder).items():  # what else there is could lead out of the folder, or never end
        good = found.must(not entry.is_symlink() and (entry.is_file() or entry.is_dir()), "bundle.link", name)
        found.must(name.count("/") < DEEPEST, "bundle.deep", name)
        small = not good or name.endswith(".safetensors") or entry.stat().st_size <= LONGEST
        found.must(small, "bundle.large", name)
    if found.failures:
        return found
    manifest, ledger = read_manifest(folder, found), read_ledger(folder / "ledger", found)
    if manifest is not None and ledger is not None:
        check_files(folder, manifest["files"], ledger[2], found)
    log = Log(ledger[0], ledger[1], found) if ledger else None
    if manifest is None or log is None or not log.readable:
        return found
    log.check()
    claims = Claims(folder, manifest, log, at or datetime.now(UTC).strftime(FORM))
    claims.check()
    check_brought(log, keys, seen, manifest["run"])
    if not found.failures:
        check_recalls(claims, brought, keys)
    return found


def main() -> int:  # run the command line
    parser = argparse.ArgumentParser(description="Check the evidence of a trimtab bundle.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trust", type=Path, help="lines ROLE KEY, from outside the bundle")
    parser.add_argument("--known-checkpoint", type=Path, help="a checkpoint of this ledger seen before")
    parser.add_argument("--recalls", type=Path, help="a file that trimtab recall wrote")
    parser.add_argument("--at", default="", help="when reviews must hold, such as 2026-01-31T00:00:00Z")
    a = parser.parse_args()
    if not a.bundle.is_dir() or (a.at and not re.fullmatch(TIME, a.at)):
        parser.error("BUNDLE must be a folder, and --at a time such as 2026-01-31T00:00:00Z")
    try:
        found = verify(a.bundle, a.trust, a.known_checkpoint, a.at, a.recalls)
    except (OSError, ValueError) as error:
        parser.error(f"what was named cannot be read: {error}")
    for line in [*(f"{place} [{code}]" for code, place in found.failures + found.due), *found.notes]:
        print(ascii(line)[1:-1])
    if found.failures:
        print(f"evidence: {len(found.failures)} failures")
        return 1
    signer = "signers as trusted" if a.trust else "self-consistent, signer not authenticated"
    fork = "" if a.known_checkpoint else "; roll back and fork not checked, for want of --known-checkpoint"
    rest = f"figures, documents, witnesses and what model.sig says were not checked{fork}"
    print(f"evidence: {'due' if found.due else 'holds'}; {signer}; {rest}")
    return 3 if found.due or not a.trust else 0


if __name__ == "__main__":
    sys.exit(main())
