"""What `trimtab screen` costs for each row, by size; and its near-duplicates beside its peers', on the same rows.

    python benchmarks/screening.py sizes DATA [--rows 50000 200000 1000000]
    python benchmarks/screening.py rows DATA [--rows 20000]
    python benchmarks/screening.py checks DATA [--rows 10000 50000 200000]
    python benchmarks/screening.py peers DATA [--rows 50000]

DATA is any dataset of instructions and outputs; more rows than it has are made from it, each with three words in ten
drawn anew, so that lengths and vocabulary stay and no row repeats another. `rows` is the cost of the single-row checks alone, `checks`
that of each check by itself, in one process, against cases and real text that are rows of DATA kept apart. For
`peers`, one row in twenty is a copy with three words in a hundred replaced; datatrove and text-dedup each run in an
environment of their own, made at first use (benchmarks/_venv.py). All get 14 bands of 8 hashes over three words. The
truth is the Jaccard index itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from _rows import Rows, made, rows_of, varied, write
from _venv import peer

from trimtab.screens.batch import plain_words
from trimtab.screens.duplicates import THRESHOLD, band_hashes, jaccard, keys, shingles
from trimtab.screens.inputs import list_files
from trimtab.screens.repeats import find_repeats
from trimtab.screens.scan import scan
from trimtab.screens.settings import Settings
from trimtab.screens.sources import plan

COPIES, CHANGED = 20, 0.03


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("sizes", "rows", "checks", "peers"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=None)
    options = parser.parse_args()
    rows = rows_of(options.data)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        if options.what == "sizes":
            sizes(rows, options.rows or [50_000, 200_000, 1_000_000], Path(folder))
        elif options.what == "rows":
            single_rows(rows, (options.rows or [20_000])[0], Path(folder))
        elif options.what == "checks":
            from _checks import checks  # puts meters on the screen, for the rest of this process

            checks(rows, options.rows or [10_000, 50_000, 200_000], Path(folder))
        else:
            peers(rows, (options.rows or [50_000])[0], Path(folder))


def sizes(rows: Rows, counts: Sequence[int], folder: Path) -> None:
    """Print seconds by stage, microseconds a row, and the memory of all processes together, for each size."""
    stages = ("plan", "rows", "duplicates", "compared", "written")
    print(
        f"{os.cpu_count()} cores\n| rows | MB | s | CPU s | "
        + " | ".join(stages)
        + " | µs a row | rows/s | peak GB |"
    )
    print("|---" * (7 + len(stages)) + "|")
    for n in counts:
        data, out = folder / f"rows{n}.jsonl", folder / f"out{n}"
        size = write(made(rows, n), data)
        before = cpu()
        seconds, peak = run([sys.executable, "-m", "trimtab", "screen", data, "-o", out, "--exit-zero"])
        told = json.loads((out / "report.json").read_text())["seconds"]
        parts = " | ".join(f"{told[stage]:.1f}" for stage in stages)
        cost = f"{1e6 * seconds / n:.0f} | {n / seconds:,.0f} | {peak / 2**30:.2f}"
        print(
            f"| {n:,} | {size / 1e6:,.0f} | {seconds:.1f} | {cpu() - before:.1f} | {parts} | {cost} |",
            flush=True,
        )
        data.unlink()


def single_rows(rows: Rows, n: int, folder: Path) -> None:
    """Print the processor time that reading, all checks of single rows, and writing parts take in this one process.

    Seconds of the processor do not depend on what else runs; two units of 4 MiB need no other process.
    """
    data = folder / "rows.jsonl"
    write(made(rows, n), data)
    for again in range(4):
        work = folder / f"work{again}"
        units = plan(list_files(str(data)).files, work)[0][:2]
        started = time.process_time()
        done = sum(tally.rows for _, tally in scan(units, Settings(), work))
        cost = 1e6 * (time.process_time() - started) / done
        print(f"{done:,} rows: {cost:.0f} µs a row{'' if again else ', imports included'}", flush=True)


def cpu() -> float:
    """Return the processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command: Sequence[object]) -> tuple[float, int]:
    """Return the seconds of a command, and the most bytes that it and its children held together."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], sum(map(held, family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{command[0]} ended with {code}")
    return seconds, peak[0]


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = [p.read_text().split() for p in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    found = {int(child) for child in [*children, *(c for one in threads for c in one)]}
    return [pid, *(member for child in found for member in family(child))]


def held(pid: int) -> int:
    """Return the bytes of a process that no other one shares with it (proportional set size)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def peers(rows: Rows, n: int, folder: Path) -> None:
    """Print rows/s, recall and precision of near-duplicates, of trimtab and of its peers."""
    chance = random.Random(1)
    base = list(made(rows, n))
    words = [word for _, reply in base[:5000] for word in reply.split(" ")]
    origins = [i for i in range(0, n, COPIES) if len(base[i][1].split()) >= 10]
    copies = [tuple(varied(chance, text, words, CHANGED) for text in base[i]) for i in origins]
    texts = [f"{p}\n{r}" for p, r in [*base, *copies]]
    plain = [text.split() for text in plain_words(texts)]
    true = {
        n + k
        for k, i in enumerate(origins)
        if jaccard(shingles(plain[n + k]), shingles(plain[i])) >= THRESHOLD
    }
    data = folder / "rows.jsonl"
    with data.open("w") as file:
        file.writelines(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts))
    print(f"{len(texts):,} rows, {len(true):,} planted copies with a Jaccard index of {THRESHOLD} or more")
    print("| | s | rows/s | recall of planted copies | others removed |\n|---|---|---|---|---|")
    alone, removed = near_alone(data, folder)
    show("trimtab, near-duplicates alone, one process", alone, len(texts), removed, true)
    seconds, removed = trimtab_repeats(data, folder)
    show("trimtab, whole screen", seconds["all"], len(texts), removed, true)
    show("trimtab, read + signatures + bands + duplicates", seconds["near"], len(texts), removed, true)
    for name, script in (("datatrove", "_datatrove_minhash.py"), ("text-dedup", "_text_dedup.py")):
        if python := peer(name):
            there = folder / name
            seconds_there, _ = run([python, Path(__file__).with_name(script), data, there, os.cpu_count()])
            removed = set(range(len(texts))) - kept_by(python, there / "kept")
            # text-dedup leaves the copy and removes the row that it is of: the pair is found all the same.
            copy_of = {i: n + k for k, i in enumerate(origins) if n + k in true}
            removed = {copy_of.get(row, row) for row in removed}
            show(f"{name}, read + signatures + clusters + filter", seconds_there, len(texts), removed, true)


