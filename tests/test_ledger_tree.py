"""Merkle tree: the known answers of RFC 6962's first implementations, and proofs that hold for nothing else."""

from __future__ import annotations

import pytest

from trimtab.governance.ledger.tree import (
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    root,
    subtrees_of,
)

# Inputs, roots and proofs of the tests of google/certificate-transparency.
INPUTS = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [  # index, size, proof
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (5, 8, ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]  # fmt: skip
CONSISTENCY = [  # old, size, proof
    (1, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 5, ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
]  # fmt: skip
LEAVES = [leaf_hash(data) for data in INPUTS]


def test_known_roots() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [root(LEAVES[:n]).hex() for n in range(1, 9)] == ROOTS


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_known_inclusion_proofs(index: int, size: int, proof: list[str]) -> None:
    found = inclusion_proof(subtrees_of(LEAVES), index, size)
    assert [p.hex() for p in found] == proof
    assert is_included(LEAVES[index], index, size, found, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "size", "proof"), CONSISTENCY)
def test_known_consistency_proofs(old: int, size: int, proof: list[str]) -> None:
    found = consistency_proof(subtrees_of(LEAVES), old, size)
    assert [p.hex() for p in found] == proof
    assert is_consistent(old, size, found, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[size - 1]))


def test_an_inclusion_proof_holds_for_its_own_leaf_only() -> None:
    for size in range(1, 20):
        leaves = [leaf_hash(bytes([i])) for i in range(size)]
        top, at = root(leaves), subtrees_of(leaves)
        for index in range(size):
            proof = inclusion_proof(at, index, size)
            for other in range(size):
                assert is_included(leaves[other], index, size, proof, top) == (other == index)
            assert not is_included(leaves[index], index, size, [*proof, top], top)
            assert not is_included(leaves[index], size, size, proof, top)
            assert not proof or not is_included(leaves[index], index, size, proof[:-1], top)
            assert not proof or not is_included(leaves[index], index, size, [proof[0][:31], *proof[1:]], top)
        with pytest.raises(IndexError):
            inclusion_proof(at, size, size)


def test_a_consistency_proof_holds_for_its_own_trees_only() -> None:
    leaves = [leaf_hash(bytes([i])) for i in range(20)]
    roots, at = [root(leaves[:n]) for n in range(21)], subtrees_of(leaves)
    for size in range(1, 21):
        for old in range(1, size + 1):
            proof = consistency_proof(at, old, size)
            for other in range(1, 21):
                assert is_consistent(old, size, proof, roots[other], roots[size]) == (other == old)
                assert is_consistent(old, size, proof, roots[old], roots[other]) == (other == size)
            assert not is_consistent(old, size, [*proof, roots[1]], roots[old], roots[size])
            assert not proof or not is_consistent(old, size, proof[:-1], roots[old], roots[size])
            assert not proof or not is_consistent(old, size, [b""], roots[old], roots[size])
        assert not is_consistent(0, size, [], roots[0], roots[size])
        assert size < 4 or not is_consistent(3, size, [], roots[3], roots[size])
    for old, size in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="no consistency proof"):
            consistency_proof(at, old, size)
