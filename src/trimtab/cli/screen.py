"""`trimtab screen`: whether to train on a dataset."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.governance.screening import ScreenPolicy
    from trimtab.screens.dataset import Screening
    from trimtab.screens.modelled import Models

_KEYS = 8


def screen(
    data: str = typer.Argument(
        ..., help="A file, folder, pattern, s3://… or hf://… of records in any usual shape."
    ),
    against: list[str] = typer.Option(
        [], help="Evaluation set (as DATA) that no row may repeat; repeatable."
    ),
    reference: str = typer.Option("", help="Real text (as DATA), written by people, to compare with."),
    policy: Path | None = typer.Option(None, help="Policy file (TOML); default: the built-in one."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder to write; default: screens/NAME."
    ),
    embeddings: bool = typer.Option(
        False, "--embeddings", help="Compare embeddings with the reference, too; needs torch."
    ),
    guard: Path | None = typer.Option(
        None, help="Run, bundle or guard folder that reads the requests; needs torch."
    ),
    engine: str = typer.Option("native", help="Where rows are checked: native, ray or ray://HOST:PORT."),
    exit_zero: bool = typer.Option(False, "--exit-zero", help="Exit with 0 whatever the verdict is."),
    json: bool = typer.Option(
        False, "--json", help="One JSON line for each finding and the verdict on stdout."
    ),
) -> None:
    """Check a dataset: form, duplicates, contamination, secrets, hidden text, injection, poison, bias, fidelity, lineage.

    Writes report.html, findings.jsonl, kept.parquet, and excluded.parquet with the reasons of every row that was left out.

    Example: `trimtab screen synthetic.jsonl --reference human.jsonl --against my_eval.jsonl -o screens/synthetic`

    Exit code: 0 pass, 1 fail, 2 input, 3 inconclusive, 130 interrupted.
    """
    from trimtab.cli.output import bars
    from trimtab.engine import set_engine
    from trimtab.governance.policy import exit_code
    from trimtab.governance.screening import read_screen_policy
    from trimtab.records.write import check_writable
    from trimtab.screens.dataset import screen_dataset

    chosen = read_screen_policy(policy)
    out = output or _default_folder(data)
    check_writable(out / "kept.parquet")
    set_engine(engine)
    models = _models(embeddings, guard)
    with bars() as bar:
        done = screen_dataset(
            data,
            out,
            chosen.settings,
            exclude=chosen.exclude,
            against=against,
            reference=reference,
            models=models,
            bar=bar,
        )
    summary = _summary(done, chosen, out)
    _tell(summary, json=json)
    if not exit_zero:
        raise typer.Exit(exit_code(summary["outcome"]))


def _models(embeddings: bool, guard: Path | None) -> Models:
    """Load what the checks that need a model were asked to use."""
    from trimtab.screens.modelled import Models

    embed = blocks = None
    if embeddings:
        from trimtab.models.embedder import Embedder

        embed = Embedder().embed
    if guard:
        from trimtab.models.guard import load_guard

        loaded = load_guard(guard / "guard" if (guard / "guard").is_dir() else guard)

        def blocks(prompts: Sequence[str]) -> list[bool]:
            return [bool(score >= loaded.threshold) for score in loaded.scores(prompts)]

    return Models(embed, blocks)


def _default_folder(data: str) -> Path:
    """Return `screens/NAME`; raises ConfigError when it holds the screen of other data of that name."""
    from trimtab.errors import ConfigError, Problem
    from trimtab.screens.work import screened_before

    out = Path("screens") / _name(data)
    before = screened_before(out)
    if before and _where(before) != _where(data):
        fix = "Name a folder with -o"
        raise ConfigError(Problem("screen.other-data", str(out), f"holds the screen of {before!a}", fix))
    return out


def _name(data: str) -> str:
    from trimtab.screens.inputs import suffix_of

    last = data.rstrip("/").rpartition("/")[2]
    stem = last[: len(last) - len(suffix_of(last))].strip(".*")
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in stem) or "dataset"


def _where(data: str) -> str:
    from trimtab.screens.inputs import is_remote, printable

    return data if is_remote(data) else printable(str(Path(data).absolute()))


def _summary(done: Screening, policy: ScreenPolicy, out: Path) -> dict[str, Any]:
    """Return everything that is told of a screen, as JSON values; the same is written to `report.json`."""
    from dataclasses import asdict

    from trimtab import __version__
    from trimtab.governance.screening import decide_screen, overall_screen
    from trimtab.records.write import write_json
    from trimtab.report.screening import write_screen_report
    from trimtab.screens.inputs import printable

    decisions = decide_screen(policy, done.findings)
    summary = {
        "data": done.data, "rows": done.rows, "records": done.records, "kept": done.kept,
        "excluded": done.excluded, "reasons": done.reasons, "kinds": done.kinds, "kinds_kept": done.kinds_kept,
        "left_out": done.left_out, "ignored": done.ignored, "reference": done.reference, "notes": _notes(done),
        "findings": [finding.to_json() for finding in done.findings],
        "decisions": [asdict(decision) for decision in decisions],
        "outcome": overall_screen(decisions), "policy": policy.digest, "version": __version__,
        "sources": [asdict(source) | {"path": printable(source.path)} for source in done.sources], "seconds": done.seconds,
        "out": str(out), "next": _next(done, out),
    }  # fmt: skip
    write_json(out / "report.json", summary)
    write_screen_report(summary, out / "report.html")
    return summary


def _next(done: Screening, out: Path) -> str:
    if not done.kept:
        return f"read {out}/excluded.parquet: no row was kept"
    kinds = sorted(done.kinds_kept, key=lambda kind: (-done.kinds_kept[kind], kind))
    one = f" --kind {kinds[0]}" if len(kinds) > 1 else ""
    return f"trimtab train {quote(f'{out}/kept.parquet')}{one} -o adapters/NAME"


def _notes(done: Screening) -> list[str]:
    """Return what was not read, and what of the rows that were read is not in the kept rows."""
    from trimtab.screens.inputs import told_left_out

    notes = told_left_out(done.left_out)
    notes += [done.reference] if done.reference else []
    if done.ignored:
        keys = ", ".join(f"{key!a} of {n:,} rows" for key, n in _most_rows_first(done.ignored)[:_KEYS])
        more = f" and {len(done.ignored) - _KEYS} more keys" if len(done.ignored) > _KEYS else ""
        notes.append(f"not in the kept rows, since records do not hold it: {keys}{more}")
    if len(done.kinds_kept) > 1:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(done.kinds_kept.items()))
        notes.append(f"kinds: {kinds}; an adapter learns from one, named by --kind")
    return notes


def _most_rows_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _tell(summary: dict[str, Any], *, json: bool) -> None:
    from trimtab.cli.output import event, say
    from trimtab.report.screening import screen_panel

    if json:
        for finding in summary["findings"]:
            event("finding", **finding)
        keys = (
            "data", "outcome", "rows", "kept", "excluded", "reasons", "decisions", "policy", "out", "kinds_kept",
            "left_out", "ignored", "reference", "next",
        )  # fmt: skip
        event("screened", **{key: summary[key] for key in keys})
        return
    say(screen_panel(summary))
