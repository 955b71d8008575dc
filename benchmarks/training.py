"""How long the values adapter takes on some pairs, beside TRL as it comes: the same pairs, steps, rate and format.

    python benchmarks/training.py [--pairs 48] [--retain 40]

Each side runs in a process of its own. TRL as it comes attends by the fused kernel, reads padding, and a prompt once for
each reply, scores prompts and padding where Triton is missing, computes adapters in float32, and gives memory back to the
system. Losses are printed, to be held against each other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trimtab.charter.charter import read_charter
from trimtab.mechanisms.values.records import make_values
from trimtab.mechanisms.writer import Writer
from trimtab.models import local
from trimtab.models.load import load_model
from trimtab.training import adapter
from trimtab.training.anchor import anchor_records
from trimtab.training.dpo import train_dpo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--retain", type=int, default=40, help="texts on which it keeps to the bare model")
    parser.add_argument("--side", choices=("trimtab", "TRL as it comes"), help="one side alone")
    options = parser.parse_args()
    if options.side:
        one_side(options)
        return
    for side in ("trimtab", "TRL as it comes"):
        subprocess.run([sys.executable, *sys.argv, "--side", side], check=True)


def one_side(options: argparse.Namespace) -> None:
    plain: Any = nullcontext
    if options.side != "trimtab":
        local.keep_freed_memory = lambda: False
        adapter.plain_attention = adapter.packing = lambda _: plain()
        adapter._in_its_format = lambda *_: plain()
        adapter._scoring_what_is_learned = plain
    model: Any = load_model("embedded")
    made = make_values(Writer(model, None, seed=0), read_charter(), authored=options.pairs, contrast=0)
    texts = anchor_records(options.retain, mechanism="values")
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_dpo(model, made.records, Path(scratch) / "adapter", seed=0, texts=texts)
    losses = f"first loss {trained.first_loss:.4f}, last {trained.last_loss:.4f}"
    print(f"{options.side}: {trained.records} pairs, {trained.seconds:.1f} s, {losses}", flush=True)


if __name__ == "__main__":
    main()
