"""How fast a ledger takes entries, how fast a proof is checked, and how long a bundle of many records takes to verify.

    python benchmarks/ledger.py [--entries 20000] [--batch 1000] [--records 100000]

Appends are durable (forced to disk) and come in batches, in a folder beside this one: put --folder on the disk that
counts. The proof is of one entry in a ledger of all entries. Then what verification does with records alone: ids, lineage
ids and the salted root of each, and the same in `verify.py`. The last line is a whole bundle of as many records: the run that
the tests release, with these records in place of its own. One run, on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trimtab.governance.commitment import commit, salted_root
from trimtab.governance.ledger.envelope import Statement, seal
from trimtab.governance.ledger.log import Log
from trimtab.governance.ledger.note import Checkpoint, PublicKey, SecretKey
from trimtab.governance.ledger.tree import is_included, leaf_hash
from trimtab.governance.release import release
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.verify import verify
from trimtab.records.record import Lineage, Record, conversation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        appends(Path(folder) / "ledger", arguments.entries, arguments.batch)
        records(Path(folder), arguments.records)
        bundle(Path(folder), arguments.records)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def appends(folder: Path, count: int, batch: int) -> None:
    secret = Ed25519PrivateKey.generate()
    key = SecretKey(PublicKey("bench", secret.public_key().public_bytes_raw()), secret)
    body = {"time": "2026-01-31T00:00:00Z", "kind": "record", "reason": "a benchmark"}

    def entry(i: int) -> bytes:
        return seal(Statement("recall", {}, {**body, "name": str(i)}), [key])

    def batch_of(numbers: range, head: Checkpoint) -> list[bytes]:
        return [entry(i) for i in numbers]

    log = Log(folder)

    def all_of_them() -> None:
        for start in range(0, count, batch):
            entries = partial(batch_of, range(start, min(start + batch, count)))
            log.append(entries, key, origin="bench")

    seconds, _ = timed(all_of_them)
    print(f"durable appends, signed, batches of {batch}: {count / seconds:,.0f} entries/s ({count} entries)")
    entries, head = log.entries(), log.head()
    leaf, proof = leaf_hash(entries[count // 3]), log.inclusion(count // 3)
    rounds = 1000
    seconds, good = timed(
        lambda: [is_included(leaf, count // 3, count, proof, head.root) for _ in range(rounds)]
    )
    assert all(good)
    print(f"inclusion proof checked: {seconds / rounds * 1000:.3f} ms ({len(proof)} hashes)")


def records(folder: Path, count: int) -> None:
    lineage = Lineage(generator="f" * 64, operator="bench")
    made = (
        Record(
            kind="sft",
            messages=conversation(f"Question {i}?", "An answer of some words. " * 8),
            lineage=lineage,
        )
        for i in range(count)
    )
    rows = [record.row() for record in made]
    opening = folder / "opening.jsonl"
    commit([{"id": r["id"], "lineage_id": r["lineage_id"]} for r in rows], opening)
    opened = [json.loads(line) for line in opening.read_bytes().splitlines()]
    content = [{k: v for k, v in row.items() if k not in ("id", "lineage_id")} for row in rows]

    def ours() -> Any:
        ids = [(r.id, r.lineage_id) for r in map(Record.model_validate, content)]
        return ids, salted_root(opened)

    def theirs() -> Any:
        return [script.identity(row) for row in rows], script.salted(opened)

    (first, one), (second, other) = timed(ours), timed(theirs)
    assert one == other
    print(f"records verified, {count:,}: trimtab {first:.1f} s, verify.py {second:.1f} s")


def bundle(folder: Path, count: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.conftest import make_finished_run, sft_records

    def many(run: Any) -> None:
        run.stage("screen").write_records(sft_records(count), "adversarial")

    run, where = make_finished_run(folder / "runs", change=many), folder / "bundle"
    seconds, _ = timed(lambda: release(run, where, demo=True))
    print(f"bundle of {count:,} records and more released, signed and verified: {seconds:.1f} s")
    (first, report), (second, found) = timed(lambda: verify(where)), timed(lambda: script.verify(where))
    assert not report.failures
    assert not found.failures
    size = sum(p.stat().st_size for p in where.rglob("*") if p.is_file()) / 1e6
    print(f"the bundle ({size:.0f} MB) verified: trimtab {first:.1f} s, verify.py {second:.1f} s")


if __name__ == "__main__":
    main()
