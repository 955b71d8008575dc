"""The dataset card of a bundle's records, in the form that Hugging Face reads: metadata in YAML, then text."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trimtab.governance.exports.guard_prompts import guard_prompts
from trimtab.governance.exports.source import Source, plain
from trimtab.governance.waiver import waivers_of

MISSING = "**To be filled in by a person:**"
LIMITS = (
    "Records were checked by content; traits that pass from a teacher to a student through data that looks innocent "
    "cannot be seen that way. Figures hold for the named model, suites and attackers only."
)


def dataset_card(source: Source, *, demo: bool = False) -> str:
    """Return the card, metadata first."""
    text = _text(source, source.figures, source.rows, demo)
    return "\n".join([*_metadata(source.rows), *text]) + "\n"


def _metadata(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    total = sum(map(len, rows.values()))
    size = (
        "n<1K"
        if total < 1000
        else "1K<n<10K"
        if total < 10_000
        else "10K<n<100K"
        if total < 100_000
        else "n>100K"
    )
    configs = [
        line
        for name in rows
        for line in (
            f"- config_name: {name}",
            "  data_files:",
            f"  - {{split: train, path: records/{name}.jsonl}}",
        )
    ]
    tags = ["- synthetic", "- trimtab"]
    return [
        "---", "language: [en]", f"size_categories: ['{size}']", "tags:", *tags,
        *(["configs:", *configs] if configs else []), "---", "",
    ]  # fmt: skip


def _text(source: Source, figures: dict[str, Any], rows: dict[str, Any], demo: bool) -> list[str]:
    about = source.about
    lines = ["# Synthetic training records of a trimtab run", ""]
    if demo:
        lines += ["This is a trial: its maker holds the keys of all reviewers, and nobody reviewed it.", ""]
    lines += [
        f"Model: `{plain(about['config']['model'])}`. Seed: {about['config']['seed']}. Started: {about['started']}. "
        f"trimtab {about['version']}. Verdict of the run's gates: **{figures['outcome']}**.",
        "", "## Composition", "", "| records | count | kinds | synthetic | human | other |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, found in rows.items():
        origin = Counter(row["source"] for row in found)
        kinds = ", ".join(sorted({row["kind"] for row in found}))
        other = len(found) - origin["synthetic"] - origin["human"]
        lines.append(
            f"| {name} | {len(found)} | {kinds} | {origin['synthetic']} | {origin['human']} | {other} |"
        )
    generators = Counter(row["lineage"]["generator"] or "none" for found in rows.values() for row in found)
    lines += ["", "## Who wrote them", ""]
    lines += [f"- `{plain(name)}`: {count} records" for name, count in sorted(generators.items())]
    if source.trained("guard").get("prompts"):  # cards of bundles without the figure stay as they are
        lines += ["", "## The guard's prompts", "", *guard_prompts(source)]
    lines += [
        "",
        "## What training on them changed",
        "",
        "| figure | before | after | gate |",
        "|---|---|---|---|",
    ]
    verdicts = {v["gate"]["figure"]: v["outcome"] for v in figures["verdicts"]}
    lines += [
        f"| {plain(f['title'])} | {_told(f['before'])} | {_told(f['after'])} | {verdicts.get(f['figure'], 'none')} |"
        for f in figures["figures"]
    ]
    lines += [f"\nWaived in the policy: {plain(str(w))}" for w in waivers_of(about["config"])]
    lines += ["", "## The charter", "", *_charter(source.charter)]
    return [*lines, "", "## Limits", "", LIMITS, "", "## Not known to the tool", "", *_to_fill_in()]


def _charter(charter: dict[str, Any]) -> list[str]:
    """Return name and version of the charter, and the dissent beside each of its principles."""
    principles = charter["principle"]
    lines = [
        f"`{plain(charter['name'])}`, version {plain(charter['version'])}, {len(principles)} principles."
    ]
    dissent = [(p["id"], vote) for p in principles for vote in p.get("dissent", ())]
    if not dissent:
        lines += ["", "No dissent is recorded in it: that is so too where nobody was asked."]
    for name, vote in dissent:
        why = f": {plain(vote['reason'])}" if "reason" in vote else ""
        votes = f"{vote['disagreed']} of {vote['seen']} disagreed, {vote['agreed']} agreed"
        lines += ["", f"Dissent on `{name}`, group {plain(vote['group'])}: {votes}{why}"]
    return lines


def _to_fill_in() -> list[str]:
    wanted = (
        "licence",
        "who publishes it and whom to ask",
        "intended use and uses to avoid",
        "personal data in it",
    )
    return [f"- {MISSING} {what}" for what in wanted]


def _told(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "not run"
    low, high = ("open" if estimate[k] is None else f"{estimate[k]:.3f}" for k in ("low", "high"))
    return f"{estimate['value']:.3f} [{low}, {high}], n {estimate['n']}"