def show(name: str, seconds: float, n: int, removed: set[int], true: set[int]) -> None:
    recall = len(removed & true) / len(true)
    print(
        f"| {name} | {seconds:.1f} | {n / seconds:,.0f} | {100 * recall:.1f} % | {len(removed - true)} |",
        flush=True,
    )


def near_alone(data: Path, folder: Path) -> tuple[float, set[int]]:
    """Read, sign and group rows with the functions of the screen, and without its other checks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    started = time.perf_counter()
    with data.open() as file:
        plain = plain_words([json.loads(line)["text"] for line in file])
    n = len(plain)
    columns = {"row": pa.array(range(n)), "plain": pa.array(plain), "key": pa.array(keys(plain))}
    columns |= {"place": pa.array(map(str, range(n))), "id": pa.nulls(n, pa.string())}
    nothing = ("mechanism", "lineage", "chosen", "rejected", "text_a", "text_b")
    columns |= {name: pa.nulls(n, pa.string()) for name in nothing}
    columns |= {"kind": pa.array(["document"] * n), "messages": pa.array([[{"content": p}] for p in plain])}
    columns |= {f"b{i:02}": band for i, band in enumerate(band_hashes(plain))}
    pq.write_table(pa.table(columns), folder / "alone.parquet")
    found = find_repeats([folder / "alone.parquet"], near=True)
    return time.perf_counter() - started, {*found.exact, *found.near}


def trimtab_repeats(data: Path, folder: Path) -> tuple[dict[str, float], set[int]]:
    import pyarrow.parquet as pq

    out = folder / "out"
    whole, _ = run([sys.executable, "-m", "trimtab", "screen", data, "-o", out, "--exit-zero"])
    told = json.loads((out / "report.json").read_text())["seconds"]
    table = pq.read_table(out / "excluded.parquet", columns=["place", "reasons"]).to_pylist()
    removed = {
        int(row["place"].rpartition(" ")[2]) - 1
        for row in table
        if {"duplicates.near", "duplicates.exact"} & set(row["reasons"])
    }
    return {"all": whole, "near": told["plan"] + told["rows"] + told["duplicates"]}, removed


def kept_by(python: str, folder: Path) -> set[int]:
    """Return the ids of the rows that a peer kept: JSON lines, or a dataset that its library saved."""
    if lines := [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]:
        return {int(json.loads(line)["id"]) for line in lines}
    code = "import datasets, sys; print(*datasets.load_from_disk(sys.argv[1])['id'])"
    told = subprocess.run([python, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return set(map(int, told.stdout.split()))


if __name__ == "__main__":
    main()
