"""Cosignatures: that a witness saw a checkpoint at a time (C2SP tlog-cosignature, version 1, Ed25519).

A line under a note holds the key's hash, the seconds since 1970 in eight bytes, and a signature over
``cosignature/v1``, the time and the checkpoint. A witness's key is written as others are, with 0x04 in the place of 0x01.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.governance.ledger.note import PublicKey, Signed, encode64, key_hash, malformed, read_key

KIND = b"\x04"
LENGTH = 8 + 64  # time and signature


@dataclass(frozen=True)
class Witness:
    """The key of a witness: it signs nothing but cosignatures, so that it is no key of another kind."""

    name: str
    raw: bytes

    @property
    def hash(self) -> bytes:
        """Four bytes by which notes name the key."""
        return key_hash(self.name, KIND + self.raw)

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{encode64(KIND + self.raw)}"


def parse_witness(text: str, place: str) -> Witness:
    """Read the key of a witness; raises InputError with the code `key.malformed`."""
    return Witness(*read_key(text, place, KIND))


def message(text: str, seconds: int) -> bytes:
    """Return what a witness signs of a checkpoint's text."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def seen_at(note: Signed, witness: Witness) -> int | None:
    """Return when a witness saw a checkpoint, in seconds since 1970, by its own clock; None where it did not sign.

    Raises InputError with the code `witness.signature` where its signature does not cover it.
    """
    own = [s for name, hashed, s in note.signatures if (name, hashed) == (witness.name, witness.hash)]
    if not own:
        return None
    seconds = int.from_bytes(own[0][:8], "big")
    data = message(note.checkpoint.text, seconds)
    if len(own[0]) != LENGTH or not PublicKey(witness.name, witness.raw).verifies(own[0][8:], data):
        raise malformed("witness.signature", witness.name, "its cosignature does not cover the checkpoint")
    return seconds
