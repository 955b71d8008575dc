"""How long `trimtab --help` and `import trimtab` take, beside a bare interpreter and the peers that are installed.

    python benchmarks/startup.py [--runs 11]

Each command runs in a process of its own, in turn with the others, so that a busy moment hits all of them; the
first round, which fills the caches, is not counted. Peers are measured where they are installed and are named
as missing otherwise. The table has the median, the fastest and the slowest run in seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time

PEERS = ("garak", "lm-eval", "inspect", "deepeval", "llm")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=11, help="counted runs of each command")
    runs = max(1, parser.parse_args().runs)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import trimtab": [sys.executable, "-c", "import trimtab"],
        "trimtab --version": [sys.executable, "-m", "trimtab", "--version"],
        "trimtab --help": [sys.executable, "-m", "trimtab", "--help"],
        "trimtab run --help": [sys.executable, "-m", "trimtab", "run", "--help"],
    }
    places = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    peers = {name: shutil.which(name, path=places) for name in PEERS}
    commands |= {f"{name} --help": [path, "--help"] for name, path in peers.items() if path}
    show(measure(commands, runs))
    if missing := [name for name, path in peers.items() if not path]:
        print(f"not installed, not measured: {', '.join(missing)}")
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {runs} runs of each")


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Return the seconds of each counted run; a command that fails ends the program."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
            if round_:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def show(seconds: dict[str, list[float]]) -> None:
    """Print the table."""
    print("| command | median, s | fastest | slowest |\n|---|---|---|---|")
    for name, found in seconds.items():
        print(f"| `{name}` | {statistics.median(found):.3f} | {min(found):.3f} | {max(found):.3f} |")


if __name__ == "__main__":
    main()
