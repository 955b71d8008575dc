"""datatrove's MinHash pipeline as its own documentation runs it; started by screening.py in datatrove's environment.

PYTHON _datatrove_minhash.py DATA.jsonl FOLDER WORKERS
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig


def main() -> None:
    data, folder, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    split(data, folder / "parts", workers)
    config = MinhashConfig(
        hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=3
    )
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    reader = JsonlReader(str(folder / "parts"))
    kept = JsonlWriter(str(folder / "kept"), compression=None)
    stages = [
        ([reader, MinhashDedupSignature(output_folder=signatures, config=config)], workers),
        ([MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config)], 14),
        ([MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=config)], 1),
        ([reader, MinhashDedupFilter(input_folder=removed), kept], workers),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        logs = str(folder / f"logs{number}")
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=workers, logging_dir=logs).run()


def split(data: Path, folder: Path, parts: int) -> None:
    """One file for each worker, which is the unit that datatrove spreads."""
    folder.mkdir(parents=True)
    lines = data.read_bytes().splitlines(keepends=True)
    size = -(-len(lines) // parts)
    for i in range(parts):
        (folder / f"{i}.jsonl").write_bytes(b"".join(lines[i * size : (i + 1) * size]))


if __name__ == "__main__":
    main()
