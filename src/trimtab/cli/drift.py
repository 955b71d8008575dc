"""`trimtab drift`: what happens to a model that learns from its own output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from trimtab.models.local import LocalModel
    from trimtab.run.drift import Drift


def drift(
    generations: int = typer.Option(4, min=1, help="How often it learns from its own output."),
    real_share: float = typer.Option(
        0.25,
        min=0,
        max=0.99,
        help="Share of real data in the mixed and the reinforced arm; 0: no mixed arm.",
    ),
    reinforce: bool = typer.Option(False, "--reinforce", help="Add an arm with the values adapter."),
    accumulate: bool = typer.Option(
        False, "--accumulate", help="Learn from the data of all generations so far, not of the last alone."
    ),
    full: bool = typer.Option(False, "--full", help="Train all weights instead of a LoRA adapter."),
    model: str = typer.Option("embedded", "--model", "-m", help="Model name; it must be trainable here."),
    real: Path | None = typer.Option(
        None, help="Real conversations to mix in and to compare with; default: Python's documentation."
    ),
    charter: Path | None = typer.Option(
        None, help="Charter that is reinforced and measured; default: the built-in one."
    ),
    records: int = typer.Option(80, min=2, help="Records of a generation."),
    tokens: int = typer.Option(80, min=1, help="Longest reply, in tokens."),
    authored: int = typer.Option(
        144, min=4, help="Preference pairs behind the values adapter of --reinforce."
    ),
    preferences: int = typer.Option(151, min=4, help="Preference cases of the values monitor."),
    pairs: int = typer.Option(144, min=4, help="Pairs of the bias monitor."),
    texts: int = typer.Option(80, min=4, help="Real texts of the collapse monitor."),
    principles: int = typer.Option(12, min=0, help="Principles of the charter whose stance is asked."),
    seed: int = typer.Option(0, min=0, help="Seed of generation and training."),
    output: Path = typer.Option(Path("runs"), "--output", "-o", help="Folder of runs."),
    fresh: bool = typer.Option(False, help="Start anew instead of going on with an unfinished run."),
    engine: str = typer.Option("native", help="Where batches run: native, ray or ray://HOST:PORT."),
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout."),
) -> None:
    """Train a model on its own output again and again, and watch values, bias and collapse apart.

    Arms: control (real data only; what was seen before is told), uncontrolled (own output only), mixed, reinforced. Each generation trains a LoRA
    adapter on the bare weights (or all weights, with --full). An unfinished run of the same settings goes on where it was.

    Example: `trimtab drift --generations 4 --real-share 0.25 --reinforce`

    Exit code: 0 done, 2 input, 130 interrupted.
    """
    from trimtab.cli.output import bars
    from trimtab.engine import set_engine
    from trimtab.report.drift import write_drift_report
    from trimtab.run.directory import held
    from trimtab.run.drift import DriftConfig, run_drift, suites_of
    from trimtab.run.drift_measures import Sizes
    from trimtab.run.drift_summary import open_drift, summarise

    config = DriftConfig(
        model=model, seed=seed, generations=generations, real_share=real_share, reinforce=reinforce,
        accumulate=accumulate, authored=authored, full=full, records=records, tokens=tokens, real=str(real) if real else None,
        charter=str(charter) if charter else None,
        sizes=Sizes(preferences=preferences, role_pairs=pairs, texts=texts, principles=principles),
    )  # fmt: skip
    suites_of(config)  # before a folder is made
    set_engine(engine)
    base = _trainable(model)
    with bars() as bar:
        work = open_drift(output, config, base, bar, fresh=fresh)
        _plan(work)
        with held(work.folder):
            run_drift(work)
    summary = summarise(work)
    page = write_drift_report(summary, work.folder / "report.html")
    (_events if json else _tell)(summary, page)


def _plan(work: Drift) -> None:
    """Say for each arm how many of its real texts it will have seen before: all are used before any is again."""
    from trimtab.cli.output import say

    if work.not_real:
        say(f"not learned from, of {work.config.real}: {work.not_real}")
    for arm in work.config.arms:
        if n := work.config.real_records(arm):
            turns = range(1, work.config.generations + 1)
            told = "; ".join(f"generation {g}: {work.seen_before(arm, g)} of {n}" for g in turns)
            say(f"{arm}: real texts that were seen before, of {len(work.pool)} here: {told}")


def _trainable(name: str) -> LocalModel:
    from trimtab.errors import ConfigError, Problem
    from trimtab.models.load import load_model
    from trimtab.models.local import LocalModel

    base = load_model(name)
    if not isinstance(base, LocalModel):
        fix = "Name a model on this machine: embedded, hf/ORG/NAME or dir/PATH."
        raise ConfigError(Problem("drift.model", name, "cannot be trained here", fix))
    return base


def _events(summary: dict[str, Any], page: Path) -> None:
    from trimtab.cli.output import event

    for row in summary["levels"]:
        event("level", **row)
    for row in summary["changes"]:
        event("change", **row)
    for row in summary["stance"]:
        event("stance", **row)
    for arm, rows in summary["data"].items():
        for generation, row in enumerate(rows, 1):
            event("data", arm=arm, generation=generation, **row)
    for arm, monitors in summary["alarms"].items():
        for monitor, found in monitors.items():
            event("alarm", arm=arm, monitor=monitor, **found)
    event("drift", report=str(page), seconds=summary["seconds"], model=summary["model"]["digest"])


def _tell(summary: dict[str, Any], page: Path) -> None:
    from trimtab.cli.output import say, tell
    from trimtab.report._format import interval, level, shift

    last = summary["config"]["generations"]
    levels = {(r["arm"], r["generation"], r["name"]): r for r in summary["levels"]}
    changes = {(r["arm"], r["generation"], r["name"]): r for r in summary["changes"]}
    for name, measure in summary["watch"]["measure"].items():
        start, control = levels.get(("control", 0, name)), levels.get(("control", last, name))
        tell(f"{measure['monitor']}: {measure['title']}: {level(start)} at first, control {level(control)}")
        for arm in summary["alarms"]:
            c = changes.get((arm, last, name))
            tell(
                f"  {arm:13} {level(levels.get((arm, last, name)))}, against control {shift(c)} {interval(c, change=True)}"
            )
    for row in summary["stance"]:
        if row["generation"] == last:
            against = "the charter" if row["name"] == "stance_from_charter" else "generation 0"
            tell(f"stance: {row['arm']:13} {level(row)} {interval(row)} from {against}")
    rate = summary["watch"]["false_alarm_rate"]
    tell(
        f"\nalarms, at most {100 * rate:g} % false for each monitor of an arm over a whole run; evidence at the end"
    )
    for arm, monitors in summary["alarms"].items():
        told = ", ".join(
            f"{m} {'generation ' + str(a['first']) if a['first'] else 'none'} ({a['evidence'][-1]:.3g} of {a['threshold']:g})"
            for m, a in monitors.items()
        )
        tell(f"  {arm:13} {told}")
    say(
        f"{summary['seconds'] / 60:.1f} minutes\nreport: {page}\nnext: trimtab drift --help, or open the report"
    )
