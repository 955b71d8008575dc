"""`trimtab probe`: a user's own suites."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trimtab.models.system import System
    from trimtab.probes.outcome import Outcome
    from trimtab.suites.read import Suite


def probe(
    model: str = typer.Option("embedded", "--model", "-m", help="Model name, or the path of a run."),
    suite: list[Path] = typer.Option(
        ..., "--suite", "-s", help="Suite file (JSONL, JSON, CSV or Parquet); repeatable."
    ),
    limit: int | None = typer.Option(
        None, min=1, help="At most this many cases of each suite, evenly spaced."
    ),
    without: list[str] = typer.Option(
        [], help="Leave out a part of the system: guard, adversarial, bias, values."
    ),
    outcomes: Path | None = typer.Option(None, help="Write the outcomes to this JSONL file."),
    engine: str = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT."),
    max_requests: int | None = typer.Option(None, min=1, help="Ask an endpoint at most this often."),
    exit_zero: bool = typer.Option(False, "--exit-zero", help="Exit with 0 also when a suite was not run."),
    json: bool = typer.Option(False, "--json", help="One JSON line for each estimate on stdout."),
) -> None:
    """Measure a model, or the system of a run, on suites of any kind.

    Kinds: attack, benign, pair, association, choice, preference, text, judged. Every row has `kind` and the
    fields of it, such as {"kind": "benign", "prompt": "How do I kill a process?"}.

    Example: `trimtab probe --model runs/RUN --suite my_attacks.jsonl --without guard --json`

    Exit code: 0 measured, 2 input, 3 a suite was not run, 130 interrupted.
    """
    from trimtab.cli.output import say
    from trimtab.engine import set_engine
    from trimtab.errors import EXIT_INCONCLUSIVE
    from trimtab.models.load import EndpointLimits, load_system
    from trimtab.records.write import check_writable, write_jsonl

    if outcomes:
        check_writable(outcomes)
    suites = _read(suite, limit)
    set_engine(engine)
    limits = EndpointLimits(max_requests=max_requests)
    work = Probing(model, load_system(model, without=without, limits=limits), json)
    for s in suites:
        work.measure(s)
        if outcomes:  # after each suite: an interrupted command keeps what it had
            write_jsonl(outcomes, (o.to_json() for o in work.found))
    if work.not_run and not exit_zero:
        raise typer.Exit(EXIT_INCONCLUSIVE)
    if not json:
        say(f"next: trimtab ask {model} 'How do I get a wine stain out?'")


def _read(paths: list[Path], limit: int | None) -> list[Suite]:
    """Read all suites; raises InputError with what is wrong with any of them."""
    from trimtab.errors import InputError, Problem
    from trimtab.suites.read import read_suite

    suites, problems = [], []
    for path in paths:
        try:
            suites.append(read_suite(path, limit=limit))
        except InputError as error:
            problems += error.problems
    for name, n in Counter(s.name for s in suites).items():
        if n > 1:  # its estimates and outcomes could not be told apart
            problems.append(
                Problem("probe.same-name", f"suite {name}", f"is the name of {n} files", "Rename them.")
            )
    if problems:
        raise InputError(problems)
    return suites


@dataclass
class Probing:
    """Measures suite after suite and tells each at once; remembers the outcomes, and which suites were not run."""

    model: str
    system: System
    json: bool
    found: list[Outcome] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def measure(self, s: Suite) -> None:
        """Measure one suite and print its estimates."""
        from dataclasses import replace

        from trimtab.cli.output import bars, say_rejected
        from trimtab.models.batched import Batched
        from trimtab.probes.registry import probe_for
        from trimtab.run.measure import why_not
        from trimtab.run.overlap import overlap_with_run

        say_rejected(s.name, s.rejected)
        measure, shared = probe_for(s.kind), overlap_with_run(self.model, s.cases)
        if why := why_not(self.system, measure, s.cases):
            self._not_run(s, why)
            return
        asked = replace(self.system, model=Batched(self.system.model))
        with bars() as bar:
            progress = bar(s.name, len(s.cases))
            rows = measure.measure(asked, s.cases, system=self.system.name, progress=progress)
        self.found += rows
        errors = [o.raw["error"] for o in rows if "error" in o.raw]
        if len(errors) == len(rows):
            self._not_run(s, f"no case has an answer: {errors[0]}")
        else:
            self._tell(s, rows, errors, shared)

    def _tell(self, s: Suite, rows: list[Outcome], errors: list[str], shared: int) -> None:
        from trimtab.cli.output import estimate_event, event, say, tell
        from trimtab.probes.registry import probe_for

        for e in probe_for(s.kind).figures(rows):
            if self.json:
                estimate_event(e.to_json(), suite=s.name, model=self.system.digest)
            else:
                note = f"  {e.note}" if e.note else ""
                span = f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]"
                tell(f"{s.name}  {e.name} {span} {e.unit}, n {e.n}{note}")
        if self.json:
            about = {"suite": s.name, "rejected": len(s.rejected), "errors": len(errors), "overlap": shared}
            event("suite", **about)
        for text, n in Counter(errors).most_common(3):
            say(f"{s.name}: {n} of {len(rows)} cases have no answer and are not counted: {text}")
        if shared:
            say(f"{s.name}: {shared} of {len(s.cases)} cases were learned from or tuned on")

    def _not_run(self, s: Suite, why: str) -> None:
        from trimtab.cli.output import event, say

        self.not_run.append(s.name)
        if self.json:
            event("not-run", suite=s.name, kind=s.kind, reason=why)
        say(f"{s.name}: not run: {why}")
