"""The measures of `trimtab screen` beside their peers', on the same rows: association, variety, and embeddings.

    python benchmarks/measures.py association DATA [--rows 2000]
    python benchmarks/measures.py variety DATA [--rows 5000]
    python benchmarks/measures.py embeddings [--rows 1000]

association: ten invented words go into rows that speak of men nine times in ten, ten others into rows of either as
they come; LangFair gets both lists and the same tokens, trimtab finds the words by itself. variety: `diversity`, on
the same texts. embeddings: an implementation by loops and formulas as they stand in the papers. Seconds are
those of the processor, which do not depend on what else runs. Each peer has an
environment of its own, made at first use (benchmarks/_venv.py).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from _venv import peer
from scipy.linalg import sqrtm

from trimtab.records.read import read_records
from trimtab.records.toml import parse_toml
from trimtab.screens.batch import Batch, plain_words
from trimtab.screens.bias import bias_findings
from trimtab.screens.embeddings import authentic, covered, frechet, vendi
from trimtab.screens.fidelity import compression, distinct, repetition
from trimtab.screens.sample import Sample

PLANTED, COPIES, MEN = 10, 40, 0.9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("association", "variety", "embeddings"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=0)
    options = parser.parse_args()
    if options.what == "embeddings":
        embeddings(options.rows or 1000)
        return
    texts = plain_words(Batch(read_records(options.data).records).texts)
    random.Random(0).shuffle(texts)
    if options.what == "association":
        association(texts, options.rows or 2000)
    else:
        variety(texts[: options.rows or 5000])


def groups() -> list[list[str]]:
    data = files("trimtab.suites").joinpath("groups.toml").read_bytes()
    table = parse_toml(data, place="groups.toml", area="benchmark")["gender"]
    return [table[name]["words"] for name in ("male", "female")]


def association(texts: Sequence[str], n: int) -> None:
    """Print what each finds of the planted words, what of the others, and how long it takes."""
    chance, (men, women) = random.Random(0), groups()
    sides = [{w for w in g if " " not in w} for g in (men, women)]
    spoken = [[bool(side & set(text.split())) for side in sides] for text in texts]
    of_one = [i for i, (man, woman) in enumerate(spoken) if man != woman][:n]
    rows = [texts[i] for i in of_one]
    male = [i for i, at in enumerate(of_one) if spoken[at][0]]
    female = [i for i, at in enumerate(of_one) if not spoken[at][0]]
    words = {name: [f"{name}{chr(97 + i)}" for i in range(PLANTED)] for name in ("planted", "control")}
    for name, share in (("planted", MEN), ("control", len(male) / len(rows))):
        for word in words[name]:
            for i in chance.sample(male, round(share * COPIES)) + chance.sample(
                female, COPIES - round(share * COPIES)
            ):
                rows[i] += f" {word}"
    sample = Sample(
        len(rows), list(range(len(rows))), [str(i) for i in range(len(rows))], [""] * len(rows), rows
    )
    started = time.process_time()
    found = bias_findings(sample)[1]
    seconds = time.process_time() - started
    told = {part.split()[0] for part in found.text.partition(": ")[2].partition(": ")[2].split(", ")}
    print(f"{len(rows):,} rows that speak of men or of women only, {len(male):,} of men\n")
    print("| | CPU s | the words planted | the controls |\n|---|---|---|---|")
    counts = " | ".join(f"{len(told & set(words[name]))} of {PLANTED} among the ten named" for name in words)
    print(f"| trimtab, all words of the rows | {seconds:.2f} | {counts} |")
    peers = ask(
        "langfair", "_langfair.py", {"texts": rows, "groups": [sorted(s) for s in sides], "words": words}
    )
    if peers:
        took = sum(p["seconds"] for p in peers.values())
        shares = " | ".join(f"mean distance from equal {peers[name]['value']:.3f}" for name in words)
        print(f"| LangFair 0.8.0, these twenty words | {took:.2f} | {shares} |")


def variety(texts: Sequence[str]) -> None:
    """Print each measure of both, with seconds."""
    own: dict[str, Callable[[Sequence[str]], float]] = {
        "compression": compression, "distinct": distinct, "repetition": repetition,
    }  # fmt: skip
    peers = ask("diversity", "_diversity.py", list(texts))
    again = ask("diversity", "_diversity.py", [texts[0]] * len(texts))
    print(f"{len(texts):,} texts; in brackets the first of them, {len(texts):,} times\n")
    print("| measure | trimtab | CPU s | diversity 0.3.1 | CPU s |\n|---|---|---|---|---|")
    for name, measure in own.items():
        value, seconds = timed(lambda measure=measure: measure(texts))
        same = measure([texts[0]] * len(texts))
        there = (
            f"{peers[name]['value']:.3f} ({again[name]['value']:.3f}) | {peers[name]['seconds']:.2f}"
            if peers
            else "- | -"
        )
        print(f"| {name} | {value:.3f} ({same:.3f}) | {seconds:.2f} | {there} |")


def ask(name: str, script: str, given: Any) -> dict[str, Any]:
    """Return what a peer's script prints for an input; nothing when the peer cannot be had."""
    python = peer(name)
    if not python:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.json"
        path.write_text(json.dumps(given))
        command = [python, str(Path(__file__).with_name(script)), str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        print(f"{name} failed: {ended.stderr.strip().splitlines()[-1]}")
        return {}
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    return work(), time.process_time() - started


def embeddings(n: int) -> None:
    """Print both values of each measure, on clouds of unequal size of 384 dimensions, and seconds."""
    chance = np.random.default_rng(0)
    one = chance.normal(size=(n, 384))
    other = np.vstack([chance.normal(0.1, 1.2, (n - n // 5, 384)), one[: n // 10] + 0.01])
    print(f"{len(one):,} and {len(other):,} points of 384 dimensions\n")
    print("| measure | trimtab | CPU s | plain | CPU s |\n|---|---|---|---|---|")
    for name, (fast, plain) in {
        "Fréchet distance": (lambda: frechet(one, other), lambda: plain_frechet(one, other)),
        "precision": (lambda: covered(other, one).mean(), lambda: plain_covered(other, one)),
        "recall": (lambda: covered(one, other).mean(), lambda: plain_covered(one, other)),
        "authenticity": (lambda: authentic(other, one).mean(), lambda: plain_authentic(other, one)),
        "Vendi, q = 1": (lambda: vendi(one), lambda: plain_vendi(one, 1)),
        "Vendi, q = 2": (lambda: vendi(one, 2), lambda: plain_vendi(one, 2)),
    }.items():
        (value, seconds), (same, there) = timed(fast), timed(plain)
        print(f"| {name} | {value:.6f} | {seconds:.2f} | {same:.6f} | {there:.2f} |", flush=True)


def plain_frechet(one: Any, other: Any) -> float:
    s1, s2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2))))


def plain_covered(points: Any, by: Any, nearest: int = 5) -> float:
    reach = [sorted(np.linalg.norm(by - point, axis=1))[nearest] for point in by]
    return float(np.mean([(np.linalg.norm(by - point, axis=1) <= reach).any() for point in points]))


def plain_authentic(made: Any, real: Any) -> float:
    flags = []
    for point in made:
        apart = np.linalg.norm(real - point, axis=1)
        closest = int(apart.argmin())
        others = np.delete(np.linalg.norm(real - real[closest], axis=1), closest)
        flags.append(apart[closest] > others.min())
    return float(np.mean(flags))


def plain_vendi(cloud: Any, order: int) -> float:
    unit = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()) if order == 1 else 1 / (values**2).sum())


if __name__ == "__main__":
    main()
