"""A bundle is verified by two implementations that agree; every way to change one has a code of its own."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.errors import ConfigError, InputError, TrimtabError
from trimtab.governance.commitment import commit, salted_root
from trimtab.governance.exports.documents import documents
from trimtab.governance.figures import figures_and_verdicts
from trimtab.governance.keys import load_key, read_trust
from trimtab.governance.ledger.envelope import Statement, canonical, is_time, open_entry, seal
from trimtab.governance.ledger.ledger import open_ledger
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import Checkpoint, PublicKey, SecretKey, parse_key, sign_checkpoint
from trimtab.governance.ledger.tiles import new_tiles, tile_path
from trimtab.governance.ledger.tree import leaf_hash, root
from trimtab.governance.policy import Gate
from trimtab.governance.release import release
from trimtab.governance.review import Opinion, review
from trimtab.governance.roles import Role
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify import claims, files, log
from trimtab.governance.verify.log import check_log, read_log
from trimtab.governance.verify.report import Report
from trimtab.governance.verify.verify import Outside, read_known, verify
from trimtab.governance.waiver import Waiver
from trimtab.probes.outcome import Outcome, read_outcomes
from trimtab.records.read import read_records
from trimtab.records.write import write_records
from trimtab.run.directory import RunDirectory

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun

# make verify-all: every log, and every bit; with a number every so many bits.
EVERY = int(os.environ.get("TRIMTAB_VERIFY_ALL", "0"))
ALL = bool(EVERY)
YES = Opinion("approve", "I read forty answers.", {"Did you read answers?": "Forty."})
LATER = "2036-01-01T00:00:00Z"
GATES = ("attack_success", "refusal_twins", "refusal_ordinary", "broken", "pair_gap", "gap_reversal", "preference_accuracy", "preference_matched", "nll_per_token")  # fmt: skip
WAIVERS = [Waiver(g, "a fake model", "A. Owner", LATER) for g in GATES]


class Made(NamedTuple):
    """A run, its bundle, and the file of keys that an auditor got from their holders."""

    run: Path
    bundle: Path
    trust: Path


def roles() -> tuple[Role, ...]:
    safety = [str(load_key(name, make=True).public) for name in ("alice", "bob")]
    legal = str(load_key("carol", make=True).public)
    return (
        Role(name="safety", quorum=2, days=100, keys=tuple(safety), questions=("Did you read answers?",)),
        Role(name="legal", days=200, keys=(legal,)),
    )


def sign_all(run: Path) -> None:
    for role, key in (("safety", "alice"), ("safety", "bob"), ("legal", "carol")):
        opinion = YES if role == "safety" else Opinion("approve", "Fine.", {})
        review(run, role, load_key(key), opinion)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, finished_run: FinishedRun) -> Made:
    root = tmp_path_factory.mktemp("made")
    run = finished_run(root / "runs", roles())
    sign_all(run)
    report = release(run, root / "bundle", WAIVERS, sign=False)
    assert not report.failures
    trust = root / "keys.txt"
    lines = [f"{role} {load_key(name).public}" for role, name in (("operator", "operator"), ("ledger", "ledger"), ("safety", "alice"), ("safety", "bob"), ("legal", "carol"))]  # fmt: skip
    trust.write_text("# from their holders\n" + "\n".join(lines) + "\n")
    return Made(run, root / "bundle", trust)


@pytest.fixture
def bundle(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.bundle, tmp_path / "bundle"))


def both(bundle: Path, *, trust: Path | None = None, known: Path | None = None, at: str = "") -> set[str]:
    """Return the codes that both implementations give; figures and documents are made anew by one of them only."""
    outside = Outside(read_trust(trust) if trust else None, read_known(known) if known else None, at)
    report = verify(bundle, outside)
    found = script.verify(bundle, trust, known, at)
    assert {code for code, _ in found.failures} == report.codes - {"figure.differs", "document.differs"}
    assert {code for code, _ in found.due} == {f.code for f in report.due}
    return report.codes


# --- Tampering inside a bundle ----------------------------------------------------------------------------------


def test_a_released_bundle_holds(made: Made) -> None:
    assert both(made.bundle) == both(made.bundle, trust=made.trust) == set()
    assert verify(made.bundle).exit_code == 3
    assert verify(made.bundle, Outside(read_trust(made.trust))).exit_code == 0
    known = made.bundle / "ledger/checkpoint"
    assert both(made.bundle, trust=made.trust, known=known) == set()


def edit(bundle: Path, name: str, old: bytes, new: bytes) -> None:
    data = (bundle / name).read_bytes()
    assert old in data
    (bundle / name).write_bytes(data.replace(old, new, 1))


def relist(bundle: Path, **changes: Any) -> None:
    """Write the manifest anew, as one would who changes files and wants it to fit."""
    manifest = {**json.loads((bundle / "bundle.json").read_bytes()), **changes}
    for name in manifest["files"]:
        data = (bundle / name).read_bytes()
        manifest["files"][name] = {"sha256": sha256(data).hexdigest(), "size": len(data)}
    (bundle / "bundle.json").write_bytes(rfc8785.dumps(manifest))


def edited(name: str, old: bytes, new: bytes, *, listed: bool = False) -> Callable[[Path], Any]:
    """Return what edits a file, and lists it anew if `listed`."""

    def change(bundle: Path) -> None:
        edit(bundle, name, old, new)
        if listed:
            relist(bundle)

    return change


def replaced(name: str, data: bytes) -> Callable[[Path], Any]:
    """Return what replaces a file and lists it anew."""

    def change(bundle: Path) -> None:
        (bundle / name).write_bytes(data)
        relist(bundle)

    return change


def outcomes(bundle: Path) -> Path:
    return bundle / "stages/06_after/outcomes.jsonl"


def other(name: str = "x", seed: int = 9) -> SecretKey:
    secret = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return SecretKey(PublicKey(name, secret.public_key().public_bytes_raw()), secret)


def flip_in(bundle: Path, folder: str, at: int) -> None:
    path = next(p for p in (bundle / folder).rglob("*") if p.is_file())
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def reroot(bundle: Path) -> None:
    head = Log(bundle / "ledger").head()
    note = sign_checkpoint(Checkpoint(head.origin, head.size, bytes(32)), [named(head.origin)])
    (bundle / "ledger/checkpoint").write_bytes(note)


def named(origin: str) -> SecretKey:
    key = load_key("ledger")
    return SecretKey(PublicKey(origin, key.public.raw), key.secret)


def resign(bundle: Path, key: SecretKey) -> None:
    head = Log(bundle / "ledger").head()
    key = SecretKey(PublicKey(head.origin, key.public.raw), key.secret)
    (bundle / "ledger/checkpoint").write_bytes(sign_checkpoint(head, [key]))


def linked(bundle: Path) -> None:
    shutil.move(bundle / "VERIFY.md", bundle.parent / "guide")
    (bundle / "VERIFY.md").symlink_to(bundle.parent / "guide")


def more_tiles(bundle: Path) -> None:
    (bundle / "ledger/tile/0/001.p").mkdir()
    (bundle / "ledger/tile/0/001.p/1").write_bytes(bytes(32))


def unlisted(name: str) -> Callable[[Path], Any]:
    """Return what takes a file out of the bundle and its manifest."""

    def change(bundle: Path) -> None:
        files = json.loads((bundle / "bundle.json").read_bytes())["files"]
        del files[name]
        (bundle / name).unlink()
        relist(bundle, files=files)

    return change


def zeros(bundle: Path) -> None:
    path = next(p for p in (bundle / "ledger/tile/entries").rglob("*") if p.is_file())
    path.write_bytes(bytes(50_000))
    assert len(script.cut(path) or []) == 257, "no more is read than it takes to see that it is no tile"


def nested(bundle: Path, levels: int) -> None:
    path = str(bundle)
    for _ in range(levels):
        path += "/a"
        Path(path).mkdir()


def emptied(bundle: Path) -> None:
    origin = Log(bundle / "ledger").head().origin
    shutil.rmtree(bundle / "ledger/tile")
    note = sign_checkpoint(Checkpoint(origin, 0, root([])), [named(origin)])
    (bundle / "ledger/checkpoint").write_bytes(note)


def ledger_listed(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_bytes())
    data = (bundle / "ledger/checkpoint").read_bytes()
    manifest["files"]["ledger/checkpoint"] = {"sha256": sha256(data).hexdigest(), "size": len(data)}
    (bundle / "bundle.json").write_bytes(rfc8785.dumps(manifest))


def listed_as(name: str) -> Callable[[Path], Any]:
    """Return what lists one file under another name."""

    def rename(bundle: Path) -> None:
        manifest = json.loads((bundle / "bundle.json").read_bytes())
        manifest["files"][name] = manifest["files"].pop("VERIFY.md")
        (bundle / "bundle.json").write_bytes(rfc8785.dumps(manifest))

    return rename


TAMPERED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "edit": (edited("stages/06_after/outcomes.jsonl", b'"value":1', b'"value":0'), "bundle.changed"),
    "edit, same length of a document": (edited("README.md", b"n 2", b"n 9"), "bundle.changed"),
    "delete": (lambda b: (b / "records/bias.jsonl").unlink(), "bundle.missing"),
    "insert": (lambda b: (b / "adapters/trimtab_bias/more.json").write_text("{}"), "bundle.unlisted"),
    "insert into the ledger": (more_tiles, "bundle.unlisted"),
    "a link to the same file": (linked, "bundle.link"),
    "edit and list anew": (edited("README.md", b"n 2", b"n 9", listed=True), "release.missing"),
    "edit outcomes and list anew": (edited("stages/06_after/outcomes.jsonl", b'"value":1', b'"value":0', listed=True), "stage.changed"),
    "another adapter, listed anew": (replaced("adapters/trimtab_bias/adapter_model.safetensors", b"x"), "stage.changed"),
    "another policy": (edited("policy.json", b'"margin":0.1', b'"margin":0.5', listed=True), "policy.changed"),
    "another charter": (edited("charter.json", b'"version":"', b'"version":"x', listed=True), "charter.changed"),
    "a record's text": (edited("records/adversarial.jsonl", b"So.", b"No.", listed=True), "records.id"),
    "a record less": (replaced("records/bias.jsonl", b""), "records.count"),
    "another opening": (edited("evidence/screen-bias.jsonl", b'"salt":"', b'"salt":"00', listed=True), "records.root"),
    "another split": (edited("evidence/test-split.jsonl", b'"item":"', b'"item":"x', listed=True), "split.root"),
    "downgrade": (lambda b: relist(b, format="trimtab-bundle-0"), "bundle.format"),
    "a demo that says it is none": (lambda b: relist(b, demo=True), "release.demo"),
    "another form of the manifest": (edited("bundle.json", b'","', b'", "'), "bundle.manifest"),
    "folders without an end": (lambda b: nested(b, 20), "bundle.deep"),
    "figures without an end": (replaced("figures.json", b"[" * 100_000), "claims.malformed"),
    "a path out of the bundle": (edited("bundle.json", b'"VERIFY.md"', b'"../V.md"'), "bundle.manifest"),
    "a path into the ledger": (ledger_listed, "bundle.manifest"),
    "the ledger as a file": (listed_as("ledger"), "bundle.manifest"),
    "two names that are one elsewhere": (listed_as("readme.md"), "bundle.manifest"),
    "a line of the checkpoint that ends otherwise": (lambda b: (b / "ledger/checkpoint").write_bytes((b / "ledger/checkpoint").read_bytes()[:-1] + b"\r\n"), "ledger.checkpoint"),
    "a file larger than any": (lambda b: os.truncate(b / "bundle.json", 10 * 2**30), "bundle.large"),
    "weights larger than stated": (lambda b: os.truncate(b / "guard/guard.safetensors", 10 * 2**30), "bundle.changed"),
    "the ledger as a listed file": (edited("bundle.json", b'"VERIFY.md"', b'"ledger/x"'), "bundle.manifest"),
    "no commitment to cases": (unlisted("evidence/test-split.jsonl"), "release.missing"),
    "an empty ledger": (emptied, "ledger.opening"),
    "no ledger": (lambda b: shutil.rmtree(b / "ledger"), "ledger.checkpoint"),
    "a tile of hashes": (lambda b: flip_in(b, "ledger/tile/0", 40), "ledger.tile"),
    "a tile of entries that are empty": (zeros, "ledger.tile"),
    "a signature that nobody stated": (lambda b: (b / "model.sig").write_text("Signed."), "model-signature.key"),
    "the root": (reroot, "ledger.root"),
    "an entry's length": (lambda b: flip_in(b, "ledger/tile/entries", 0), "ledger.tile"),
    "a signature under the checkpoint": (lambda b: resign(b, other()), "ledger.signature"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_has_a_code(bundle: Path, made: Made, name: str) -> None:
    change, code = TAMPERED[name]
    change(bundle)
    assert code in both(bundle, trust=made.trust)


# --- Tampering by someone who can sign checkpoints --------------------------------------------------------------


def rewrite(bundle: Path, change: Callable[[list[bytes]], list[bytes]], key: SecretKey | None = None) -> None:
    """Write a ledger of other entries, with tiles and checkpoint that fit."""
    log = Log(bundle / "ledger")
    entries, origin = change(log.entries()), log.head().origin
    shutil.rmtree(log.folder)
    for path, data in new_tiles(log.folder, 0, entries).items():
        (log.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (log.folder / path).write_bytes(data)
    signer = key or named(origin)
    signer = SecretKey(PublicKey(origin, signer.public.raw), signer.secret)
    checkpoint = Checkpoint(origin, len(entries), root([leaf_hash(e) for e in entries]))
    (log.folder / "checkpoint").write_bytes(sign_checkpoint(checkpoint, [signer]))


def kind(entry: bytes) -> str:
    return open_entry(entry, "here").statement.kind


def without(name: str) -> Callable[[list[bytes]], list[bytes]]:
    return lambda entries: [e for e in entries if kind(e) != name]


def again(name: str) -> Callable[[list[bytes]], list[bytes]]:
    return lambda entries: [
        e for entry in entries for e in ([entry, entry] if kind(entry) == name else [entry])
    ]


def moved(name: str, to: int) -> Callable[[list[bytes]], list[bytes]]:
    def move(entries: list[bytes]) -> list[bytes]:
        chosen = [e for e in entries if kind(e) == name]
        rest = [e for e in entries if kind(e) != name]
        return [*rest[:to], *chosen, *rest[to:]]

    return move


def restated(name: str, *signers: str, **changes: Any) -> Callable[[list[bytes]], list[bytes]]:
    """Return what changes the body of every entry of a kind, signed anew by keys of this user."""

    def change(entry: bytes) -> bytes:
        s = open_entry(entry, "here").statement
        if s.kind != name:
            return entry
        return seal(
            Statement(s.kind, s.subjects, {**s.body, **changes}),
            [load_key(k) for k in signers or ("operator",)],
        )

    return lambda entries: [change(e) for e in entries]


def altered(
    change: Callable[[dict[str, Any]], Any], name: str = "verdict"
) -> Callable[[list[bytes]], list[bytes]]:
    """Return what changes the envelope of every entry of a kind."""

    def one(entry: bytes) -> bytes:
        envelope = json.loads(entry)
        if kind(entry) == name:
            change(envelope)
        return rfc8785.dumps(envelope)

    return lambda entries: [one(e) for e in entries]


def spare(envelope: dict[str, Any]) -> None:
    row = envelope["signatures"][0]
    at = len(row["sig"]) - 3
    row["sig"] = row["sig"][:at] + chr(ord(row["sig"][at]) + 1) + row["sig"][at + 1 :]


def larger_s(envelope: dict[str, Any]) -> None:
    row = envelope["signatures"][0]
    data = base64.b64decode(row["sig"])
    s = int.from_bytes(data[32:], "little") + script.ORDER
    row["sig"] = base64.b64encode(data[:32] + s.to_bytes(32, "little")).decode()


def later_clock(entries: list[bytes]) -> list[bytes]:
    return restated("verdict", time="2020-01-31T00:00:00Z")(entries)


def of_roles(**changes: Any) -> Callable[[list[bytes]], list[bytes]]:
    """Return what changes every role of a run."""

    def change(entry: bytes) -> bytes:
        s = open_entry(entry, "here").statement
        if s.kind != "roles":
            return entry
        rows = [{**role, **changes} for role in s.body["roles"]]
        return seal(replace(s, body={**s.body, "roles": rows}), [load_key("operator")])

    return lambda entries: [change(e) for e in entries]


INSIDE: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "truncate": (lambda entries: entries[:-1], "release.missing"),
    "no opening": (lambda entries: entries[1:], "ledger.opening"),
    "two openings": (again("ledger-opened"), "ledger.opening"),
    "delete the terms": (without("run-started"), "run.not-started"),
    "delete a stage": (without("trim"), "stage.missing"),
    "delete the verdict": (without("verdict"), "stage.missing"),
    "delete the roles": (without("roles"), "roles.missing"),
    "delete reviews": (without("review"), "review.quorum"),
    "insert a stage again": (again("training"), "stage.repeated"),
    "insert a verdict again": (again("verdict"), "stage.repeated"),
    "insert the terms again": (again("run-started"), "run.not-started"),
    "reorder: verdict before measuring": (moved("verdict", 4), "stage.order"),
    "reorder: training first": (moved("training", 1), "run.order"),
    "reorder: roles after training": (moved("roles", 12), "roles.late"),
    "clock": (later_clock, "ledger.clock"),
    "swap the key of an entry": (restated("verdict", "alice"), "entry.signer"),
    "more signers than may": (restated("verdict", "operator", "alice"), "entry.signer"),
    "a review by the operator": (restated("review", "operator"), "entry.signer"),
    "a review by another role": (restated("review", "carol"), "entry.signer"),
    "a review that saw another ledger": (restated("review", "alice", role="safety", seen={"root": "00" * 32, "size": 1}), "review.seen"),
    "one reviewer twice": (restated("review", "alice", role="safety"), "review.quorum"),
    "a rejection": (restated("review", "alice", role="safety", decision="reject"), "review.rejected"),
    "a dissent is no approval": (restated("review", "alice", role="safety", decision="dissent"), "review.quorum"),
    "another verdict": (restated("verdict", outcome="pass"), "verdict.changed"),
    "no waivers": (restated("release", waivers=[]), "gate.not-passed"),
    "an empty waiver": (restated("release", waivers=[{"gate": g, "reason": " ", "owner": "x", "expires": LATER} for g in GATES]), "waiver.empty"),
    "a waiver until a day that there is not": (restated("release", waivers=[{"gate": g, "reason": "r", "owner": "x", "expires": "2099-02-29T00:00:00Z"} for g in GATES]), "waiver.empty"),
    "a waiver without owner": (restated("release", waivers=[{"gate": g} for g in GATES]), "claims.malformed"),
    "a trial": (restated("release", demo=True), "release.demo"),
    "no roles": (restated("roles", roles=[]), "roles.missing"),
    "a quorum of nobody": (of_roles(quorum=0), "roles.missing"),
    "a quorum of more than there are": (of_roles(quorum=3), "roles.missing"),
    "two roles of one name": (of_roles(name="safety"), "roles.missing"),
    "roles for no time": (of_roles(days=0), "roles.missing"),
    "roles for ever": (of_roles(days=10**10), "roles.missing"),
    "outcomes miscounted": (restated("probe", outcomes={}), "outcomes.count"),
    "unsigned": (altered(lambda e: e["signatures"].clear()), "entry.unsigned"),
    "a signature of something else": (altered(lambda e: e["signatures"][0].update(sig=base64.b64encode(bytes(64)).decode())), "entry.signature"),
    "payload type": (altered(lambda e: e.update(payloadType="application/json")), "entry.payload-type"),
    "two signatures of one key": (altered(lambda e: e["signatures"].append(e["signatures"][0])), "entry.duplicate-key"),
    "spare bits": (altered(spare), "entry.malformed"),
    "S + L": (altered(larger_s), "entry.signature"),
    "another key in the envelope": (altered(lambda e: e.update(more=1)), "entry.malformed"),
    "a day that there is not": (restated("roles", time="2026-02-30T00:00:00Z"), "entry.statement"),
    "a kind of its own": (lambda entries: [*entries, own_kind()], "entry.statement"),
    "not JSON": (lambda entries: [*entries, b"\xff"], "entry.malformed"),
    "a key that nobody announced": (lambda entries: [*entries, key_change(load_key("alice"), "ledger")], "entry.signer"),
    "roles that are none": (restated("roles", roles=[1]), "entry.statement"),
}  # fmt: skip


def own_kind() -> bytes:
    entry = json.loads(
        seal(Statement("trim", {}, {"run": "r", "stage": "trim", "time": LATER}), [load_key("operator")])
    )
    payload = base64.b64decode(entry["payload"]).replace(b":trim:v1", b":trim:v2")
    return rfc8785.dumps({**entry, "payload": base64.b64encode(payload).decode()})


def key_change(old: SecretKey, role: str) -> bytes:
    body = {"new": str(other().public), "old": old.public.id, "reason": "r", "role": role, "time": LATER}
    return seal(Statement("key", {}, body), [load_key("operator"), other()])


@pytest.mark.parametrize("name", INSIDE)
def test_tampering_by_who_holds_the_ledgers_key_has_a_code(bundle: Path, made: Made, name: str) -> None:
    change, code = INSIDE[name]
    rewrite(bundle, change)
    assert code in both(bundle, trust=made.trust)


def test_keys_are_replaced_by_entries_only(bundle: Path, made: Made) -> None:
    new = key_change(load_key("operator"), "operator")
    rewrite(bundle, lambda entries: [*entries, new])
    assert both(bundle) == set()
    assert both(bundle, trust=made.trust) == {"trust.operator"}
    rewrite(bundle, lambda entries: [*entries, seal(Statement("recall", {}, {"kind": "k", "name": "n", "reason": "r", "time": LATER}), [load_key("operator")])])  # fmt: skip
    assert both(bundle) == {"entry.signer"}, "a key that was replaced signs nothing more"


def sealed(kind: str, body: dict[str, Any], *signers: SecretKey) -> bytes:
    return seal(Statement(kind, {}, {**body, "time": LATER}), signers)


def reviewers_key(old: str, new: SecretKey, *signers: SecretKey) -> bytes:
    body = {"new": str(new.public), "old": load_key(old).public.id, "reason": "r", "role": "reviewer"}
    return sealed("key", body, *(signers or (load_key(old), new)))


def revocation(key: str, *signers: SecretKey) -> bytes:
    body = {"key": load_key(key).public.id, "reason": "r"}
    return sealed("revocation", body, *(signers or (load_key("operator"),)))


KEY_CHANGES: dict[str, tuple[Callable[[], list[bytes]], set[str]]] = {
    "a reviewer's key": (lambda: [reviewers_key("alice", other())], set()),
    "twice": (lambda: [reviewers_key("alice", other()), reviewers_key("alice", other("y", 8))], {"entry.signer"}),
    "by the operator": (lambda: [reviewers_key("alice", other(), load_key("operator"), other())], {"entry.signer"}),
    "by the old key alone": (lambda: [reviewers_key("alice", other(), load_key("alice"))], {"entry.signer"}),
    "by another reviewer's": (lambda: [reviewers_key("alice", load_key("bob"))], {"entry.signer"}),
    "by the operator's": (lambda: [reviewers_key("alice", load_key("operator"))], {"entry.signer"}),
    "of nobody": (lambda: [reviewers_key("ledger", other())], {"entry.signer"}),
    "by no key": (lambda: [sealed("key", {"new": "x", "old": "x", "reason": "r", "role": "reviewer"}, load_key("operator"))], {"entry.statement"}),
    "a revocation": (lambda: [revocation("alice")], {"review.quorum"}),
    "by the reviewer": (lambda: [revocation("alice", load_key("alice"))], {"entry.signer"}),
    "of the operator": (lambda: [revocation("operator")], {"entry.signer"}),
    "after a revocation": (lambda: [revocation("alice"), reviewers_key("alice", other())], {"entry.signer", "review.quorum"}),
}  # fmt: skip


@pytest.mark.parametrize("name", KEY_CHANGES)
def test_who_may_change_which_key(bundle: Path, name: str) -> None:
    change, codes = KEY_CHANGES[name]
    rewrite(bundle, lambda entries: [*entries, *change()])
    assert both(bundle) == codes


def test_a_ledger_of_other_keys_is_consistent_and_not_trusted(
    finished_run: FinishedRun, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))
    forged = finished_run(tmp_path / "runs", roles())
    sign_all(forged)
    release(forged, tmp_path / "bundle", WAIVERS)
    assert both(tmp_path / "bundle") == set()
    assert both(tmp_path / "bundle", trust=made.trust) == {"trust.operator", "trust.ledger", "trust.reviewer"}


def test_what_nobody_measured_again_is_not_verified(finished_run: FinishedRun, tmp_path: Path) -> None:
    def drop(run: RunDirectory) -> None:
        run.stage("after").write_outcomes(run.stage("after").outcomes()[1:])

    run = finished_run(tmp_path / "runs", roles(), drop)
    sign_all(run)
    with pytest.raises(InputError, match=r"split\.incomplete"):
        release(run, tmp_path / "bundle", WAIVERS)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rows: [*rows, rows[0]], "split.repeated"),
        (lambda rows: [{**rows[0], "item": "mine"}, *rows[1:]], "split.unknown"),
    ],
)
def test_other_cases_than_committed_are_refused(
    finished_run: FinishedRun, tmp_path: Path, change: Callable[[list[Any]], list[Any]], code: str
) -> None:
    def swap(run: RunDirectory) -> None:
        path = run.stage("before").folder / "outcomes.jsonl"
        rows = change([json.loads(line) for line in path.read_text().splitlines()])
        path.write_bytes(b"".join(rfc8785.dumps(row) + b"\n" for row in rows))

    run = finished_run(tmp_path / "runs", roles(), swap)
    sign_all(run)
    with pytest.raises(InputError, match=code.replace(".", r"\.")):
        release(run, tmp_path / "bundle", WAIVERS)


def remeasured(bundle: Path, stage: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Write other outcomes of a stage, listed and stated anew by who holds the keys of the ledger."""
    name = f"stages/{stage}/outcomes.jsonl"
    rows = change([json.loads(line) for line in (bundle / name).read_bytes().split(b"\n")[:-1]])
    (bundle / name).write_bytes(b"".join(rfc8785.dumps(row) + b"\n" for row in rows))
    relist(bundle)
    now = sha256((bundle / name).read_bytes()).hexdigest()

    def restate(entry: bytes) -> bytes:
        s = open_entry(entry, "here").statement
        if name not in s.subjects:
            return entry
        body = {**s.body, "outcomes": {**s.body["outcomes"], "outcomes": len(rows)}}
        return seal(Statement(s.kind, {**s.subjects, name: now}, body), [load_key("operator")])

    rewrite(bundle, lambda entries: [restate(e) for e in entries])


