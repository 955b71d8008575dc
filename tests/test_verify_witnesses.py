"""Who else saw a ledger, and when: cosignatures and timestamps on a checkpoint that the auditor brings."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trimtab.errors import ConfigError, InputError
from trimtab.governance.keys import load_key, read_trust
from trimtab.governance.ledger.cosignature import Witness, message, parse_witness, seen_at
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import parse_checkpoint
from trimtab.governance.release import release
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.verify import Outside, read_known, verify
from trimtab.governance.verify.witnesses import read_timestamp
from trimtab.run.directory import RunDirectory

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun

SECRET = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
WITNESS = Witness("witness.example/w1", SECRET.public_key().public_bytes_raw())


class Made(NamedTuple):
    """A bundle, and the checkpoint of its ledger from before training."""

    bundle: Path
    early: Path


def audited_at() -> str:
    """Return a time after everything in the ledger, whose stages are an hour ahead."""
    return (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(autouse=True)
def audited_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.governance.verify.verify.now", audited_at)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, finished_run: FinishedRun) -> Made:
    folder = tmp_path_factory.mktemp("witnessed")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trimtab.governance.verify.verify.now", audited_at)

        def keep(run: RunDirectory) -> None:
            """Keep what the ledger is before its stages are stated, which is an hour later."""
            shutil.copy(run.folder.parent / "ledger/checkpoint", folder / "early")
            later = datetime.now(UTC) + timedelta(hours=1)
            patched.setattr(
                "trimtab.governance.ledger.ledger.now", lambda: later.strftime("%Y-%m-%dT%H:%M:%SZ")
            )

        run = finished_run(folder / "runs", (), keep)
        release(run, folder / "bundle", demo=True, sign=False)
    return Made(folder / "bundle", folder / "early")


def cosigned(note: bytes, time: datetime, *, other_text: bool = False) -> bytes:
    """Return a note with a line of the witness under it."""
    seconds = int(time.timestamp())
    text = parse_checkpoint(note, "here").checkpoint.text
    signature = SECRET.sign(message(f"x{text}" if other_text else text, seconds))
    line = base64.b64encode(WITNESS.hash + seconds.to_bytes(8, "big") + signature).decode()
    return note + f"— {WITNESS.name} {line}\n".encode()


def keys(folder: Path, *, witness: bool = True) -> Path:
    path = folder / "keys.txt"
    names = (
        ("operator", "operator"),
        ("ledger", "ledger"),
        ("safety", "trial-safety"),
        ("fairness", "trial-fairness"),
    )
    lines = [f"{role} {load_key(name).public}" for role, name in names]
    # A trial's roles bear the names of its keys.
    lines = [
        line.replace("safety ", "trial-safety ", 1).replace("fairness ", "trial-fairness ", 1)
        for line in lines
    ]
    path.write_text("\n".join([*lines, *([f"witness {WITNESS}"] if witness else [])]) + "\n")
    return path


def test_a_cosignature_has_one_form(made: Made) -> None:
    note = parse_checkpoint(cosigned(made.early.read_bytes(), datetime(2026, 1, 31, tzinfo=UTC)), "here")
    assert seen_at(note, WITNESS) == 1769817600
    assert seen_at(parse_checkpoint(made.early.read_bytes(), "here"), WITNESS) is None
    assert parse_witness(str(WITNESS), "here") == WITNESS
    assert str(WITNESS).split("+")[2].startswith("B")  # 0x04
    for text in (str(load_key("ledger").public), f"{WITNESS}x", str(WITNESS).replace("w1", "w2"), "w"):
        with pytest.raises(InputError, match=r"key\.malformed"):
            parse_witness(text, "here")


def test_a_witness_of_after_training_dates_no_terms(command: Command, made: Made, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_bytes(cosigned(made.early.read_bytes(), datetime.now(UTC) + timedelta(hours=2)))
    code, out, _ = command("verify", made.bundle, "--trust", keys(tmp_path), "--known-checkpoint", known)
    assert code == 0
    assert "fixed before training: as claimed; the known checkpoint holds them" in out


def test_a_witness_dates_the_terms(command: Command, made: Made, tmp_path: Path) -> None:
    known, trust = tmp_path / "known", keys(tmp_path)
    known.write_bytes(cosigned(made.early.read_bytes(), datetime.now(UTC)))
    code, out, _ = command("verify", made.bundle, "--trust", trust, "--known-checkpoint", known)
    assert code == 0
    assert "fixed before training: witnessed by witness.example/w1 at 20" in out
    assert not script.verify(made.bundle, trust, known).failures
    # One that the auditor does not trust says nothing, and the checkpoint still counts as his own.
    outside = Outside(read_trust(keys(tmp_path, witness=False)), read_known(known))
    report = verify(made.bundle, outside)
    assert not report.failures
    assert any("as claimed; the known checkpoint holds them" in n for n in report.notes)


def test_a_cosignature_of_something_else_is_told(made: Made, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_bytes(cosigned(made.early.read_bytes(), datetime.now(UTC), other_text=True))
    report = verify(made.bundle, Outside(read_trust(keys(tmp_path)), read_known(known)))
    assert report.codes == {"witness.signature"}


def test_entries_that_claim_to_be_later_than_they_were_seen_are_told(made: Made, tmp_path: Path) -> None:
    known, trust = tmp_path / "known", read_trust(keys(tmp_path))
    known.write_bytes(cosigned(made.early.read_bytes(), datetime.now(UTC) - timedelta(days=1)))
    assert verify(made.bundle, Outside(trust, read_known(known))).codes == {"witness.clock"}
    known.write_bytes(cosigned(made.early.read_bytes(), datetime.now(UTC) - timedelta(minutes=1)))
    assert not verify(made.bundle, Outside(trust, read_known(known))).failures
    known.write_bytes(cosigned(made.early.read_bytes(), datetime(9000, 1, 1, tzinfo=UTC)))
    report = verify(made.bundle, Outside(trust, read_known(known)))
    assert not report.failures, "a time that no calendar has is no crash"


def test_the_checkpoint_of_a_bundle_is_signed_by_its_ledger_alone(made: Made, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "b"))
    path = bundle / "ledger/checkpoint"
    path.write_bytes(cosigned(path.read_bytes(), datetime.now(UTC)))
    assert verify(bundle).codes == {"ledger.signature"}
    assert [code for code, _ in script.verify(bundle).failures] == ["ledger.signature"]
    assert Log(bundle / "ledger").head().size > 0


# --- RFC 3161 ---------------------------------------------------------------------------------------------------

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
[extensions]
extendedKeyUsage = critical, timeStamping
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an authority with a root of its own."""
    pytest.importorskip("rfc3161_client")
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make timestamps with")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "config").write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        folder,
        "req",
        "-x509",
        *new,
        "-keyout",
        "root.key",
        "-out",
        "root.pem",
        "-subj",
        "/CN=root",
        "-days",
        "3650",
    )
    openssl(folder, "req", *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=authority")
    openssl(
        folder, "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
        "-out", "tsa.pem", "-days", "3650", "-extfile", "config", "-extensions", "extensions",
    )  # fmt: skip
    return folder


def stamp(authority: Path, file: Path) -> Path:
    openssl(authority, "ts", "-query", "-data", str(file), "-sha256", "-cert", "-out", "query")
    openssl(authority, "ts", "-reply", "-config", "config", "-queryfile", "query", "-out", "response")
    return authority / "response"


def test_a_timestamp_dates_the_terms(command: Command, made: Made, authority: Path, tmp_path: Path) -> None:
    response = stamp(authority, made.early)
    brought = [
        "--known-checkpoint",
        made.early,
        "--timestamp",
        response,
        "--authority",
        authority / "root.pem",
    ]
    code, out, _ = command("verify", made.bundle, "--trust", keys(tmp_path), *brought)
    assert code == 0
    assert "fixed before training: witnessed by the timestamp's authority at 20" in out
    other = tmp_path / "other"
    other.write_bytes(made.early.read_bytes() + b"x")
    wrong = ["--timestamp", stamp(authority, other), "--authority", authority / "root.pem"]
    assert "[timestamp.wrong]" in command("verify", made.bundle, "--known-checkpoint", made.early, *wrong).err
    (tmp_path / "junk").write_bytes(b"junk")
    for name, root in (
        ("junk", authority / "root.pem"),
        ("none", authority / "root.pem"),
        ("junk", tmp_path / "junk"),
    ):
        wrong = ["--timestamp", tmp_path / name, "--authority", root]
        assert (
            "[timestamp.wrong]"
            in command("verify", made.bundle, "--known-checkpoint", made.early, *wrong).err
        )
    assert "[verify.timestamp]" in command("verify", made.bundle, "--timestamp", response).err


def test_a_timestamp_of_another_authority_is_refused(
    command: Command, made: Made, authority: Path, tmp_path: Path
) -> None:
    response = stamp(authority, made.early)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        tmp_path, "req", "-x509", *new, "-keyout", "k", "-out", "root.pem", "-subj", "/CN=root", "-days", "9"
    )
    brought = [
        "--known-checkpoint",
        made.early,
        "--timestamp",
        response,
        "--authority",
        tmp_path / "root.pem",
    ]
    err = command("verify", made.bundle, *brought).err
    assert "[timestamp.wrong]" in err
    assert "certificate" in err


def test_a_timestamp_needs_the_part_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(ConfigError, match=r"trimtab\[sign\].*timestamp\.not-installed"):
        read_timestamp(tmp_path / "response", tmp_path / "root.pem", tmp_path / "known")
