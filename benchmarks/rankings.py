"""How often our voting rules name the same winners as `pref_voting`.

    python benchmarks/rankings.py [--profiles 1000] [--seed 0]

Profiles are drawn: 2 to 30 ballots that stand for 1 to 3 people each, 2 to 8 statements; half of the profiles have few places, so that
ballots and results tie. The approvals are of the same size. `pref_voting` runs in an environment of its own, made at first use
(benchmarks/_venv.py). Compared are all pairwise margins, and the whole set of winners of each rule. Exits with 1 where any differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _venv import peer

from trimtab.charter.rankings import rankings
from trimtab.charter.votes import Statement, Votes

RULES = ("approval", "borda", "copeland", "schulze")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    profiles = [drawn(rng) for _ in range(options.profiles)]
    found = theirs(profiles)
    if found is None:
        return 2
    ours = [mine(p) for p in profiles]
    alike = {
        r: sum(a["won"][r] == sorted(b["won"][r]) for a, b in zip(ours, found, strict=True)) for r in RULES
    }
    several = {r: sum(len(b["won"][r]) > 1 for b in found) for r in RULES}
    margins = sum(a["margins"] == b["margins"] for a, b in zip(ours, found, strict=True))
    print("| rule | profiles | the same winners | with several winners |\n|---|---|---|---|")
    for r in RULES:
        print(f"| {r} | {len(profiles)} | {alike[r]} | {several[r]} |")
    print(f"all pairwise margins the same in {margins} of {len(profiles)}")
    return int(min(margins, *alike.values()) < len(profiles))


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    """Return a profile: places and approvals (ballots × statements), and the people each ballot stands for."""
    shape = int(rng.integers(2, 31)), int(rng.integers(2, 9))
    most = shape[1] if rng.random() < 0.5 else 2
    return {
        "places": rng.integers(1, most + 1, shape).tolist(),
        "approves": rng.integers(0, 2, shape).tolist(),
        "counts": rng.integers(1, 4, shape[0]).tolist(),
    }


def mine(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the margins and each rule's winners by this package."""
    weight = np.array(profile["counts"], dtype=float)
    ranked = votes("ranking", -np.array(profile["places"]), weight)
    approved = votes("approval", 2 * np.array(profile["approves"]) - 1, weight)
    every = np.ones(ranked.shape[1], dtype=bool)
    found, pairs = rankings(ranked, every)
    by_rule = {r.rule: r for r in (*found, *rankings(approved, every)[0][:1])}
    won = {r: np.flatnonzero(by_rule[r].place == 1).tolist() for r in RULES}
    return {"margins": pairs.margin.astype(int).tolist(), "won": won}


def votes(kind: Any, value: np.ndarray, weight: np.ndarray) -> Votes:
    row, column = (a.ravel() for a in np.indices(value.shape))
    people, statements = (tuple(map(str, range(n))) for n in value.shape)
    return Votes(
        kind,
        people,
        tuple(map(Statement, statements)),
        row,
        column,
        value.ravel().astype(np.int32),
        weight=weight,
    )


def theirs(profiles: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    if not (python := peer("pref-voting")):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profiles.json"
        path.write_text(json.dumps(profiles))
        script = Path(__file__).parent / "_pref_voting.py"
        ended = subprocess.run([python, str(script), str(path)], capture_output=True, text=True, check=False)
    if ended.returncode:
        print(f"pref_voting did not run: {(ended.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
        return None
    found: list[dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
