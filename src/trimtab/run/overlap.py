"""How many cases of a suite a run has learned from or tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.models.load import is_run
from trimtab.run.config import MECHANISMS
from trimtab.run.directory import RunDirectory
from trimtab.suites.case import Case


def overlap_with_run(model: str, cases: Sequence[Case]) -> int:
    """Return the number of cases whose text the run has seen; 0 for a bare model.

    Seen is what is in its records, among the real texts that they are mixed with, in what its guard learned
    from, and in its `tune` suites.
    """
    if not is_run(model):
        return 0
    known = _known(RunDirectory(Path(model)))
    return sum(_plain(c.text) in known for c in cases if c.text)


def _known(run: RunDirectory) -> set[str]:
    from trimtab.mechanisms.adversarial.guard_prompts import learn_prompts, tune_prompts
    from trimtab.run.config import Sizes, kept_charter
    from trimtab.run.measure import tune_suites
    from trimtab.suites.text import python_documentation

    tuned = tune_suites(Sizes(tune_cases=10_000), kept_charter(run.folder))
    known = {_plain(c.text) for _, cases in tuned.values() for c in cases}
    known |= {_plain(c.body) for c in python_documentation().cases if c.split == "learn"}
    if (run.folder / "guard").exists():
        known |= {_plain(p) for prompts in (*learn_prompts(), *tune_prompts()) for p in prompts}
    for mechanism in MECHANISMS:
        for record in run.stage("screen").records(mechanism):
            known |= {_plain(m.content) for m in (record.messages or record.chosen or ()) if m.role == "user"}
            known |= {_plain(t) for t in (record.text_a, record.text_b) if t}
    return known


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
