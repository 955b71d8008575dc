"""An environment of its own for each peer: they conflict with the lock, and with each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The packages that what is measured imports, and no others: pyspark, torch and the like stay out.
PEERS = {
    "datatrove": ["datatrove==0.10.1", "spacy", "tokenizers", "orjson", "regex", "xxhash<4"],
    "text-dedup": [
        "text-dedup==0.4.0", "datasets<4", "click<9", "click-option-group<0.6", "numpy", "scipy", "tqdm", "xxhash<4",
        "rich<14", "regex", "ftfy",
    ],
    "langfair": ["langfair==0.8.0", "numpy<2", "nltk>=3.8.2", "rich==13.8.0"],
    "diversity": ["diversity==0.3.1", "numpy<2", "nltk>=3.8.2", "tqdm"],
    "pref-voting": [
        "pref_voting==1.18.2", "numpy<2.3", "scipy", "networkx", "tabulate", "matplotlib", "numba<0.63", "ortools",
        "pandas", "filelock", "nashpy",
    ],
}  # fmt: skip
ALONE = ("text-dedup", "langfair", "diversity", "pref-voting")
"""Peers that are installed without what they declare, but for what is named here."""


def peer(name: str) -> str:
    """Return the Python of a peer's environment, made at first use; empty, with a word why, when it cannot be had.

    It lies in TRIMTAB_PEERS, by default ~/.cache/trimtab-peers.
    """
    home = Path(os.environ.get("TRIMTAB_PEERS") or Path.home() / ".cache/trimtab-peers")
    python, done = home / name / "bin/python", home / name / "done"
    if done.exists() and done.read_text() == " ".join(PEERS[name]):
        return str(python)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home / name)], check=True)
    first, *others = PEERS[name]
    steps = [["--no-deps", first], others] if name in ALONE else [[first, *others]]
    for step in steps:
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *step]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            why = (ended.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            print(f"{name} cannot be installed: {why}")
            return ""
    done.write_text(" ".join(PEERS[name]))
    return str(python)
