"""Trimtab turns a language model with small, accountable, synthetic datasets, and shows what the turn did.

The tour, in the order the data flows:

- `trimtab.suites` holds the cases that are measured, split into `learn`, `tune` and `test`.
- `trimtab.probes` measures a system on suites; every figure is an `Estimate` of `trimtab.statistics`.
- `trimtab.mechanisms` turns failures and the charter into records (`trimtab.records`).
- `trimtab.training` makes one adapter per mechanism and a guard, and `trim` chooses their strengths.
- `trimtab.models` runs the base model, the adapters and the guard as one system.
- `trimtab.governance` holds the gates, fixed before the run, and their verdicts; the ledger, reviews, releases, and
  what verifies, traces and recalls them.
- `trimtab.run` strings these together; `trimtab.report` shows what came out.

Read `trimtab/run/stages.py` next: it is the whole loop.
"""

__version__ = "0.1.0"
