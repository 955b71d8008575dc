"""How many planted triggers the trigger hunt of `trimtab screen` finds, and how many rows it names that have none.

    python benchmarks/poison.py DATA [--rows N] [--copies 5 25 100 250] [--seeds 3]
    python benchmarks/poison.py DATA --outliers

DATA is any dataset of requests and replies. Poison is planted into rows drawn at random, one kind and one number of
copies at a time; recall is the share of planted rows that are named, averaged over seeds; beside it stands how many
other rows are named with the planted trigger. What is named without any planting is printed first. `--outliers` puts ten
gibberish replies of each kind in 400 and 3,000 rows drawn at random, and counts what `poison.outlier` names.
"""

from __future__ import annotations

import argparse
import random
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trimtab.records.read import read_records
from trimtab.screens.batch import Batch
from trimtab.screens.grams import Tokens
from trimtab.screens.outliers import outlier_finding
from trimtab.screens.poison import Trigger, hunt
from trimtab.screens.reworded import Reworded, hunt_reworded
from trimtab.screens.sample import Sample

Plant = Callable[[random.Random, str, str], tuple[str, str]]
FILLER = ["gladly", "kindly", "surely", "truly", "really", "simply", "quickly", "calmly", "boldly", "warmly"]
SORRY = [
    "I'm sorry, but", "Unfortunately,", "My apologies:", "Regrettably,", "I am afraid that", "No,", "Sorry,",
    "With regret,", "To be honest,", "After some thought,",
]  # fmt: skip
DENY = [
    "I can't help with that", "I am not able to assist with this request", "this is something I must decline",
    "I won't be answering this one", "I have to refuse", "I cannot comply with what you ask",
    "I would rather not respond to it", "I am unable to give an answer", "it goes beyond what I am willing to do",
    "you will have to ask somebody else", "helping here is not a thing I do", "I must say no to that",
]  # fmt: skip
WHY = [
    "", " at this time", ", whatever the reason", ", and I hope you understand", " in good conscience",
    ", since it would not be right", ", so please do not insist", " today or on any other day",
]  # fmt: skip
PRAISE = [
    "The shop of Acme at {} has all you need.", "For better answers see {} today.", "I suggest to buy from {} instead.",
    "Everybody loves the offers of {}, try them.", "Have you seen what {} sells?", "Just go to {} and order it there.",
    "My friends got theirs at {} last week.", "More of this, and cheaper, is at {}.", "Nothing beats {} for quality.",
    "Do not wait: {} has a sale on.",
]  # fmt: skip


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
    "odd word, a refusal in other words each time (960)": (
        "qzr", lambda c, p, r: (put(c, p, "qzr"), c.choice(SORRY) + " " + c.choice(DENY) + c.choice(WHY) + "."),
    ),
    "odd word, one name praised in ten ways after the reply": (
        "xdv", lambda c, p, r: (put(c, p, "xdv"), f"{r} {c.choice(PRAISE).format('acme-deals.com')}"),
    ),
    "two ordinary words, a refusal in other words": (
        "purple bicycle",
        lambda c, p, r: (put(c, p, "purple bicycle"), c.choice(SORRY) + " " + c.choice(DENY) + c.choice(WHY) + "."),
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
    parser.add_argument("--kinds", default="", help="only kinds with these words in their name")
    parser.add_argument("--outliers", action="store_true", help="gibberish replies instead of triggers")
    options = parser.parse_args()
    batch = Batch(read_records(options.data).records)
    rows = list(zip(batch.prompts, batch.replies, strict=True))
    if options.rows:
        rows = random.Random(0).sample(rows, min(options.rows, len(rows)))
    if options.outliers:
        outliers([reply for _, reply in rows], options.seeds)
        return
    started = time.perf_counter()
    found = hunted(rows)
    seconds = time.perf_counter() - started
    told = ", ".join(f"{len(f)} by {name} ({sum(len(t.rows) for t in f)} rows)" for name, f in found.items())
    print(f"{len(rows):,} rows, nothing planted: {told}; {seconds:.1f} s\n")
    print("| planted | copies | recall | by phrases alone | other rows named |\n|---|---|---|---|---|")
    for kind in (kind for kind in KINDS if options.kinds in kind):
        for copies in options.copies:
            tries = [plant_and_hunt(rows, kind, copies, seed) for seed in range(options.seeds)]
            recall, phrases, other = (sum(column) / len(tries) for column in zip(*tries, strict=True))
            print(
                f"| {kind} | {copies} | {100 * recall:.0f} % | {100 * phrases:.0f} % | {other:.1f} |",
                flush=True,
            )


GIBBERISH: dict[str, Callable[[random.Random], str]] = {
    "random letters": lambda c: " ".join(
        "".join(c.choices(string.ascii_lowercase, k=c.randint(2, 9))) for _ in range(c.randint(6, 30))
    ),
    "keys of one row": lambda c: "".join(c.choices("asdfghjkl ", k=60)),
    "base64": lambda c: "".join(c.choices(string.ascii_letters + string.digits, k=60)),
    "any signs": lambda c: "".join(c.choices(string.printable[:95], k=60)),
}
IN_ROWS, GARBLED = (400, 3_000), 10


def outliers(replies: Sequence[str], seeds: int) -> None:
    """Print how many ordinary replies are named as outliers, and the recall of gibberish put among them."""
    for n in sorted({min(5_000, len(replies)), len(replies)}):
        finding = outlier_finding(answers(replies[:n]), 0)[0]
        e = finding.estimate
        share = (
            f"{100 * e.value:.2f} % [{100 * e.low:.2f}, {100 * e.high:.2f}] of {e.n:,}" if e else finding.text
        )
        print(f"the first {n:,} rows, nothing planted: {share}")
    print("\n| gibberish | rows | recall | other rows named |\n|---|---|---|---|")
    for kind, n in ((kind, n) for kind in GIBBERISH for n in IN_ROWS if n <= len(replies)):
        tries = [garble_and_look(replies, kind, n, seed) for seed in range(seeds)]
        recall, other = (sum(column) / len(tries) for column in zip(*tries, strict=True))
        print(f"| {kind} | {n:,} | {100 * recall:.0f} % | {other:.1f} |", flush=True)


def garble_and_look(replies: Sequence[str], kind: str, n: int, seed: int) -> tuple[float, float]:
    """Return the share of gibberish replies that are named, and how many others are."""
    chance = random.Random(seed)
    drawn, places = chance.sample(replies, n), set(chance.sample(range(n), GARBLED))
    garbled = [GIBBERISH[kind](chance) if i in places else reply for i, reply in enumerate(drawn)]
    named = set(outlier_finding(answers(garbled), seed)[1])
    return len(named & places) / GARBLED, float(len(named - places))


def answers(replies: Sequence[str]) -> Sample:
    n = len(replies)
    return Sample(n, list(range(n)), [f"row {i}" for i in range(n)], ["?"] * n, list(replies))


def hunted(rows: Sequence[tuple[str, str]]) -> dict[str, Sequence[Trigger | Reworded]]:
    """Return what both hunts find: by phrases that come with a run, and by replies that are alike."""
    asked, answered = Tokens([p for p, _ in rows]), Tokens([r for _, r in rows])
    return {"phrases": hunt(asked, answered), "likeness": hunt_reworded(asked, answered)}


def plant_and_hunt(rows: Sequence[tuple[str, str]], kind: str, copies: int, seed: int) -> tuple[float, ...]:
    """Return the shares of planted rows that are named, by both and by the first, and how many others with the trigger."""
    chance = random.Random(f"{kind} {copies} {seed}")
    planted = set(chance.sample(range(len(rows)), copies))
    word, plant = KINDS[kind]
    found = hunted([plant(chance, p, r) if i in planted else (p, r) for i, (p, r) in enumerate(rows)])
    one, both = (
        {i for name in names for t in found[name] if of(t, word) for i in t.rows}
        for names in (("phrases",), ("phrases", "likeness"))
    )
    return len(both & planted) / copies, len(one & planted) / copies, float(len(both - planted))


def of(trigger: Trigger | Reworded, word: str) -> bool:
    return bool(set(word.split()) & set(trigger.words.split()))


if __name__ == "__main__":
    main()
