"""The signature of a whole bundle as model-signing makes it, by a key on P-256 that an entry of the ledger names.

The ledger's own keys are Ed25519, which model-signing does not take. The file `model.sig` is a Sigstore bundle (v0.3): a
DSSE envelope whose statement lists the SHA-256 of every file but itself. It is made where model-signing is installed,
and checked here without it.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import ConfigError, Problem, install_line
from trimtab.governance.keys import PASSPHRASE, config_folder
from trimtab.governance.ledger.envelope import PAYLOAD_TYPE, STATEMENT, Statement, pae
from trimtab.governance.verify.files import MODEL_SIGNATURE
from trimtab.governance.verify.report import Report
from trimtab.models.cache import file_digest
from trimtab.records.write import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

KIND = "bundle-key"
HINT = install_line("sign")
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://model_signing/signature/v1.0"
SERIALIZATION = {
    "allow_symlinks": False,
    "hash_type": "sha256",
    "ignore_paths": [MODEL_SIGNATURE],
    "method": "files",
}


def can_sign() -> bool:
    """Whether model-signing is installed, with what it needs and does not declare."""
    return find_spec("model_signing") is not None and find_spec("OpenSSL") is not None


def key_statement(run: str) -> Statement:
    """Return the statement that binds this user's P-256 key to the release of a run."""
    return Statement(KIND, {}, {"key": public_key(), "run": run})


def public_key() -> str:
    """Return this user's public key on P-256 as PEM; it is made at first use."""
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _key().public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _path() -> Path:
    return config_folder() / "p256" / "bundle.pem"


def _phrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = _path()
    if not path.exists():
        phrase = _phrase()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption(),
        )
        write_bytes(path, data, private=True)
    data = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, _phrase() if b"ENCRYPTED" in data else None)
    except (ValueError, TypeError) as error:
        fix = f"Set {PASSPHRASE}, or restore the file."
        raise ConfigError(Problem("key.unreadable", str(path), "cannot be opened", fix)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(Problem("key.kind", str(path), "is not a key on P-256", "Remove it."))
    return key


@contextmanager
def _plain_key() -> Iterator[Path]:
    """Give a file of this user's, for a moment, with the key in the clear as model-signing reads it."""
    import tempfile

    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    data = _key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    with tempfile.TemporaryDirectory() as folder:
        write_bytes(Path(folder) / "key.pem", data, private=True)
        yield Path(folder) / "key.pem"


def sign(bundle: Path) -> None:
    """Write `model.sig` into a bundle that is complete but for it."""
    from model_signing import hashing, signing

    bundle = bundle.resolve()  # of a relative path the statement would name another file as left out
    # By itself it would leave out what begins with .git, and follow links.
    what: Any = hashing.Config()  # type: ignore[no-untyped-call]
    what.set_ignored_paths(paths=[bundle / MODEL_SIGNATURE], ignore_git_paths=False)
    what.set_allow_symlinks(False)
    with _plain_key() as key:
        signer: Any = signing.Config()  # type: ignore[no-untyped-call]
        signer.set_hashing_config(what).use_elliptic_key_signer(private_key=key)
        signer.sign(bundle, bundle / MODEL_SIGNATURE)


def check(bundle: Path, stated: str | None, report: Report) -> None:
    """Check `model.sig` against the files and the key that the ledger states for the run; None where it states none.

    That it is there with a key, and not without one, is checked with the run's statements.
    """
    path, must = bundle / MODEL_SIGNATURE, report.must
    if stated is None:
        report.notes.append("model-signing: the bundle is not signed with it")
        return
    try:
        payload, signature = _opened(json.loads(path.read_bytes()), stated)
        files = _listed(json.loads(payload))
    except (ValueError, KeyError, TypeError, RecursionError):
        must(
            False,
            "model-signature.malformed",
            MODEL_SIGNATURE,
            "is not what model-signing writes for this key",
        )
        return
    must(
        _verifies(stated, signature, pae(payload)),
        "model-signature.signature",
        MODEL_SIGNATURE,
        "its signature does not cover it",
    )
    there = {
        p.relative_to(bundle).as_posix(): file_digest(p)
        for p in bundle.rglob("*")
        if p.is_file() and p != path
    }
    wrong = sorted({name for name in files.keys() | there.keys() if files.get(name) != there.get(name)})
    must(not wrong, "model-signature.files", MODEL_SIGNATURE, f"does not cover {', '.join(wrong[:3])}")


def _opened(value: Any, stated: str) -> tuple[bytes, bytes]:
    """Return payload and signature of a Sigstore bundle that has nothing else in it; raises ValueError and the like."""
    (row,) = value["dsseEnvelope"]["signatures"]
    payload, signature = (
        base64.b64decode(t, validate=True) for t in (value["dsseEnvelope"]["payload"], row["sig"])
    )
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }
    material = {"publicKey": {"hint": sha256(stated.encode()).hexdigest()}, "tlogEntries": []}
    if value != {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}:
        raise ValueError("another form")
    return payload, signature


def _listed(statement: Mapping[str, Any]) -> dict[str, str]:
    """Return name → SHA-256 of what a statement of model-signing lists."""
    rows = statement["predicate"]["resources"]
    kinds = (statement["_type"], statement["predicateType"], statement["predicate"]["serialization"])
    found = {row["name"]: row["digest"] for row in rows}
    if kinds != (STATEMENT, PREDICATE, SERIALIZATION) or len(found) != len(rows):
        raise ValueError("another statement")
    if {row["algorithm"] for row in rows} != {"sha256"}:
        raise ValueError("another digest")
    return found


def _verifies(stated: str, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(stated.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True