def of_other_suites(*names: str) -> Callable[[list[Any]], list[Any]]:
    return lambda rows: [row for row in rows if not row["suite"].startswith(names)]


@pytest.mark.parametrize(
    ("stage", "change", "code"),
    [
        ("06_after", of_other_suites("attack"), "split.absent"),
        ("06_after", of_other_suites("pair"), "split.absent"),  # it was measured before
        ("07_reattack", lambda rows: [], "split.absent"),
        ("06_after", lambda rows: [{**row, "cluster": "one"} for row in rows], "split.cluster"),
        ("06_after", lambda rows: [{**row, "cluster": row["item"]} for row in rows], "split.cluster"),
    ],
)
def test_measurements_left_out_and_other_clusters_are_told(
    bundle: Path, stage: str, change: Callable[[list[Any]], list[Any]], code: str
) -> None:
    remeasured(bundle, stage, change)
    assert code in both(bundle)


def test_a_model_without_likelihoods_is_released_with_what_can_be_measured(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    def leave_out(run: RunDirectory) -> None:
        for stage, names in (
            ("before", ["outcomes"]),
            ("after", ["outcomes", "without_guard", "guard_alone"]),
        ):
            for name in names:
                kept = of_other_suites("pair", "preference", "text")
                rows = kept([o.to_json() for o in run.stage(stage).outcomes(name)])
                run.stage(stage).write_outcomes([Outcome(**row) for row in rows], name)

    run = finished_run(tmp_path / "runs", roles(), leave_out)
    sign_all(run)
    release(run, tmp_path / "bundle", WAIVERS)
    assert both(tmp_path / "bundle") == set()


def test_answers_that_are_errors_leave_it_undecided(finished_run: FinishedRun, tmp_path: Path) -> None:
    def fail(run: RunDirectory) -> None:
        rows = [
            replace(o, value=None, raw={**o.raw, "error": "time-out"}) if o.suite == "attack" else o
            for o in run.stage("after").outcomes()
        ]
        run.stage("after").write_outcomes(rows)

    run = finished_run(tmp_path / "runs", roles(), fail)
    sign_all(run)
    report = release(run, tmp_path / "bundle", WAIVERS)
    assert [f.code for f in report.undecided] == ["outcomes.uncounted"]
    assert report.exit_code == 3
    with patch.object(claims, "MOST_UNCOUNTED", 1.0):  # of a suite this small one case is more than the limit
        few = verify(tmp_path / "bundle")
    assert not few.undecided
    assert any("of attack have no answer and are in no figure" in note for note in few.notes)


def test_any_text_in_an_answer_can_be_released(finished_run: FinishedRun, tmp_path: Path) -> None:
    def say(run: RunDirectory) -> None:
        rows = [replace(o, response="one\u2028two\x85three") for o in run.stage("after").outcomes()]
        run.stage("after").write_outcomes(rows)

    run = finished_run(tmp_path / "runs", roles(), say)
    sign_all(run)
    release(run, tmp_path / "bundle", WAIVERS)
    assert both(tmp_path / "bundle") == set()


@pytest.mark.parametrize("name", ["bundle.json", "ledger/checkpoint", "README.md"])
def test_what_could_be_read_for_ever_is_not_read(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert both(bundle) == {"bundle.link"}
    (bundle / name).unlink()
    (bundle / name).symlink_to("/dev/zero")
    assert both(bundle) == {"bundle.link"}


def test_a_key_that_the_operator_held_fills_no_quorum(bundle: Path) -> None:
    rotated = key_change(load_key("operator"), "operator")
    old = load_key("operator")
    body = {**review_by("alice", bundle), "role": "safety"}

    def change(entries: list[bytes]) -> list[bytes]:
        named = {"demo": False, "run": body["run"], "roles": [{"keys": [str(old.public)], "name": "safety"}]}
        late = Statement("roles", {}, {**named, "time": LATER})
        return [*entries, rotated, seal(late, [other()]), seal(Statement("review", {}, body), [old])]

    rewrite(bundle, change)
    assert "entry.signer" in both(bundle)


def review_by(name: str, bundle: Path) -> dict[str, Any]:
    """Return what the review by a key says, at a later time."""
    for entry in (open_entry(e, "here") for e in Log(bundle / "ledger").entries()):
        if entry.statement.kind == "review" and entry.signed_by(load_key(name).public):
            return {**entry.statement.body, "time": LATER}
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": "never"}, "review.expires"),
        ({"expires": "2026-02-30T00:00:00Z"}, "review.expires"),
        ({"expires": "2099-01-01T00:00:00Z"}, "review.expires"),
        ({"answers": {}}, "review.answers"),
        ({"answers": {"Did you read answers?": " "}}, "review.answers"),
    ],
)
def test_a_review_holds_no_longer_and_says_no_less_than_its_role_asks(
    bundle: Path, changes: dict[str, Any], code: str
) -> None:
    def change(entry: bytes) -> bytes:
        e = open_entry(entry, "here")
        if e.statement.kind != "review" or not e.signed_by(load_key("alice").public):
            return entry
        return seal(replace(e.statement, body={**e.statement.body, **changes}), [load_key("alice")])

    rewrite(bundle, lambda entries: [change(e) for e in entries])
    assert code in both(bundle)


