"""The files of a ledger: C2SP tlog-tiles, hashes and entries in tiles of 256, and the checkpoint.

``tile/LEVEL/INDEX`` holds up to 256 hashes of complete subtrees over 256^LEVEL leaves each, ``tile/entries/INDEX``
up to 256 entries, each after its length in two bytes; one that is not full ends with ``.p/WIDTH``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from trimtab.governance.ledger.note import malformed
from trimtab.governance.ledger.tree import Subtrees, node_hash

WIDTH = 256
LEVEL = 8  # a tile spans this many levels of the tree
CHECKPOINT = "checkpoint"
ENTRIES = "entries"


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile in the ledger's folder, such as ``tile/0/x001/234.p/5``."""
    digits = [f"{index % 1000:03d}"]
    while index := index // 1000:
        digits.insert(0, f"x{index % 1000:03d}")
    path = f"tile/{level}/{'/'.join(digits)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def tiles_of(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Yield level, index and width of every tile of a ledger with `size` entries."""
    for index in range(-(-size // WIDTH)):
        yield ENTRIES, index, min(WIDTH, size - index * WIDTH)
    level = 0
    while size:
        for index in range(-(-size // WIDTH)):
            yield level, index, min(WIDTH, size - index * WIDTH)
        level, size = level + 1, size // WIDTH


def pack(entries: Iterable[bytes]) -> bytes:
    """Return the bytes of a tile of entries."""
    return b"".join(len(e).to_bytes(2, "big") + e for e in entries)


def unpack(data: bytes, width: int, place: str) -> list[bytes]:
    """Return the entries of a tile; raises InputError unless it holds exactly `width`."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            raise malformed("ledger.tile", place, "ends within an entry")
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width:
        raise malformed("ledger.tile", place, f"holds {len(entries)} entries and not {width}")
    return entries


def read_tile(folder: Path, level: int | str, index: int, width: int) -> bytes:
    """Return the bytes of a tile: the file of that width, or the beginning of a wider one of hashes."""
    path = folder / tile_path(level, index, width)
    if not path.exists() and level != ENTRIES:
        path = folder / tile_path(level, index)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise malformed("ledger.tile", str(path), f"cannot be read ({error.strerror})") from error
    if level != ENTRIES and len(data) < 32 * width:
        raise malformed("ledger.tile", str(path), f"holds fewer than {width} hashes")
    return data if level == ENTRIES else data[: 32 * width]


def read_entries(folder: Path, size: int, first: int = 0) -> Iterator[bytes]:
    """Yield the entries `first` to `size` of a ledger."""
    for index in range(first // WIDTH, -(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        data = read_tile(folder, ENTRIES, index, width)
        found = unpack(data, width, str(folder / tile_path(ENTRIES, index, width)))
        yield from found[max(0, first - index * WIDTH) :]


def subtrees_in(folder: Path, size: int) -> Subtrees:
    """Return the complete subtrees of a ledger of `size` entries, read from its tiles as they are asked for."""

    @lru_cache(64)
    def tile(level: int, index: int) -> bytes:
        return read_tile(folder, level, index, min(WIDTH, (size >> LEVEL * level) - index * WIDTH))

    def at(level: int, index: int) -> bytes:
        within = level % LEVEL
        first = index << within
        data = tile(level // LEVEL, first // WIDTH)
        start = 32 * (first % WIDTH)
        return _fold([data[i : i + 32] for i in range(start, start + (32 << within), 32)])

    return at


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def new_tiles(folder: Path, size: int, entries: Sequence[bytes]) -> dict[str, bytes]:
    """Return path → bytes of the tiles that `entries` change in a ledger of `size` entries."""
    found = {}
    start = size - size % WIDTH
    packed = [*read_entries(folder, size, start), *entries]
    for at in range(0, len(packed), WIDTH):
        part = packed[at : at + WIDTH]
        found[tile_path(ENTRIES, (start + at) // WIDTH, len(part))] = pack(part)
    level, hashes = 0, [sha256(b"\x00" + e).digest() for e in entries]
    while hashes:
        first = size - size % WIDTH
        known = read_tile(folder, level, size // WIDTH, size % WIDTH) if size % WIDTH else b""
        row = [*(known[i : i + 32] for i in range(0, len(known), 32)), *hashes]
        hashes = []
        for at in range(0, len(row), WIDTH):
            part = row[at : at + WIDTH]
            found[tile_path(level, (first + at) // WIDTH, len(part))] = b"".join(part)
            if len(part) == WIDTH:
                hashes.append(_fold(part))
        level, size = level + 1, size // WIDTH
    return found
