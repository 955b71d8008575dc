"""What a bundle knows for the EU's public summary of training content (template of July 2025), section 2.5 above all.

It fills in what follows from the evidence and names the rest; it is no statement that a summary is complete.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from trimtab.governance.exports.guard_prompts import guard_prompts
from trimtab.governance.exports.source import Source, plain

MISSING = "**To be filled in by a person**"
OTHER_SECTIONS = (
    ("1.1 Provider identification", "name, contact, authorised representative"),
    (
        "1.2 Model identification",
        "versions of the model, dependencies, date of placement on the Union market",
    ),
    (
        "1.3 Modalities and overall size",
        "of the whole training of the base model; below is what this run added",
    ),
    ("2.1 Publicly available datasets", "of the base model"),
    ("2.2 Private datasets obtained from third parties", "of the base model"),
    ("2.3 Data crawled and scraped from online sources", "of the base model"),
    ("2.4 User data", "of the base model"),
    ("2.6 Other sources of data", "of the base model"),
    ("3 Data processing aspects", "text and data mining reservations, removal of illegal content"),
)


def training_content(source: Source, *, demo: bool = False) -> str:
    """Return `TRAINING_CONTENT.md`."""
    about, total = source.about, sum(map(len, source.rows.values()))
    lines = ["# For a public summary of training content", ""]
    if demo:
        lines += ["This is a trial: its maker holds the keys of all reviewers, and nobody reviewed it.", ""]
    lines += [
        f"Of a modification of `{plain(about['config']['model'])}` by trimtab {about['version']}. "
        "This page repeats the evidence; a person decides what must be published.",
        "", "## 2.5 Synthetic data", "",
        f"Synthetic data was used: {'yes' if source.sources['synthetic'] else 'no'}. Modality: text. "
        f"Records trained on: {total}, of them {source.sources['synthetic']} synthetic, "
        f"{source.sources['human']} human, {source.sources['mixed']} mixed, {source.sources['unknown']} unknown.",
        "", "| model that wrote them (SHA-256) | records |", "|---|---|",
        *(f"| `{plain(name)}` | {count} |" for name, count in sorted(source.generators.items())),
        "", f"Name and provider of these models: {MISSING}.", "", *_beside(source),
        "", "| purpose | how it was made | records | characters |", "|---|---|---|---|",
        *_ways(source), "", "## Everything else", "",
        *(f"- {title} ({what}): {MISSING}." for title, what in OTHER_SECTIONS),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _beside(source: Source) -> list[str]:
    """Return what was learned from besides the records: texts that held the model's answers, and the guard's prompts."""
    lines = []
    for mechanism in source.rows:
        about = source.trained(mechanism)
        if anchor := about.get("anchor"):
            count, share = about["records"] - len(source.rows[mechanism]), 100 * anchor["share"]
            lines += [
                f"Beside the {mechanism} records, {count} human-written texts were trained on "
                f"({share:.0f} % of that set): {plain(anchor['source'])}."
            ]
        if kept := about.get("retention"):
            lines += [
                f"While the {mechanism} adapter was trained, {kept['texts']} human-written texts ({plain(kept['source'])}), "
                f"{kept['answers']} answers of the model itself and {kept.get('refusals', 0)} refusals were read, on which it was held to the predictions of the bare model."
                + (
                    " Of pieces of them loops were made, which it learned not to go on with."
                    if kept.get("loops")
                    else ""
                )
            ]
    return [*lines, *guard_prompts(source)]


def _ways(source: Source) -> list[str]:
    counts: Counter[tuple[str, str]] = Counter()
    characters: Counter[tuple[str, str]] = Counter()
    for mechanism, rows in source.rows.items():
        for row in rows:
            key = mechanism, row["lineage"]["operator"] or "none"
            counts[key] += 1
            characters[key] += _size(row)
    return [
        f"| {mechanism} | {plain(operator)} | {n} | {characters[mechanism, operator]} |"
        for (mechanism, operator), n in sorted(counts.items())
    ]


def _size(row: dict[str, Any]) -> int:
    turns = [t for key in ("messages", "chosen", "rejected") for t in row[key] or ()]
    return sum(len(t["content"]) for t in turns) + len(row["text_a"] or "") + len(row["text_b"] or "")