@pytest.mark.parametrize("name", ["adapters/trimtab_bias/weights.bin", "guard/run.py"])
def test_files_that_could_run_code_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"x")
    files = json.loads((bundle / "bundle.json").read_bytes())["files"]
    relist(bundle, files={**files, name: {}})
    assert "bundle.unsafe" in both(bundle)


def test_a_system_on_another_model_is_told(bundle: Path) -> None:
    system = json.loads((bundle / "system.json").read_bytes())
    (bundle / "system.json").write_text(json.dumps({**system, "base_digest": "1" * 64}))
    assert "system.base" in both(bundle)


def recall_of(name: str) -> bytes:
    body = {"kind": "dataset", "name": name, "reason": "r", "time": LATER}
    return seal(Statement("recall", {}, body), [load_key("operator")])


def test_a_recall_of_what_the_records_came_from_reaches_the_bundle(bundle: Path) -> None:
    subjects = {k: v for e in Log(bundle / "ledger").entries() for k, v in open_entry(e, "here").statement.subjects.items()}  # fmt: skip
    (bundle / "ledger/.lock").unlink()
    table = next(digest for name, digest in subjects.items() if name.startswith("stages/03_screen") and name.endswith(".parquet"))  # fmt: skip
    assert verify(bundle, Outside(recalls=[open_entry(recall_of(table), "here")])).codes == {"recalled"}
    rewrite(bundle, lambda entries: [*entries, recall_of(table)])
    assert both(bundle) == {"recalled"}
    rewrite(bundle, lambda entries: [*entries[:-1], recall_of("")])
    assert both(bundle) == set(), "a record that nobody generated has no generator"


