"""Keys: in the user's config folder, readable by the user only, each under a name, optionally with a passphrase."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.errors import ConfigError, Problem
from trimtab.governance.ledger.cosignature import Witness, parse_witness
from trimtab.governance.ledger.note import PublicKey, SecretKey, parse_key
from trimtab.records.write import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, LEDGER, WITNESS = "operator", "ledger", "witness"
PASSPHRASE = "TRIMTAB_PASSPHRASE"


def config_folder() -> Path:
    """Return `$TRIMTAB_CONFIG`, or `trimtab` in the user's folder of configuration."""
    named = os.environ.get("TRIMTAB_CONFIG")
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(named) if named else Path(base) / "trimtab"


def key_path(name: str) -> Path:
    """Return where the key of a name is kept; raises ConfigError for what is no name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        fix = "Use letters, digits, dots, dashes and underscores."
        raise ConfigError(Problem("key.name", ascii(name)[1:-1][:80], "is not a name for a key", fix))
    return config_folder() / "keys" / f"{name}.pem"


def new_key(name: str) -> SecretKey:
    """Make a key and keep it, encrypted if `$TRIMTAB_PASSPHRASE` is set; raises ConfigError if the name is taken."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = key_path(name)
    if path.exists():
        fix = "Choose another name: a key is never overwritten."
        raise ConfigError(Problem("key.exists", str(path), "there is a key of this name", fix))
    secret, phrase = Ed25519PrivateKey.generate(), _passphrase()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption(),
    )
    write_bytes(path, data, private=True)
    return _named(name, secret)


def load_key(name: str, *, make: bool = False) -> SecretKey:
    """Return the key of a name, made at first use if `make`; raises ConfigError where it cannot be used."""
    path = key_path(name)
    if not path.exists():
        if make:
            return new_key(name)
        fix = f"Make one: trimtab keys new {name}"
        raise ConfigError(Problem("key.missing", str(path), "there is no key of this name", fix))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        fix = f"chmod 600 {path}"
        raise ConfigError(Problem("key.readable", str(path), "others may read this key", fix))
    return _named(name, _parse(path))


def find_key(key_id: str) -> SecretKey | None:
    """Return the key of this user with an id, under whatever name; None where there is none that can be opened."""
    for path in sorted((config_folder() / "keys").glob("*.pem")):
        with contextlib.suppress(ConfigError):
            key = load_key(path.stem)
            if key.public.id == key_id:
                return key
    return None


def retire_key(name: str, new: str) -> None:
    """Give the key `new` the name of another, which is kept under its name and the beginning of its id."""
    old = load_key(name)
    key_path(name).rename(key_path(f"{name}-{old.public.id[:8]}"))
    key_path(new).rename(key_path(name))


def _parse(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = path.read_bytes()
    try:
        secret = load_pem_private_key(data, _passphrase() if b"ENCRYPTED" in data else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        fix = f"Set {PASSPHRASE}, or restore the file."
        raise ConfigError(Problem("key.unreadable", str(path), "cannot be opened", fix)) from error
    if not isinstance(secret, Ed25519PrivateKey):
        raise ConfigError(Problem("key.kind", str(path), "is not an Ed25519 key", "Use another name."))
    return secret


def _passphrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _named(name: str, secret: Ed25519PrivateKey) -> SecretKey:
    public = secret.public_key().public_bytes_raw()
    return SecretKey(PublicKey(name, public), secret)


def known_keys() -> list[SecretKey]:
    """Return the keys of this user, by name."""
    return [load_key(p.stem) for p in sorted((config_folder() / "keys").glob("*.pem"))]


@dataclass(frozen=True)
class Trust:
    """Which key the auditor trusts in which role, and which witnesses."""

    roles: Mapping[str, tuple[PublicKey, ...]]
    witnesses: tuple[Witness, ...] = ()

    def has(self, role: str, key: PublicKey) -> bool:
        """Whether the key, under any name, is trusted in the role."""
        return any(k.raw == key.raw for k in self.roles.get(role, ()))

    def has_named(self, role: str, key: PublicKey) -> bool:
        """Whether the key is trusted in the role under this name, which a note carries."""
        return key in self.roles.get(role, ())


def read_trust(path: Path) -> Trust:
    """Read a file of lines `ROLE KEY`; raises ConfigError with all its problems, such as a key in two roles.

    The role `witness` has keys of its own kind (C2SP tlog-cosignature).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        fix = "Name a file of lines: ROLE KEY"
        raise ConfigError(Problem("trust.unreadable", str(path), str(error), fix)) from error
    roles: dict[str, list[PublicKey]] = {}
    held: dict[bytes, str] = {}
    witnesses: list[Witness] = []
    problems = []
    for number, line in enumerate(lines, start=1):
        place, words = f"{path}, line {number}", line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            problems.append(Problem("trust.line", place, "is not ROLE KEY", "Write a role and a key."))
            continue
        if words[0] == WITNESS:
            witnesses.append(parse_witness(words[1], place))
            continue
        key = parse_key(words[1], place)
        if held.setdefault(key.raw, words[0]) != words[0]:
            fix = "Give each role a key of its own."
            problems.append(Problem("trust.twice", place, "the key is there in another role", fix))
            continue
        roles.setdefault(words[0], []).append(key)
    if not held:
        problems.append(Problem("trust.empty", str(path), "holds no key", "Write lines: ROLE KEY"))
    if problems:
        raise ConfigError(problems)
    return Trust({role: tuple(keys) for role, keys in roles.items()}, tuple(witnesses))
