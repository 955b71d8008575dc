"""Trimtab turns a language model with small, accountable, synthetic datasets, and shows what the turn did.

The tour, in the order the data flows:

- `trimtab.suites` holds the cases that are measured, split into `learn`, `tune` and `test`.
- `trimtab.probes` measures a system on suites; every figure is an `Estimate` of `trimtab.statistics`.
- `trimtab.charter` holds the principles, and counts the votes behind them.
- `trimtab.mechanisms` makes records (`trimtab.records`): of authored seeds, of the charter, and of what the model's own
  writing is skewed in.
- `trimtab.screens` checks any dataset before it is trained on.
- `trimtab.training` makes one adapter per mechanism and a guard; `trimtab.run.trim` chooses the strengths.
- `trimtab.models` runs the base model, the adapters and the guard as one system.
- `trimtab.governance` holds the gates, fixed before the run, and their verdicts; the ledger, reviews, releases, and
  what verifies, traces and recalls them.
- `trimtab.run` strings these together; `trimtab.report` shows what came out.

Read `trimtab/run/stages.py` next: it is the whole loop.
"""

__version__ = "0.1.0"