def test_a_recall_by_a_key_that_the_operator_held_counts(bundle: Path, tmp_path: Path) -> None:
    entry = recall_of("0" * 64)
    rewrite(bundle, lambda entries: [*entries, entry, key_change(load_key("operator"), "operator")])
    (tmp_path / "recalls").write_bytes(entry + b"\n")
    report = verify(bundle, Outside(recalls=[open_entry(entry, "here")]))
    assert not report.failures
    assert any(n.startswith("recalls: 1 brought, the last of 2036") for n in report.notes)
    assert not script.verify(bundle, recalls=tmp_path / "recalls").failures


def test_documents_of_another_version_are_undecided(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.governance.verify.verify.__version__", "99")
    report = verify(made.bundle, Outside(read_trust(made.trust)))
    assert [f.code for f in report.undecided] == ["document.version"]
    assert report.exit_code == 3


def test_a_figure_that_does_not_follow_from_the_outcomes_is_named(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = figures_and_verdicts

    def better(*arguments: Any) -> Any:
        found = real(*arguments)
        found["figures"][0]["after"]["value"] += 0.01
        return found

    monkeypatch.setattr("trimtab.run.evidence.figures_and_verdicts", better)
    run = finished_run(tmp_path / "runs", roles())
    sign_all(run)
    with pytest.raises(InputError, match=r"figures\.attack_success\.after\.value .*figure\.differs"):
        release(run, tmp_path / "bundle", WAIVERS)


def test_reviews_and_waivers_end(made: Made) -> None:
    both(made.bundle, trust=made.trust, at="2036-06-01T00:00:00Z")
    report = verify(made.bundle, Outside(read_trust(made.trust), at="2036-06-01T00:00:00Z"))
    assert not report.failures
    assert {f.code for f in report.due} == {"review.due", "waiver.due"}
    assert report.exit_code == 3


def test_a_review_does_not_hold_before_its_time(bundle: Path, made: Made) -> None:
    """Who sets the clock of the ledger ahead would make a review hold as much longer."""

    def ahead(s: Statement) -> list[Statement]:
        later = {k: "2099" + v[4:] for k, v in s.body.items() if k in ("time", "expires")}
        return [replace(s, body={**s.body, **later})]

    reissue(bundle, ahead)
    assert both(bundle, trust=made.trust) == set()
    assert {f.code for f in verify(bundle).due} == {"review.due"}
    assert {f.code for f in verify(made.bundle, Outside(at="2026-01-01T00:00:00Z")).due} == {"review.due"}


def test_of_two_reviews_in_the_same_words_one_key_is_revoked(bundle: Path) -> None:
    """Two reviewers may sign the same on one copy of the runs, in one second."""

    def one_is_enough(s: Statement) -> list[Statement]:
        roles = [{**role, "quorum": 1} for role in s.body["roles"]] if s.kind == "roles" else []
        return [replace(s, body={**s.body, "roles": roles})] if roles else [s]

    reissue(bundle, one_is_enough)

    def same(entries: list[bytes]) -> list[bytes]:
        found = [open_entry(e, "here").statement for e in entries if kind(e) == "review"]
        first = next(i for i, e in enumerate(entries) if kind(e) == "review")
        one = {"seen": found[0].body["seen"], "time": found[-1].body["time"]}
        signed = zip(found, (found[0], found[0], found[2]), ("alice", "bob", "carol"), strict=True)
        again = [seal(replace(s, body={**said.body, **one}), [load_key(name)]) for s, said, name in signed]
        return [*entries[:first], *again, entries[-1], revocation("alice")]

    rewrite(bundle, same)
    assert both(bundle) == set()
    assert "of a revoked key: approve by safety" in verify(bundle).notes


def test_what_came_of_other_runs_is_told(finished_run: FinishedRun, tmp_path: Path) -> None:
    """Who runs until it passes leaves the other runs in the ledger."""
    finished_run(tmp_path / "runs")
    run = finished_run(tmp_path / "runs", roles())
    third = Statement("run-started", {}, {**dict.fromkeys(("charter", "config", "model", "policy", "version"), ""), "run": "third", "split": {}})  # fmt: skip
    open_ledger(tmp_path / "runs").append(third)
    sign_all(run)
    report = release(run, tmp_path / "bundle", WAIVERS, sign=False)
    outcome = json.loads((run / "figures.json").read_bytes())["outcome"]
    told = f"other runs in this ledger: 1 {outcome}, 1 no verdict"
    assert told in report.notes
    assert told in script.verify(tmp_path / "bundle").notes


CHARTER = """
name = "ours"
version = "1"
[[principle]]
id = "kind"
statement = "Be kind."
rationale = "People are there."
specifics = ["No scorn."]
examples = [{ keeps = "I do not know.", breaks = "Surely." }]
dissent = [{ group = "1", statement = "s", agreed = 1, disagreed = 3, seen = 9 }]
"""


def test_both_say_who_disagreed_with_the_charter_and_what_is_a_trial(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    charter = tmp_path / "charter.toml"
    charter.write_text(CHARTER)
    run = finished_run(tmp_path / "runs", charter=str(charter))
    release(run, tmp_path / "bundle", demo=True, sign=False)
    for told in ("dissent on kind: 3 of 9 in group 1 disagreed", "a trial: its maker holds the keys of all reviewers"):  # fmt: skip
        assert told in verify(tmp_path / "bundle").notes
        assert told in script.verify(tmp_path / "bundle").notes


# --- Tampering against a known checkpoint -----------------------------------------------------------------------


def test_a_rolled_back_or_rewritten_ledger_is_told_from_a_known_checkpoint(
    bundle: Path, made: Made, tmp_path: Path
) -> None:
    known = tmp_path / "kept"
    rewrite(bundle, lambda entries: [*entries, entries[-1]])
    shutil.copy(bundle / "ledger/checkpoint", known)
    assert both(made.bundle, trust=made.trust, known=known) == {"known.rollback"}
    assert both(made.bundle, trust=made.trust) == set(), "not claimed without it"
    shutil.copy(made.bundle / "ledger/checkpoint", known)
    rewrite(bundle, lambda entries: restated("trim", stage="trim")(entries[:-1]))
    shutil.copytree(made.bundle, tmp_path / "fork")
    rewrite(tmp_path / "fork", restated("release", time=LATER))
    assert "known.fork" in both(tmp_path / "fork", trust=made.trust, known=known)
    assert both(tmp_path / "fork", trust=made.trust) == set(), "not claimed without it"


def test_another_ledger_and_another_signer_are_told(
    finished_run: FinishedRun, made: Made, tmp_path: Path
) -> None:
    finished_run(tmp_path / "runs")
    known = tmp_path / "runs/ledger/checkpoint"
    assert both(made.bundle, known=known) == {"known.origin"}
    head = Log(made.bundle / "ledger").head()
    key = SecretKey(PublicKey(head.origin, other().public.raw), other().secret)
    known.write_bytes(sign_checkpoint(head, [key]))
    assert both(made.bundle, known=known) == {"known.signature"}


def test_a_clock_set_back_after_a_known_checkpoint_is_told(bundle: Path, made: Made, tmp_path: Path) -> None:
    known = tmp_path / "kept"
    rewrite(bundle, lambda entries: entries[:-1])
    shutil.copy(bundle / "ledger/checkpoint", known)
    back = restated("release", time="2020-01-31T00:00:00Z")
    shutil.copytree(made.bundle, tmp_path / "back")
    rewrite(tmp_path / "back", back)
    assert both(tmp_path / "back", trust=made.trust, known=known) == {"ledger.clock"}


def test_a_checkpoint_from_before_training_witnesses_the_terms(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.bundle, tmp_path / "early")
    rewrite(tmp_path / "early", lambda entries: entries[:4])
    known = read_known(tmp_path / "early/ledger/checkpoint")
    notes = verify(made.bundle, Outside(known=known)).notes
    assert any("fixed before training: as claimed; the known checkpoint holds them" in note for note in notes)
    assert any("fixed before training: as claimed" in note for note in verify(made.bundle).notes)
    late = read_known(made.bundle / "ledger/checkpoint")
    assert any(
        note.endswith("training: as claimed") for note in verify(made.bundle, Outside(known=late)).notes
    )


# --- Tampering by who holds all keys, of the operator and of the reviewers ---------------------------------------

HOLDERS = ("operator", "ledger", "alice", "bob", "carol")


def reissue(bundle: Path, edit: Callable[[Statement], list[Statement]] = lambda s: [s]) -> None:
    """List the files anew, and have every statement signed anew with the digests that files have now."""
    holders = {load_key(name).public.id: load_key(name) for name in HOLDERS}
    relist(bundle)
    digests = {p.relative_to(bundle).as_posix(): sha256(p.read_bytes()).hexdigest() for p in bundle.rglob("*") if p.is_file()}  # fmt: skip

    def restate(entries: list[bytes]) -> list[bytes]:
        found = list[bytes]()
        for entry in (open_entry(data, "here") for data in entries):
            for s in edit(entry.statement):
                top = root([leaf_hash(data) for data in found]).hex()
                seen = {"seen": {"root": top, "size": len(found)}} if s.kind == "review" else {}
                subjects = {name: digests.get(name, digest) for name, digest in s.subjects.items()}
                s = replace(s, subjects=subjects, body={**s.body, **seen})  # noqa: PLW2901
                found.append(seal(s, [holders[key] for key, _ in entry.signatures]))
        return found

    rewrite(bundle, restate)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def rewritten(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Return what changes every row of a file of JSON lines and states it anew."""

    def rewrite_rows(bundle: Path) -> None:
        rows = rows_of(bundle / name)
        for row in rows:
            change(row)
        (bundle / name).write_bytes(b"".join(rfc8785.dumps(row) + b"\n" for row in rows))
        reissue(bundle)

    return rewrite_rows


def without_model(bundle: Path) -> None:
    about = json.loads((bundle / "run.json").read_bytes())
    del about["config"]["model"]
    (bundle / "run.json").write_text(json.dumps(about))
    reissue(bundle)


def not_text(bundle: Path) -> None:
    (bundle / "README.md").write_bytes(b"\xff")
    reissue(bundle)


def unreviewed(**changes: Any) -> Callable[[Path], Any]:
    """Return what drops all reviews, and changes what the roles state."""

    def drop(s: Statement) -> list[Statement]:
        again = replace(s, body={**s.body, "roles": [{**role, **changes} for role in s.body["roles"]]}) if s.kind == "roles" else s  # fmt: skip
        return [again] if s.kind != "review" else []

    return lambda bundle: reissue(bundle, drop)


def restating(change: Callable[[Statement], list[Statement]]) -> Callable[[Path], Any]:
    return lambda bundle: reissue(bundle, change)


def outcomes_by_trim(s: Statement) -> list[Statement]:
    kept = {name: digest for name, digest in s.subjects.items() if name != AFTER}
    return [replace(s, subjects={**kept, AFTER: "0" * 64} if s.kind == "trim" else kept)]


def terms_by_verdict(s: Statement) -> list[Statement]:
    kept = {} if s.kind == "run-started" else s.subjects
    return [replace(s, subjects={**kept, "run.json": "0" * 64} if s.kind == "verdict" else kept)]


def trained_again(s: Statement) -> list[Statement]:
    again = {"run": s.body.get("run"), "time": s.body["time"]}
    more = [Statement("training", {}, {**again, "stage": "again"}), Statement("probe", {}, {**again, "outcomes": {}, "stage": "retry"})]  # fmt: skip
    return [s, *(more if s.kind == "verdict" else [])]


def trained_as_a_probe(s: Statement) -> list[Statement]:
    body = {"run": s.body.get("run"), "stage": "reattack", "time": s.body["time"]}
    return [s, *([Statement("training", {}, body)] if s.kind == "verdict" else [])]


def no_attacks_again(bundle: Path) -> None:
    name = "stages/07_reattack/outcomes.jsonl"
    unlisted(name)(bundle)

    def drop(s: Statement) -> list[Statement]:
        kept = {n: digest for n, digest in s.subjects.items() if n != name}
        return [replace(s, subjects=kept, body={**s.body, "outcomes": {}} if kept != s.subjects else s.body)]

    reissue(bundle, drop)


def more_files(*names: str) -> Callable[[Path], Any]:
    """Return what adds copies of a file of records under other names, listed and signed."""

    def add(bundle: Path) -> None:
        files = json.loads((bundle / "bundle.json").read_bytes())["files"]
        for name in names:
            shutil.copy(bundle / "records/adversarial.jsonl", bundle / name)
        relist(bundle, files={**files, **{name: {} for name in names}})
        reissue(bundle)

    return add


def record(**changes: Any) -> tuple[Callable[[Path], Any], set[str]]:
    """Return what changes every record of a mechanism, and the code that says that it is none."""
    return rewritten("records/adversarial.jsonl", lambda row: row.update(changes)), {"claims.malformed"}


def lineage(**changes: Any) -> tuple[Callable[[Path], Any], set[str]]:
    name = "records/adversarial.jsonl"
    return rewritten(name, lambda row: row["lineage"].update(changes)), {"claims.malformed"}


def not_committed(bundle: Path) -> None:
    """Make the bundle one of an older version, which committed to the ids of records alone."""
    roots = dict[str, str]()
    for mechanism in ("adversarial", "bias"):
        name = f"evidence/screen-{mechanism}.jsonl"
        opened = [{k: v for k, v in row.items() if k != "row"} for row in rows_of(bundle / name)]
        (bundle / name).write_bytes(b"".join(rfc8785.dumps(row) + b"\n" for row in opened))
        roots[mechanism] = salted_root(opened)

    def restate(s: Statement) -> list[Statement]:
        if s.kind != "screen":
            return [s]
        kept = {m: {**row, "root": roots[m]} for m, row in s.body["records"].items()}
        return [replace(s, body={**s.body, "records": kept})]

    reissue(bundle, restate)


def unended(name: str) -> Callable[[Path], Any]:
    """Return what repeats the first line of a file after its last, without an end: some readers read it, some do not."""

    def add(bundle: Path) -> None:
        data = (bundle / name).read_bytes()
        (bundle / name).write_bytes(data + data.split(b"\n")[0])
        reissue(bundle)

    return add


def said(name: str, old: bytes, new: bytes) -> Callable[[Path], Any]:
    """Return what replaces bytes of a file everywhere, and states it anew."""

    def say(bundle: Path) -> None:
        data = (bundle / name).read_bytes()
        assert old in data
        (bundle / name).write_bytes(data.replace(old, new))
        reissue(bundle)

    return say


def in_utf16(bundle: Path) -> None:
    path = bundle / "figures.json"
    path.write_bytes(path.read_text().encode("utf-16"))
    reissue(bundle)


def restating_start(**files: str) -> Callable[[Statement], list[Statement]]:
    """Return what states other digests where the run started."""
    return lambda s: [replace(s, body={**s.body, **files}) if s.kind == "run-started" else s]


def no_principles(bundle: Path) -> None:
    about, charter = (json.loads((bundle / f"{name}.json").read_bytes()) for name in ("run", "charter"))
    data = rfc8785.dumps({k: v for k, v in charter.items() if k != "principle"})
    (bundle / "charter.json").write_bytes(data)
    digest = sha256(data).hexdigest()
    (bundle / "run.json").write_bytes(rfc8785.dumps({**about, "charter_digest": digest}))
    reissue(bundle, restating_start(charter=digest))


def gated(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Path], Any]:
    """Return what releases without waivers under another policy, which everything says the run started with."""

    def gate(bundle: Path) -> None:
        gates = change(json.loads((bundle / "policy.json").read_bytes()))
        about = json.loads((bundle / "run.json").read_bytes())
        (bundle / "run.json").write_text(json.dumps({**about, "config": {**about["config"], "gates": gates}}))
        (bundle / "policy.json").write_bytes(rfc8785.dumps(gates))
        rows = [read_outcomes(bundle / name) for name in ("stages/01_before/outcomes.jsonl", AFTER)]
        told = figures_and_verdicts(rows[0], rows[1], [Gate.model_validate(g) for g in gates])
        (bundle / "figures.json").write_bytes(rfc8785.dumps(told))
        for name, text in documents(bundle).items():
            (bundle / name).write_text(text)
        outcomes = {v["gate"]["figure"]: v["outcome"] for v in told["verdicts"]}
        more = {
            "run-started": {"policy": sha256((bundle / "policy.json").read_bytes()).hexdigest()},
            "verdict": {"outcome": told["outcome"], "gates": outcomes},
            "release": {"waivers": []},
        }
        reissue(bundle, lambda s: [replace(s, body={**s.body, **more.get(s.kind, {})})])

    return gate


def two_on_one_figure(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    strict = next(g for g in gates if g["figure"] == "pair_gap")
    mild = {**strict, "kind": "harm", "goal": None, "margin": 99.0}
    return [strict, mild]


def other_system(**changes: Any) -> Callable[[Path], Any]:
    def change(bundle: Path) -> None:
        system = json.loads((bundle / "system.json").read_bytes())
        (bundle / "system.json").write_text(json.dumps({**system, **changes}))
        reissue(bundle)

    return change


def one_more_adapter(bundle: Path) -> None:
    """Add an adapter of which no records are stated."""
    names = [f"adapters/trimtab_values/adapter_{n}" for n in ("config.json", "model.safetensors")]
    shutil.copytree(bundle / "adapters/trimtab_bias", bundle / "adapters/trimtab_values")
    files = json.loads((bundle / "bundle.json").read_bytes())["files"]
    relist(bundle, files={**files, **{name: {} for name in names}})

    def add(s: Statement) -> list[Statement]:
        return [
            replace(s, subjects={**s.subjects, **dict.fromkeys(names, "")}) if s.kind == "training" else s
        ]

    reissue(bundle, add)


def other_guard(bundle: Path) -> None:
    """Give the system another guard, and let everything but `system.json` say that it always had it."""
    guard = json.loads((bundle / "guard/guard.json").read_bytes())
    data = json.dumps({**guard, "threshold": 99.0}).encode()
    (bundle / "guard/guard.json").write_bytes(data)
    name, digest = "guard/guard.json", sha256(data).hexdigest()
    reissue(
        bundle,
        lambda s: [replace(s, subjects={**s.subjects, **({name: digest} if name in s.subjects else {})})],
    )


def no_guard(bundle: Path) -> None:
    unlisted("guard/guard.json")(bundle)

    def drop(s: Statement) -> list[Statement]:
        return [replace(s, subjects={n: d for n, d in s.subjects.items() if n != "guard/guard.json"})]

    reissue(bundle, drop)


def rejecting(*roles: str) -> Callable[[Path], Any]:
    """Return what puts rejections of other files of the run before or, of roles that are named, after what was approved."""

    def reject(s: Statement) -> list[Statement]:
        if s.kind != "review":
            return [s]
        no = replace(s, subjects={"bundle.json (other)": "1" * 64}, body={**s.body, "decision": "reject"})
        return [s, no] if s.body["role"] in roles else [no, s]

    return lambda bundle: reissue(bundle, reject)


AFTER = "stages/06_after/outcomes.jsonl"
BY_ALL: dict[str, tuple[Callable[[Path], Any], set[str]]] = {
    "nothing": (reissue, set()),
    "nobody reviewed it, and nobody was to": (unreviewed(quorum=0), {"roles.missing"}),
    "outcomes that another stage states": (restating(outcomes_by_trim), {"stage.place"}),
    "terms that the verdict states": (restating(terms_by_verdict), {"stage.place"}),
    "stages of names of their own": (restating(trained_again), {"stage.unknown"}),
    "a stage of another kind": (restating(trained_as_a_probe), {"stage.unknown"}),
    "no attacks again": (no_attacks_again, {"stage.unstated"}),
    "records that nobody screened": (more_files("records/extra.jsonl"), {"stage.unstated"}),
    "a file of no stage": (more_files("NOTES.md"), {"stage.unstated"}),
    "a file beside the split": (more_files("evidence/test-splitxjsonl"), {"stage.unstated"}),
    "records of people, it says": (rewritten("records/adversarial.jsonl", lambda row: row.update(source="human", cell="clean")), {"records.row"}),
    "a record with more": record(note="z"),
    "a record with another kind's content": record(text_a="poison"),
    "a record of no kind": record(kind="other"),
    "a record from nowhere": record(source="other"),
    "a record without a text": record(messages=[]),
    "a record that is one text": record(messages="So."),
    "a turn with more": record(messages=[{"content": "So.", "note": "", "role": "user"}]),
    "a lineage with more": lineage(note="z"),
    "a depth that is text": lineage(depth="0"),
    "a depth below none": lineage(depth=-1),
    "a depth of true": lineage(depth=True),
    "a seed that is none": lineage(seed="x"),
    "a parent that is a number": lineage(parents=[1]),
    "a document that is no text": (not_text, {"document.differs"}),
    "no model in the configuration": (without_model, {"document.differs"}),
    "answers without a label": (rewritten(AFTER, lambda row: row["raw"].pop("label", None)), {"figure.differs"}),
    "values that are texts": (rewritten(AFTER, lambda row: row.update(value="x")), {"figure.differs"}),
    "outcomes without a judge": (rewritten(AFTER, lambda row: row.pop("judge")), {"claims.malformed"}),
    "outcomes without a value": (rewritten(AFTER, lambda row: row.pop("value")), {"claims.malformed"}),
    "outcomes of words": (rewritten(AFTER, lambda row: row.update(raw="error")), {"claims.malformed"}),
    "a record after the last": (unended("records/adversarial.jsonl"), {"claims.malformed"}),
    "an outcome after the last": (unended(AFTER), {"claims.malformed"}),
    "a case after the last": (unended("evidence/test-split.jsonl"), {"claims.malformed"}),
    "two figures of one name": (said("figures.json", b'"outcome":', b'"outcome":"pass","outcome":'), {"claims.malformed"}),
    "two margins in a policy": (said("policy.json", b'"margin":0.1', b'"margin":0.01,"margin":0.1'), {"policy.changed", "claims.malformed"}),
    "a system with and without a guard": (said("system.json", b'"guard": true', b'"guard": false, "guard": true'), {"claims.malformed"}),
    "answers that are twice what they are": (said(AFTER, b'"value":0', b'"value":1,"value":0'), {"claims.malformed"}),
    "values that are not numbers": (said(AFTER, b'"value":0', b'"value":NaN'), {"claims.malformed"}),
    "values without an end": (said(AFTER, b'"value":0', b'"value":1e999'), {"claims.malformed"}),
    "lines that only some see": (said(AFTER, b"\n", b"\r"), {"claims.malformed"}),
    "figures in another encoding": (in_utf16, {"claims.malformed"}),
    "a charter without principles": (no_principles, {"claims.malformed"}),
    "a policy that asks for nothing": (gated(lambda gates: [{**g, "required": False} for g in gates]), {"gate.none"}),
    "no policy": (gated(lambda gates: []), {"gate.none"}),
    "a mild gate over a strict one": (gated(two_on_one_figure), {"verdict.gates"}),
    "other gates in the configuration": (said("run.json", b'"margin": 0.1', b'"margin": 0.01'), {"run.changed"}),
    "another version than stated": (said("run.json", b'"version": "', b'"version": "9'), {"run.changed"}),
    "another configuration than stated": (restating(restating_start(config="0" * 64)), {"run.changed"}),
    "adapters of no strength": (other_system(strengths=["bias"]), {"claims.malformed"}),
    "an adapter of no digest": (other_system(digests={}), {"system.parts"}),
    "an adapter that is not there": (other_system(strengths={"bias": 1.0, "adversarial": 1.0}), {"system.parts"}),
    "another adapter than was measured": (other_system(digests={"bias": "0" * 64}), {"system.parts"}),
    "another guard than was measured": (other_guard, {"system.parts"}),
    "an adapter without records": (one_more_adapter, {"system.parts"}),
    "a guard that is not there": (no_guard, {"system.parts"}),
    "rejections of other files, taken back": (rejecting(), set()),
    "a rejection of other files": (rejecting("legal"), {"review.rejected"}),
    "the same where no figure reads them": (rewritten("stages/06_after/guard_alone.jsonl", lambda row: row.pop("judge")), {"claims.malformed"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_ALL)
def test_tampering_by_who_holds_all_keys_has_a_code(bundle: Path, made: Made, name: str) -> None:
    change, codes = BY_ALL[name]
    change(bundle)
    assert both(bundle, trust=made.trust) == codes


def test_records_of_older_runs_are_committed_to_by_their_ids(bundle: Path, made: Made) -> None:
    note = "records/bias.jsonl: source and cell of a record are as told, not committed to"
    assert note not in verify(bundle).notes + script.verify(bundle).notes
    not_committed(bundle)
    assert both(bundle, trust=made.trust) == set()
    assert note in verify(bundle).notes
    assert note in script.verify(bundle).notes


def test_tables_that_the_screen_did_not_state_are_neither_reviewed_nor_released(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    run = finished_run(tmp_path / "runs", roles())
    table = run / "stages/03_screen/adversarial.parquet"
    stated = table.read_bytes()
    kept = read_records(table).records
    write_records([r.model_copy(update={"source": "human", "cell": "clean"}) for r in kept], table)
    with pytest.raises(InputError, match=r"adversarial\.parquet.*release\.changed"):
        sign_all(run)
    table.unlink()
    with pytest.raises(InputError, match=r"release\.changed"):
        release(run, tmp_path / "bundle", WAIVERS)
    table.write_bytes(stated)
    sign_all(run)
    release(run, tmp_path / "bundle", WAIVERS, sign=False)
    assert both(tmp_path / "bundle") == set()


def test_values_left_out_without_an_error_leave_it_undecided(bundle: Path) -> None:
    rewritten(AFTER, lambda row: row.update(value=None) if row["suite"] == "twins" else None)(bundle)
    told = [str(f) for f in verify(bundle).undecided]
    assert told == [
        f"{AFTER}: 4 of 4 cases of twins have no answer and are in no figure [outcomes.uncounted]"
    ]


# --- Bit rot, fuzz, and the second implementation ---------------------------------------------------------------


def evidence_bits(bundle: Path) -> list[tuple[str, int]]:
    names = ["bundle.json", "policy.json", "figures.json", "run.json", "system.json"]
    paths = [bundle / n for n in names] + [
        p for d in ("ledger", "evidence", "records") for p in sorted((bundle / d).rglob("*"))
    ]
    found = [(p.relative_to(bundle).as_posix(), 8 * p.stat().st_size) for p in paths if p.is_file()]
    bits = [(name, bit) for name, count in found for bit in range(count)]
    return bits[::EVERY] if ALL else random.Random(1).sample(bits, 60)


# What follows from its arguments alone and takes most of the time: curve arithmetic, and reading what was not flipped.
PURE: tuple[tuple[Any, str], ...] = (
    *((script, name) for name in ("Entry", "Key", "canonical", "identity", "salted", "strict", "verifies")),
    *((claims, name) for name in ("_identity", "canonical", "digest_of", "salted_root", "strict")),
    *((files, "canonical"), (log, "open_entry"), (PublicKey, "verifies")),
)


class Memory:
    """What a bundle was read as while this learned, for the same bytes; what is flipped is read and asked anew."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.learns, self.flipped = True, Path()
        for place, name in PURE:
            patched.setattr(place, name, self.of(getattr(place, name)))
        walk = files._walk
        patched.setattr(files, "_walk", self.of(lambda folder: list(walk(folder))))  # a flip moves no file
        patched.setattr(script, "walk", self.of(script.walk))
        patched.setattr(Path, "open", self.opening(Path.open))

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[bytes, Any] = {}

        def call(*arguments: Any, **named: Any) -> Any:
            key = pickle.dumps((arguments, named))
            if key in known:
                return known[key]
            result = function(*arguments, **named)
            if self.learns:
                known[key] = result
            return result

        return call

    def opening(self, opens: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[str, bytes] = {}

        def call(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
            if mode != "rb" or path == self.flipped:
                return opens(path, mode, *more, **options)
            if str(path) not in known:
                with opens(path, mode) as file:
                    known[str(path)] = file.read()
            return BytesIO(known[str(path)])

        return call


def holds(bundle: Path, trust: Path) -> bool:
    failures = [verify(bundle, Outside(read_trust(trust))).failures, script.verify(bundle, trust).failures]
    return failures == [[], []]


def flip_bit(path: Path, bit: int) -> None:
    with path.open("r+b", buffering=0) as file:
        byte = file.read(bit // 8 + 1)[-1] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))


def flip_each(bundle: Path, trust: Path, bits: Sequence[tuple[str, int]]) -> tuple[Counter[str], list[str]]:
    """Flip each bit and back; return how many bits gave which codes, and those for which the verifiers share none.

    What is remembered hides nothing: it is of the whole bundle, which must hold with it before, meanwhile and after.
    """
    outside, codes, unseen = Outside(read_trust(trust)), Counter[str](), list[str]()
    with pytest.MonkeyPatch.context() as patched:
        memory = Memory(patched)
        assert holds(bundle, trust)
        memory.learns = False
        for number, (name, bit) in enumerate(bits, start=1):
            memory.flipped = bundle / name
            flip_bit(memory.flipped, bit)
            ours = verify(bundle, outside).codes
            shared = ours & {code for code, _ in script.verify(bundle, trust).failures}
            flip_bit(memory.flipped, bit)
            codes.update(shared)
            unseen += [] if shared else [f"{name}, bit {bit}: {ours}"]
            if number % 2000 == 0:
                print(f"{number} of {len(bits)} bits flipped, {len(unseen)} not seen", file=sys.stderr)
                assert holds(bundle, trust)
        memory.flipped = Path()
        assert holds(bundle, trust)
    return codes, unseen


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_bit_counts(made: Made, tmp_path: Path) -> None:
    bits, parts = evidence_bits(made.bundle), os.cpu_count() or 1 if ALL else 1
    copies = [Path(shutil.copytree(made.bundle, tmp_path / str(part))) for part in range(parts)]
    work = [(copy, made.trust, bits[part::parts]) for part, copy in enumerate(copies)]
    if ALL:
        with get_context("fork").Pool(parts) as pool:
            found = pool.starmap(flip_each, work, chunksize=1)
    else:
        found = [flip_each(*work[0])]
    print(len(bits), "bits flipped:", dict(sum((codes for codes, _ in found), Counter())), file=sys.stderr)
    assert [line for _, unseen in found for line in unseen] == []
    assert all(contents(copy) == contents(made.bundle) for copy in copies)


def test_a_bit_that_nobody_sees_is_named(bundle: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "flip_bit", lambda path, bit: None)
    codes, unseen = flip_each(bundle, made.trust, [("run.json", 3), ("ledger/checkpoint", 9)])
    assert (codes, [line.split(":")[0] for line in unseen]) == (
        {},
        ["run.json, bit 3", "ledger/checkpoint, bit 9"],
    )


def random_log(folder: Path, dice: random.Random) -> None:
    """Write a ledger of some statements, and damage it or not."""
    operator, notary = other("op", 1), other("origin", 2)
    opening = {"ledger": str(notary.public), "operator": str(operator.public), "origin": "origin"}
    bodies: list[tuple[str, dict[str, Any]]] = [("ledger-opened", opening)]
    plain: list[Any] = [
        ("recall", {"kind": "record", "name": "r", "reason": "é\n\"\\"}),
        ("trim", {"run": "r", "stage": dice.choice(["trim", "x"])}),
        ("key", {"new": str(other("op2", 3).public), "old": operator.public.id, "reason": "", "role": dice.choice(["operator", "x"])}),
    ]  # fmt: skip
    of_reviewers: list[Any] = [
        ("roles", {"demo": False, "run": "r", "roles": [{"name": "a", "keys": [str(other("ann", 4).public)]}]}),
        ("key", {"new": str(other("ann", dice.choice([4, 5, 6])).public), "old": other("ann", dice.choice([4, 5])).public.id, "reason": "", "role": "reviewer"}),
        ("revocation", {"key": other("ann", dice.choice([1, 4, 5])).public.id, "reason": ""}),
        ("review", {"answers": {}, "comment": "", "decision": "approve", "expires": LATER, "role": "a", "run": "r", "seen": {}}),
    ]  # fmt: skip
    if dice.random() < 0.5:
        bodies.append(of_reviewers[0])
        plain += of_reviewers
    bodies += [dice.choice(plain) for _ in range(dice.randrange(6))]
    entries = []
    for i, (name, body) in enumerate(bodies):
        time = f"2026-01-{10 + (i if dice.random() < 0.95 else -i):02d}T00:00:00Z"
        signers = [operator, other("op2", 3)] if name == "key" else [operator]
        if name == "review" or body.get("role") == "reviewer":
            signers = [other("ann", n) for n in dice.choice([(4,), (5,), (4, 5), (5, 6)])]
        if dice.random() < 0.05:
            signers = [other("z", dice.randrange(1, 6))]
        entries.append(seal(Statement(name, {}, {**body, "time": time}), signers))
    if dice.random() < 0.3:
        at = dice.randrange(len(entries))
        data = bytearray(entries[at])
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        entries[at] = bytes(data)
    for path, tile in new_tiles(folder, 0, entries).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(tile)
    top = root([leaf_hash(e) for e in entries])
    (folder / "checkpoint").write_bytes(sign_checkpoint(Checkpoint("origin", len(entries), top), [notary]))
    if dice.random() < 0.3:
        flip_any(folder, dice)


def flip_any(folder: Path, dice: random.Random) -> None:
    path = dice.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def test_both_implementations_agree_on_random_logs(tmp_path: Path) -> None:
    honest = 0
    for seed in range(10_000 if ALL else 60):
        folder = tmp_path / str(seed)
        random_log(folder, random.Random(seed))
        report, found = Report(), script.Found()
        if ours := read_log(folder, report):
            check_log(ours[0], ours[1], report)
        if theirs := script.read_ledger(folder, found):
            log = script.Log(theirs[0], theirs[1], found)
            if log.readable:
                log.check()
        assert report.codes == {code for code, _ in found.failures}, f"seed {seed}"
        honest += not report.failures
        shutil.rmtree(folder)
    assert honest > 5


def test_nothing_else_than_findings_comes_of_hostile_files(bundle: Path, made: Made) -> None:
    dice = random.Random(3)
    paths = sorted(p for p in bundle.rglob("*") if p.is_file())
    for _ in range(2000 if ALL else 16):
        path = dice.choice(paths)
        data = path.read_bytes()
        junk = dice.choice(
            [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 9999, data[: len(data) // 2], data + b"\n"]
        )
        path.write_bytes(junk)
        if junk != data:
            relist_quietly(bundle, path)
            assert verify(bundle).failures
            assert script.verify(bundle).failures
        path.write_bytes(data)
        shutil.copy(made.bundle / "bundle.json", bundle / "bundle.json")


def relist_quietly(bundle: Path, path: Path) -> None:
    if path.name != "bundle.json" and "ledger" not in path.parts[-5:]:
        relist(bundle)


# --- The commands -----------------------------------------------------------------------------------------------


def test_the_command_says_what_failed(command: Command, bundle: Path, made: Made) -> None:
    code, out, _ = command("verify", bundle, "--trust", made.trust)
    assert code == 0
    assert out.endswith("recomputed: holds\n")
    assert (
        "waived: refusal_twins inconclusive, by A. Owner at its release, until 2036-01-01T00:00:00Z: a fake model"
        in out
    )
    assert command("verify", bundle).code == 3
    (bundle / "records/bias.jsonl").unlink()
    code, out, _err = command("verify", bundle, "--trust", made.trust)
    assert code == 1
    assert "records/bias.jsonl: is not there [bundle.missing]" in out
    assert out.endswith("recomputed: 2 failures\n")
    lines = [json.loads(line) for line in command("verify", bundle, "--json").out.splitlines()]
    assert lines[0]["code"] == "bundle.missing"
    assert lines[-1]["event"] == "verified"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere"], "bundle.none"),
        ([".", "--at", "tomorrow"], "verify.time"),
        ([".", "--trust", "nowhere"], "trust.unreadable"),
        ([".", "--known-checkpoint", "nowhere"], "known.unreadable"),
    ],
)
def test_what_cannot_be_read_is_named(command: Command, arguments: list[str], code: str) -> None:
    ended = command("verify", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert f"[{code}]" in ended.err


def test_the_script_in_the_bundle_runs_alone(made: Made, bundle: Path) -> None:
    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(made.bundle / "verify.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(bundle, "--trust", made.trust).returncode == 0
    assert run(bundle).returncode == 3
    assert "not authenticated" in run(bundle).stdout
    assert run("nowhere").returncode == 2
    outcomes(bundle).unlink()
    ended = run(bundle, "--trust", made.trust)
    assert ended.returncode == 1
    assert "[bundle.missing]" in ended.stdout
    assert "holds" not in ended.stdout


def test_the_script_ends_with_its_code(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["verify.py", str(made.bundle)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script.__file__), run_name="__main__")
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        ("--trust {trust}", (0, "evidence: holds; signers as trusted")),
        (
            "--trust {trust} --known-checkpoint {bundle}/ledger/checkpoint",
            (0, "as trusted; figures, documents, witnesses and what model.sig says were not checked"),
        ),
        ("", (3, "signer not authenticated")),
        ("--trust {trust} --at 2099-01-01T00:00:00Z", (3, "evidence: due")),
        ("--trust {keys}", (1, "failures")),
    ],
)
def test_the_script_ends_as_its_guide_says(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, ends: tuple[int, str]
) -> None:
    (tmp_path / "keys").write_text(f"operator {other().public}\n")
    given = [
        a.format(trust=made.trust, bundle=made.bundle, keys=tmp_path / "keys") for a in arguments.split()
    ]
    with patch.object(sys, "argv", ["verify.py", str(made.bundle), *given]):
        assert script.main() == ends[0]
    assert ends[1] in capsys.readouterr().out


def test_both_read_a_file_of_keys_alike(made: Made, tmp_path: Path) -> None:
    second = PublicKey("second", load_key("operator").public.raw)
    trust = tmp_path / "keys"
    trust.write_text(f"{made.trust.read_text()}operator {second}\n# once more\noperator {second}\n")
    assert both(made.bundle, trust=trust) == set(), "one key is one signer under any name"
    trust.write_text(f"{made.trust.read_text()}safety {second}\n")
    with pytest.raises(ConfigError, match=r"trust\.twice"):
        read_trust(trust)
    with pytest.raises(ValueError, match="one in two roles"):
        script.read_trust(trust)


@pytest.mark.parametrize("y", [1, 2**255 - 20, 2**255 - 19, 2**255 - 1])
def test_a_key_has_one_form(y: int) -> None:
    """RFC 8032, 5.1.3: where x is 0 there is no sign, and y is below the field's size."""
    key = str(PublicKey("x", (y | 1 << 255).to_bytes(32, "little")))
    with pytest.raises(InputError, match=r"key\.malformed"):
        parse_key(key, "here")
    with pytest.raises(ValueError, match="not a key"):
        script.Key(key)


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "--at", "tomorrow"], [".", "--trust", "nowhere"]])
def test_the_script_refuses_what_it_cannot_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["verify.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("levels", [98, 99, 100, 101, 2000])
def test_what_is_too_deep_does_not_depend_on_the_reader(levels: int) -> None:
    data, refused = b"[" * levels + b"1" + b"]" * levels, levels > 99
    with pytest.raises(script.EvidenceError) if refused else nullcontext():
        script.canonical(data)
    with pytest.raises(InputError) if refused else nullcontext():
        canonical(data, "here", "claims.malformed")


@pytest.mark.parametrize("line", ["operator", "operator {key} more", "{key}"])
def test_both_refuse_lines_of_keys_that_are_none(made: Made, tmp_path: Path, line: str) -> None:
    trust = tmp_path / "keys"
    trust.write_text(made.trust.read_text() + line.format(key=other().public) + "\n")
    with pytest.raises(ConfigError, match=r"trust\.line"):
        read_trust(trust)
    with pytest.raises(ValueError, match="is not ROLE KEY"):
        script.read_trust(trust)


def test_the_script_names_tiles_and_reads_json_as_the_ledger_does() -> None:
    for index in (0, 1, 999, 1000, 1_234_067):
        for width in (1, 256):
            assert script.tile_name("0", index, width) == tile_path(0, index, width)
    with pytest.raises(script.EvidenceError, match=r"claims\.malformed"):
        script.canonical(b"[" * 100_000)


def test_every_code_is_described() -> None:
    text, described, prefix = (
        (Path(__file__).parents[1] / "docs/evidence.md").read_text(encoding="utf-8"),
        set[str](),
        "",
    )
    for name in re.findall(r"`([^`\n]+)`", text[text.index("## Codes") :]):
        prefix = prefix if name[0] == "." else name.split(".")[0]
        described.add(prefix + name if name[0] == "." else name)
    package = Path(claims.__file__).parent
    for path in (
        Path(str(script.__file__)),
        *(package / f"{n}.py" for n in ("claims", "files", "recalls", "reviews")),
    ):
        told = set(re.findall(r'"([a-z-]+\.[a-z-]+)"', path.read_text(encoding="utf-8")))
        files = {name for name in told if name.endswith((".json", ".sig", ".md", ".py"))}
        assert told - files <= described, path.name


@pytest.mark.parametrize("told", [["id", "lineage_id"], ["id", "lineage_id", "row"]])
def test_what_a_run_of_an_older_version_committed_to_stays_its_commitment(
    tmp_path: Path, told: list[str]
) -> None:
    rows = [{"id": "1", "lineage_id": "2", "row": "3"}, {"id": "4", "lineage_id": "5", "row": "6"}]
    first = commit([{k: row[k] for k in told} for row in rows], tmp_path / "opening.jsonl")
    assert commit(rows, tmp_path / "opening.jsonl") == first
    for others in ([{**row, "id": "7"} for row in rows], rows[:1]):
        with pytest.raises(ConfigError, match=r"run\.cases-changed"):
            commit(others, tmp_path / "opening.jsonl")
    assert commit(rows, tmp_path / "opening.jsonl") == first


def test_a_key_beyond_the_field_verifies_nothing() -> None:
    assert not script.verifies(b"\xff" * 31 + b"\x7f", bytes(64), b"")


def test_the_script_is_short_and_needs_nothing() -> None:
    text = Path(str(script.__file__)).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 700
    names = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert names <= set(sys.stdlib_module_names) | {"__future__"}


@pytest.mark.parametrize(
    ("secret", "data", "signature"),  # RFC 8032, section 7.1
    [
        ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "", "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
        ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72", "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
        ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82", "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
    ],
)  # fmt: skip
def test_known_signatures(secret: str, data: str, signature: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).public_key().public_bytes_raw()
    assert script.verifies(key, bytes.fromhex(signature), bytes.fromhex(data))
    assert not script.verifies(key, bytes.fromhex(signature), bytes.fromhex(data) + b"x")
    assert not script.verifies(key[::-1], bytes.fromhex(signature), bytes.fromhex(data))


@given(
    st.from_regex(
        r"\A(?:[0-9]{2}(?:00|24|96|99)|0000)-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z\Z"
    )
)
@example("2000-02-29T00:00:00Z")
@example("1900-02-29T00:00:00Z")
@example("2026-01-01T00:00:60Z")
def test_both_know_the_times_that_there_are(text: str) -> None:
    assert is_time(text) == bool(re.fullmatch(script.TIME, text))


def test_both_refuse_a_witness_that_is_none(made: Made, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    for key in ("x", str(load_key("operator").public)):
        trust.write_text(f"{made.trust.read_text()}witness {key}\n")
        with pytest.raises(TrimtabError, match=r"key\.malformed"):
            read_trust(trust)
        with pytest.raises(ValueError, match=r"not a key|base64|padding"):
            script.read_trust(trust)
