"""`trimtab probe`: a user's own suites."""

from __future__ import annotations

from pathlib import Path

import typer


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
    json: bool = typer.Option(False, "--json", help="One JSON line for each estimate on stdout."),
) -> None:
    """Measure a model, or the system of a run, on suites of any kind.

    Kinds: attack, benign, pair, association, choice, preference, text, judged. Every row has `kind` and the
    fields of it, such as {"kind": "benign", "prompt": "How do I kill a process?"}.

    Example: `trimtab probe --model runs/RUN --suite my_attacks.jsonl --without guard --json`
    """
    from trimtab.cli.output import bars, estimate_event, event, say
    from trimtab.models.load import load_system
    from trimtab.probes.registry import probe_for
    from trimtab.records.write import write_jsonl
    from trimtab.run.overlap import overlap_with_run
    from trimtab.suites.read import read_suite

    suites = [read_suite(path, limit=limit) for path in suite]
    system = load_system(model, without=without)
    found = []
    for s in suites:
        measure = probe_for(s.kind)
        for rejected in s.rejected:
            say(f"{s.name}: rejected row: {rejected}")
        if measure.needs_likelihood and not system.capabilities.loglikelihood:
            say(f"{s.name}: not run: {s.kind} needs log-likelihoods, which {system.name} does not give")
            continue
        with bars() as bar:
            rows = measure.measure(system, s.cases, system=system.name, progress=bar(s.name, len(s.cases)))
        found += rows
        errors = sum("error" in o.raw for o in rows)
        shared = overlap_with_run(model, s.cases)
        for e in measure.figures(rows):
            if json:
                estimate_event(e.to_json(), suite=s.name, model=system.digest)
            else:
                note = f"  {e.note}" if e.note else ""
                typer.echo(
                    f"{s.name}  {e.name} {e.value:.4f} [{e.low:.4f}, {e.high:.4f}] {e.unit}, n {e.n}{note}"
                )
        about = {"suite": s.name, "rejected": len(s.rejected), "errors": errors, "overlap": shared}
        if json:
            event("suite", **about)
        elif errors or shared:
            say(f"{s.name}: {errors} answers are errors; {shared} cases were learned from or tuned on")
    if outcomes:
        write_jsonl(outcomes, (o.to_json() for o in found))
