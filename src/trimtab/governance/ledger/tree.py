"""Merkle tree of RFC 6962, section 2.1: root, inclusion proof and consistency proof, each from O(log n) hashes.

A tree is read through a function (level, index) → hash of the complete subtree over the leaves
[index · 2^level, (index + 1) · 2^level), so that the same code runs on a list and on tiles on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256

Subtrees = Callable[[int, int], bytes]
EMPTY = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """32 bytes: SHA-256 of 0x00 and the entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 bytes: SHA-256 of 0x01 and both children."""
    return sha256(b"\x01" + left + right).digest()


def subtrees_of(leaves: Sequence[bytes]) -> Subtrees:
    """Return the complete subtrees over leaf hashes in memory; each is computed once."""

    @cache
    def at(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(at(level - 1, 2 * index), at(level - 1, 2 * index + 1))

    return at


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes; SHA-256 of nothing where there are none."""
    return root_at(subtrees_of(leaves), len(leaves))


def root_at(at: Subtrees, size: int) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return _hash(at, 0, size) if size else EMPTY


def inclusion_proof(at: Subtrees, index: int, size: int) -> list[bytes]:
    """Return the audit path of a leaf, lowest sibling first; IndexError outside the tree."""
    if not 0 <= index < size:
        raise IndexError(index)
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_hash(at, middle, high))
            high = middle
        else:
            path.append(_hash(at, low, middle))
            low = middle
    return path[::-1]


def consistency_proof(at: Subtrees, old: int, size: int) -> list[bytes]:
    """Return the proof that the tree of `size` leaves begins with that of `old`; ValueError unless 0 < old <= size."""
    if not 0 < old <= size:
        raise ValueError(f"no consistency proof from {old} to {size} leaves")
    low, high, path, whole = 0, size, [], True
    while old < high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_hash(at, middle, high))
            high = middle
        else:
            path.append(_hash(at, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_hash(at, low, high))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether the path leads from the leaf hash to the expected root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, got = index, size - 1, leaf
    for p in proof:
        if len(p) != 32 or sn == 0:
            return False
        if fn & 1 or fn == sn:
            got = node_hash(p, got)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            got = node_hash(got, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and got == expected


def is_consistent(old: int, size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree of `size` leaves begins with the one of `old` leaves (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= size or any(len(p) != 32 for p in proof):
        return False
    if old == size:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for p in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(p, first), node_hash(p, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _hash(at: Subtrees, low: int, high: int) -> bytes:
    """Return the hash over the leaves [low, high); `low` is where RFC 6962 would split."""
    size = high - low
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return at(level, low >> level)
    middle = low + _split(size)
    return node_hash(_hash(at, low, middle), _hash(at, middle, high))
