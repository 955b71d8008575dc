"""What a screen ends with: the panel in a terminal, and `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.report._format import count, cut, interval, level, one_line
from trimtab.report.panel import COLOURS, whole

if TYPE_CHECKING:
    from rich.console import Group

WEIGHT = {"serious": 0, "minor": 1, "info": 2}
_MARKS = {"serious": "bold red", "minor": "yellow", "info": "dim"}
_MOST = 14


def screen_panel(summary: Mapping[str, Any]) -> Group:
    """Return the panel of a screening summary, for a rich console: verdict, rows, worst findings, what comes next."""
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble(
        ("verdict: ", "bold"), (summary["outcome"].upper(), f"bold {COLOURS[summary['outcome']]}")
    )
    n, kept, excluded = (f"{summary[key]:,}" for key in ("rows", "kept", "excluded"))
    rows = Text(one_line(f"{summary['data']}: {n} rows read, {kept} kept, {excluded} excluded"))
    lines = [
        Text(one_line(f"{d['outcome']}: {d['code']}: {d['reason']}"))
        for d in summary["decisions"]
        if d["outcome"] != "pass"
    ]
    idle = _not_run(summary)
    notes = [Text(one_line(note), style="yellow") for note in summary.get("notes", ())]
    return Group(
        head, rows, *notes, *lines, _table(summary), *([Text(one_line(idle), style="dim")] if idle else []),
        whole(f"report: {one_line(summary['out'])}/report.html; rows: kept.parquet, excluded.parquet"),
        whole(f"next: {one_line(summary['next'])}"),
    )  # fmt: skip


MEANING = {
    "pass": "Every limit of the policy holds. What a finding does not show stands beside it.",
    "fail": "At least one limit of the policy does not hold.",
    "inconclusive": "No limit was exceeded, but a check that the policy asks for did not run, or a figure is too uncertain to decide.",
}


def write_screen_report(summary: Mapping[str, Any], path: Path) -> Path:
    """Write `report.html` for a screening summary; raises InputError when the disk refuses."""
    from trimtab.report.charts import rows_by_reason
    from trimtab.report.page import write_page

    findings = summary["findings"]
    titles = {f["code"]: f["title"] for f in findings}
    reasons = {titles.get(code, code): n for code, n in summary["reasons"].items()}
    return write_page(
        path,
        "screening.html",
        s=summary,
        meaning=MEANING[summary["outcome"]],
        found=worst_first(findings),
        calm=[f for f in findings if f["status"] in ("nothing found", "inconclusive")],
        idle=[f for f in findings if f["status"] == "not run"],
        reasons=rows_by_reason(reasons),
        figure=figure,
        share=share,
        count=count,
    )


def worst_first(findings: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the findings that found something, the heaviest and then the largest first."""
    found = [f for f in findings if f["status"] == "found"]
    return sorted(found, key=lambda f: (WEIGHT[f["severity"]], -f["estimate"]["value"]))


def figure(estimate: Mapping[str, Any], drawn_from: int = 0) -> str:
    """Return a share as rows of rows, and another figure with its interval; and of how many rows they are a sample."""
    told = f"{level(estimate)} {interval(estimate)}"
    if estimate["unit"] == "share":
        told = f"{round(estimate['value'] * estimate['n']):,} of {estimate['n']:,}"
    return f"{told}, in a sample of all {drawn_from:,}" if drawn_from else told


def share(estimate: Mapping[str, Any]) -> str:
    """Return a share of rows, and its interval for more of them; of rare rows so many digits that it does not read 0.0 %."""
    percents = [100 * estimate[name] for name in ("value", "low", "high")]
    value, low, high = (f"{p:.2g}" if 0 < p < 1 else f"{p:.1f}" for p in percents)
    return f"{value} %; of more rows from this source [{low}, {high}]"


def _table(summary: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("weight", "finding", "rows, or value with 95 % interval", "for example"):
        table.add_column(column, overflow="fold")
    found = worst_first(summary["findings"])
    for f in found[:_MOST]:
        told = figure(f["estimate"], f["drawn_from"])
        example = cut(f["rows"][0], 60) if f["rows"] else cut(f["text"], 60)
        cells = (Text(f["severity"], style=_MARKS[f["severity"]]), Text(f"{f['title']} ({f['code']})"))
        table.add_row(*cells, Text(one_line(told)), Text(example))
    if len(found) > _MOST:
        table.add_row("", f"{len(found) - _MOST} more in findings.jsonl", "", "")
    return table


def _not_run(summary: Mapping[str, Any]) -> str:
    reasons: dict[str, list[str]] = {}
    for f in summary["findings"]:
        if f["status"] == "not run":
            reasons.setdefault(f["text"], []).append(f["code"])
    return "; ".join(f"not run: {', '.join(codes)} ({why})" for why, codes in reasons.items())
