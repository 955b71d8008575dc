"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) with Ed25519 keys.

A key is written as C2SP does: ``NAME+HASH+BASE64(0x01 and the 32 bytes of the public key)``, HASH being the first
four bytes of the SHA-256 of the name, a line break, 0x01 and the key, in hex.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from trimtab.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAME = re.compile(r"[A-Za-z0-9._/-]{1,100}")
ED25519 = b"\x01"  # the first byte of such a key, by which it is told from one of a witness
_FIELD = 2**255 - 19
_LARGEST = 2**53 - 1


def malformed(code: str, place: str, what: str) -> InputError:
    """Return the error of evidence that is not written as it must be."""
    return InputError(Problem(code, place, what, "Take the file again from where it was published."))


def decode64(text: str, place: str, code: str) -> bytes:
    """Return the bytes of canonical base64: no white space, no other alphabet, no spare bits."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(code, place, "is not base64") from error
    if encode64(data) != text:
        raise malformed(code, place, "is base64 with spare bits")
    return data


def encode64(data: bytes) -> str:
    """Return canonical base64."""
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True)
class PublicKey:
    """A named Ed25519 key; two names of one key are one signer, so signers are counted by `id`."""

    name: str
    raw: bytes

    @property
    def id(self) -> str:
        """SHA-256 of the 32 bytes of the key, in hex: what envelopes name."""
        return sha256(self.raw).hexdigest()

    @property
    def hash(self) -> bytes:
        """Four bytes by which notes name the key."""
        return key_hash(self.name, ED25519 + self.raw)

    def __str__(self) -> str:
        key = encode64(ED25519 + self.raw)
        return f"{self.name}+{self.hash.hex()}+{key}"

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature of this key covers the data (RFC 8032)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SecretKey:
    """A key that signs."""

    public: PublicKey
    secret: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        return self.secret.sign(data)


def parse_key(text: str, place: str) -> PublicKey:
    """Read a key as C2SP writes it; raises InputError with the code `key.malformed`."""
    return PublicKey(*read_key(text, place, ED25519))


def read_key(text: str, place: str, kind: bytes) -> tuple[str, bytes]:
    """Return the name and the 32 bytes of an Ed25519 key of a kind, which its first byte says."""
    name, _, rest = text.partition("+")
    hashed, _, key = rest.partition("+")
    data = decode64(key, place, "key.malformed")
    if not NAME.fullmatch(name) or len(data) != 33 or data[:1] != kind:
        raise malformed("key.malformed", place, "is not NAME+HASH+KEY of a key of this kind")
    if key_hash(name, data).hex() != hashed:
        raise malformed("key.malformed", place, "the hash is not that of name and key")
    number = int.from_bytes(data[1:], "little")  # y; the last bit is the sign of x, and none where x is 0
    if number % 2**255 >= _FIELD or number - 2**255 in (1, _FIELD - 1):
        raise malformed("key.malformed", place, "the key is not written in its only form")
    return name, data[1:]


def key_hash(name: str, data: bytes) -> bytes:
    """Return the four bytes by which notes name a key (C2SP signed-note); `data` is its kind and the key."""
    return sha256(name.encode() + b"\n" + data).digest()[:4]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a log: its origin, the number of entries and the root of their tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"


@dataclass(frozen=True)
class Signed:
    """A note as it was read: the checkpoint, and the lines of signatures under it as (name, key hash, signature)."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key signed it."""
        data = self.checkpoint.text.encode()
        found = [s for name, hashed, s in self.signatures if name == key.name and hashed == key.hash]
        return bool(found) and all(key.verifies(s, data) for s in found)


def sign_checkpoint(checkpoint: Checkpoint, keys: Iterable[SecretKey]) -> bytes:
    """Return the note: text, an empty line, one line for each signature."""
    lines = [
        f"— {k.public.name} {encode64(k.public.hash + k.sign(checkpoint.text.encode()))}\n" for k in keys
    ]
    return f"{checkpoint.text}\n{''.join(lines)}".encode()


def parse_checkpoint(data: bytes, place: str, code: str = "ledger.checkpoint") -> Signed:
    """Read a signed checkpoint of exactly three lines; raises InputError for anything else."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed(code, place, "is not UTF-8") from error
    match = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:— [^\n]+\n)+)", text)
    if not match or not NAME.fullmatch(match[1]) or int(match[2]) > _LARGEST:
        raise malformed(code, place, "is not a signed checkpoint")
    root = decode64(match[3], place, code)
    if len(root) != 32:
        raise malformed(code, place, "the root is not 32 bytes")
    signatures = tuple(_signature(line, place, code) for line in match[4][:-1].split("\n"))
    if len({(name, hashed) for name, hashed, _ in signatures}) < len(signatures):
        raise malformed(code, place, "a key is named twice")
    return Signed(Checkpoint(match[1], int(match[2]), root), signatures)


def _signature(line: str, place: str, code: str) -> tuple[str, bytes, bytes]:
    match = re.fullmatch(r"— ([^ ]+) ([^ ]+)", line)
    data = decode64(match[2], place, code) if match else b""
    # A hash of four bytes, then a signature of 64, or a cosignature with its time of eight more.
    if not match or not NAME.fullmatch(match[1]) or len(data) not in (68, 76):
        raise malformed(code, place, "a line under it is no Ed25519 signature")
    return match[1], data[:4], data[4:]
