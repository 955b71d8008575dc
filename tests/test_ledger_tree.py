"""Merkle tree: known answers, and proofs that hold for their own leaf only."""

from trimtab.governance.ledger.tree import inclusion_proof, is_included, leaf_hash, root


def test_known_answers() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_a_proof_holds_for_its_own_leaf_only() -> None:
    for size in range(1, 20):
        leaves = [leaf_hash(bytes([i])) for i in range(size)]
        top = root(leaves)
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            for other in range(size):
                assert is_included(leaves[other], index, size, proof, top) == (other == index)
            assert not is_included(leaves[index], index, size, [*proof, top], top)
            assert not proof or not is_included(leaves[index], index, size, proof[:-1], top)
