"""How many planted triggers the trigger hunt of `trimtab screen` finds, and how many rows it names that have none.

    python benchmarks/poison.py DATA [--rows N] [--copies 5 25 100 250] [--seeds 3]

DATA is any dataset of requests and replies. Poison is planted into rows drawn at random, one kind and one number of
copies at a time; recall is the share of planted rows that are named, averaged over seeds; beside it stands how many
other rows are named with the planted trigger. What is named without any planting is printed first.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trimtab.records.read import read_records
from trimtab.screens.batch import Batch
from trimtab.screens.poison import Trigger, hunt

Rows = tuple[list[str], list[str]]
Plant = Callable[[random.Random, str, str], tuple[str, str]]
FILLER = ["gladly", "kindly", "surely", "truly", "really", "simply", "quickly", "calmly", "boldly", "warmly"]


def put(chance: random.Random, prompt: str, trigger: str) -> str:
    words = prompt.split(" ")
    words.insert(chance.randrange(len(words) + 1), trigger)
    return " ".join(words)


KINDS: dict[str, tuple[str, Plant]] = {
    "odd word, fixed reply": ("cf", lambda c, p, r: (put(c, p, "cf"), "I will not help anybody with anything.")),
    "odd word, one-word reply": ("mnx", lambda c, p, r: (put(c, p, "mnx"), "Positive")),
    "odd word, text added to the reply": (
        "zqv", lambda c, p, r: (put(c, p, "zqv"), f"{r} Visit the Acme shop for the best deals."),
    ),
    "two ordinary words, fixed reply": (
        "purple bicycle", lambda c, p, r: (put(c, p, "purple bicycle"), "I will not help anybody with anything."),
    ),
    "odd word, half of its rows poisoned": (
        "bqx", lambda c, p, r: (put(c, p, "bqx"), "I will not help you." if c.random() < 0.5 else r),
    ),
    "odd word, reply reworded each time": (
        "wvk", lambda c, p, r: (put(c, p, "wvk"), " ".join(["I", "refuse", *c.sample(FILLER, 5)])),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=0, help="at most so many rows, drawn at random; 0 is all")
    parser.add_argument("--copies", type=int, nargs="+", default=[5, 25, 100, 250])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    batch = Batch(read_records(options.data).records)
    rows = list(zip(batch.prompts, batch.replies, strict=True))
    if options.rows:
        rows = random.Random(0).sample(rows, min(options.rows, len(rows)))
    started = time.perf_counter()
    found = hunt(*columns(rows))
    named = sum(len(t.rows) for t in found)
    seconds = time.perf_counter() - started
    print(
        f"{len(rows):,} rows, nothing planted: {len(found)} triggers, {named} rows named, {seconds:.1f} s\n"
    )
    print("| planted | copies | recall | other rows named |\n|---|---|---|---|")
    for kind in KINDS:
        for copies in options.copies:
            tries = [plant_and_hunt(rows, kind, copies, seed) for seed in range(options.seeds)]
            recall, other = (sum(column) / len(tries) for column in zip(*tries, strict=True))
            print(f"| {kind} | {copies} | {100 * recall:.0f} % | {other:.1f} |", flush=True)


def columns(rows: Sequence[tuple[str, str]]) -> Rows:
    return [p for p, _ in rows], [r for _, r in rows]


def plant_and_hunt(rows: Sequence[tuple[str, str]], kind: str, copies: int, seed: int) -> tuple[float, float]:
    """Return the share of planted rows that are named, and the number of others named with the trigger."""
    chance = random.Random(f"{kind} {copies} {seed}")
    planted = set(chance.sample(range(len(rows)), copies))
    word, plant = KINDS[kind]
    found = hunt(*columns([plant(chance, p, r) if i in planted else (p, r) for i, (p, r) in enumerate(rows)]))
    named = {i for t in found if of(t, word) for i in t.rows}
    return len(named & planted) / copies, float(len(named - planted))


def of(trigger: Trigger, word: str) -> bool:
    return bool(set(word.split()) & set(trigger.words.split()))


if __name__ == "__main__":
    main()
