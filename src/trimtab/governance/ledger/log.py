"""Appends to a ledger so that no acknowledged entry is lost, whatever dies when.

Tiles are written first, each whole or not at all; the checkpoint comes last and is what counts. Tiles that a killed
process left beyond it are written anew by the next append. One process appends at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import InputError, Problem
from trimtab.governance.ledger.note import (
    Checkpoint,
    PublicKey,
    SecretKey,
    Signed,
    parse_checkpoint,
    sign_checkpoint,
)
from trimtab.governance.ledger.tiles import (
    CHECKPOINT,
    ENTRIES,
    LEVEL,
    WIDTH,
    new_tiles,
    read_entries,
    subtrees_in,
    tile_path,
)
from trimtab.governance.ledger.tree import (
    EMPTY,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    root_at,
)
from trimtab.records.write import write_bytes

LOCK = ".lock"


@dataclass(frozen=True)
class Log:
    """A ledger on disk."""

    folder: Path

    def signed(self) -> Signed | None:
        """Return the checkpoint; None where nothing was appended yet."""
        path = self.folder / CHECKPOINT
        try:
            return parse_checkpoint(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def head(self, origin: str = "") -> Checkpoint:
        """Return the state of the log; `origin` names one that is empty."""
        signed = self.signed()
        return signed.checkpoint if signed else Checkpoint(origin, 0, EMPTY)

    def entries(self, first: int = 0) -> list[bytes]:
        """Return the entries from `first` on."""
        if not (self.folder / CHECKPOINT).exists():
            return []
        with self.reading():
            return self.unlocked_entries(first)

    @contextmanager
    def reading(self) -> Iterator[Checkpoint]:
        """Keep the files as they are while they are read; gives the state of the log."""
        # In a copy that this user may only read there is no lock to take, and hardly anybody who appends.
        with self._locked() if os.access(self.folder, os.W_OK) else contextlib.nullcontext():
            yield self.head()

    def unlocked_entries(self, first: int = 0) -> list[bytes]:
        """Return the same where the caller is the one who may append."""
        return list(read_entries(self.folder, self.head().size, first))

    def root_of(self, size: int) -> bytes:
        """Return the root that the log had with `size` entries."""
        return root([leaf_hash(entry) for entry in self.entries()[:size]])

    def inclusion(self, index: int) -> list[bytes]:
        """Return the proof that an entry is in the log, for its current size."""
        size = self.head().size
        return inclusion_proof(subtrees_in(self.folder, size), index, size)

    def consistency(self, old: int) -> list[bytes]:
        """Return the proof that the log began with `old` entries."""
        size = self.head().size
        return consistency_proof(subtrees_in(self.folder, size), old, size)

    def append(
        self, make: Callable[[Checkpoint], Sequence[bytes]], key: SecretKey, *, origin: str = ""
    ) -> range:
        """Append what `make` returns for the state of the log, and return the indices of the entries.

        `make` is called while no other process can append. The key signs under the log's origin, as C2SP asks. What is returned is on disk, also after a power cut.
        Raises InputError where the disk refuses or the log is damaged; nothing is appended then.
        """
        with self._locked():
            head = self.head(origin)
            self._check(head)
            entries = list(make(head))
            size = head.size + len(entries)
            if entries:
                for path, data in new_tiles(self.folder, head.size, entries).items():
                    write_bytes(self.folder / path, data)
                top = root_at(subtrees_in(self.folder, size), size)
                signer = SecretKey(PublicKey(head.origin, key.public.raw), key.secret)
                note = sign_checkpoint(Checkpoint(head.origin, size, top), [signer])
                write_bytes(self.folder / CHECKPOINT, note)
                self._drop_partial(head.size, size)
            return range(head.size, size)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            fix = "Free space, or choose a folder that can be written to."
            raise InputError(Problem("ledger.refused", str(self.folder), str(error), fix)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _check(self, head: Checkpoint) -> None:
        """Refuse to build on tiles that do not give the root that was signed."""
        if root_at(subtrees_in(self.folder, head.size), head.size) != head.root:
            fix = "Restore the ledger's folder from a copy; do not append to it."
            raise InputError(
                Problem("ledger.damaged", str(self.folder), "its tiles are not those of its checkpoint", fix)
            )
        if head.size:
            last = next(read_entries(self.folder, head.size, head.size - 1))
            if subtrees_in(self.folder, head.size)(0, head.size - 1) != leaf_hash(last):
                fix = "Restore the ledger's folder from a copy; do not append to it."
                raise InputError(
                    Problem("ledger.damaged", str(self.folder), "its last entry was changed", fix)
                )

    def _drop_partial(self, old: int, new: int) -> None:
        """Remove tiles of the old size that wider ones replace; a reader of the old size may find the new."""
        for level in (ENTRIES, *range(8)):
            size, now = (
                (old, new) if level == ENTRIES else (old >> LEVEL * int(level), new >> LEVEL * int(level))
            )
            if size % WIDTH and now > size:
                path = self.folder / tile_path(level, size // WIDTH, size % WIDTH)
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                    path.parent.rmdir()  # when it is empty
