"""What the guard of one run makes of the answers that another run's adapters gave on the same cases; nothing is asked anew.

    python benchmarks/laid_over.py RUN GUARDED

RUN has the answers before, and those of its adapters without a guard; GUARDED says which cases its own guard blocks. It
is no measurement of a system that was trained as one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from trimtab.governance.figures import all_figures
from trimtab.probes.outcome import read_outcomes
from trimtab.run.measure import guarded


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("guarded", type=Path)
    options = parser.parse_args()
    before, adapters = (
        read_outcomes(options.run / "stages" / name)
        for name in ("01_before/outcomes.jsonl", "06_after/without_guard.jsonl")
    )
    judged = read_outcomes(options.guarded / "stages/06_after/guard_alone.jsonl")
    if missing := {o.item for o in adapters} - {o.item for o in judged}:
        raise SystemExit(f"{options.guarded} has not measured {len(missing)} of the cases")
    blocked = {o.item: bool(o.raw.get("blocked")) for o in judged}
    for figure in all_figures(before, guarded(adapters, blocked, "laid over")):
        if (after := figure.after) and (c := figure.change):
            print(f"{figure.name} {after.value:.4f}, {c.value:+.4f} [{c.low:+.4f}, {c.high:+.4f}], n {c.n}")


if __name__ == "__main__":
    main()
