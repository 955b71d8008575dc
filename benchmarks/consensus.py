"""How long a tally takes, and how near our groups come to those of Polis.

    python benchmarks/consensus.py [--participants 100000] [--statements 1000] [--votes 5000000] [--expected FOLDER]

The votes are drawn: four camps, each statement agreed to at a rate of each camp, pairs chosen by chance. The log is written as a
CSV, and the time is that of reading it and of the whole tally (groups, consensus with intervals, four rankings).
`--expected` names a folder of conversations with Polis's output (math-pca2.json); the adjusted Rand index of our
groups with Polis's is printed for each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trimtab.charter.consensus import count, group_aware
from trimtab.charter.groups import Groups, agreement, opinion_groups, stability
from trimtab.charter.read_votes import read_votes
from trimtab.charter.tally import tally


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--participants", type=int, default=100_000)
    parser.add_argument("--statements", type=int, default=1_000)
    parser.add_argument("--votes", type=int, default=5_000_000)
    parser.add_argument("--expected", type=Path)
    options = parser.parse_args()
    if options.expected:
        compare(options.expected)
    else:
        speed(options.participants, options.statements, options.votes)


def speed(participants: int, statements: int, votes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.csv"
        camp = draw(path, participants, statements, votes)
        started = time.perf_counter()
        read = read_votes(path)
        between = time.perf_counter()
        counted = tally(read)
        found = counted.to_json()
        ended = time.perf_counter()
    truth = Groups(camp[np.array(read.participants, dtype=int)], tuple("1234"))
    print("| participants | statements | votes | read, s | tally, s | together, s | peak memory, GB |")
    print("|---|---|---|---|---|---|---|")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"| {participants:,} | {statements:,} | {found['votes']:,} | {between - started:.1f} "
        f"| {ended - between:.1f} | {ended - started:.1f} | {peak:.1f} |"
    )
    if counted.groups:
        print(f"groups {found['groups']['sizes']}, adjusted Rand index with the camps drawn "
              f"{agreement(counted.groups, truth):.3f}")  # fmt: skip
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")


def draw(path: Path, participants: int, statements: int, votes: int) -> np.ndarray:
    """Write a log of drawn votes; returns the camp of each participant."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(0)
    camp = rng.integers(0, 4, participants)
    rate = rng.beta(0.7, 0.7, size=(4, statements))
    pair = np.unique(rng.integers(0, participants * statements, int(votes * 1.03)))
    pair = rng.permutation(pair)[:votes]
    person, statement = np.divmod(pair, statements)
    agrees = rng.random(len(pair)) < rate[camp[person], statement]
    vote = np.where(rng.random(len(pair)) < 0.1, 0, np.where(agrees, 1, -1))
    columns = {"timestamp": np.arange(len(pair)), "comment-id": statement, "voter-id": person, "vote": vote}
    csv.write_csv(pa.table(columns), path)
    return camp


def compare(folder: Path) -> None:
    print(
        "| conversation | people placed by Polis | groups | ours | adjusted Rand index | with random starts | GAC, largest difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for place in sorted(p for p in folder.iterdir() if (p / "math-pca2.json.gz").exists()):
        votes, math = (
            read_votes(place),
            json.loads(gzip.decompress((place / "math-pca2.json.gz").read_bytes())),
        )
        members = dict(zip(math["base-clusters"]["id"], math["base-clusters"]["members"], strict=True))
        group = {str(p): g["id"] for g in math["group-clusters"] for b in g["members"] for p in members[b]}
        labels = np.array([group.get(p, -1) for p in votes.participants])
        theirs = Groups(labels, tuple(str(g["id"]) for g in math["group-clusters"]))
        ids = [int(s.id) for s in votes.statements]
        used = ~np.isin(ids, math["mod-out"])
        ours = opinion_groups(votes, used)
        counts = count(votes, theirs)
        wanted = np.array([math["group-aware-consensus"][str(i)] for i in ids])
        apart = np.abs(group_aware(counts.agreed, counts.seen) - wanted).max()
        print(
            f"| {place.name} | {(labels >= 0).sum()} | {len(theirs.names)} | {len(ours.names)} "
            f"| {agreement(ours, theirs):.3f} | {stability(votes, used, ours):.3f} | {apart:.1e} |"
        )


if __name__ == "__main__":
    main()
