"""The report of a run: one HTML file that needs nothing else; all text from data is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.report._format import (
    cases,
    correction,
    costs_of,
    goal,
    interval,
    judge_error,
    level,
    shift,
    tuned,
    unmeasured_lines,
    visible,
)

MEANING = {
    "pass": "Every gate that was fixed before the run passed, at the stated intervals.",
    "fail": "At least one gate that was fixed before the run failed.",
    "inconclusive": "No gate failed, but at least one could not be decided from what was measured.",
}


def write_report(summary: Mapping[str, Any], path: Path) -> Path:
    """Write `report.html` for a summary; raises InputError when the disk refuses."""
    from trimtab.report.charts import before_after, by_group, costs, records_by_cell, trade_off
    from trimtab.report.frontier import frontier_charts

    charts = {
        "figures": before_after(summary["figures"]),
        "groups": [by_group(group, i) for i, group in enumerate(summary["groups"])],
        "trim": trade_off(summary["trim"]["points"]),
        "frontier": frontier_charts(summary["trim"].get("frontier", []), summary["strengths"].get("values")),
        "records": records_by_cell(summary["records"]),
        "costs": [costs(summary["costs"])],
    }
    return write_page(
        path,
        "template.html",
        s=summary,
        charts=charts,
        meaning=MEANING[summary["outcome"]],
        gates=_gates(summary),
        system=_system(summary),
        tuned=tuned,
        costs_of=costs_of,
        told=_told,
        changed=_changed,
        pc=_percent,
        unmeasured=unmeasured_lines,
        judge_error=judge_error,
        correction=correction,
    )


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Fill a template of this folder, and write it; raises InputError when the disk refuses."""
    import jinja2

    folder = files("trimtab.report")
    text = folder.joinpath(template).read_text(encoding="utf-8")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    # Control and direction characters of hostile text are made visible before HTML escaping.
    environment = jinja2.Environment(autoescape=True, finalize=lambda v: visible(v) if type(v) is str else v)
    html = environment.from_string(text).render(style=style, **values)
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InputError(Problem("report.not-written", str(path), str(error), "Free space there.")) from error
    return path


def _gates(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the gates as they are printed: by the figure's title, and why without what stands in the other cells."""
    figures = {f["figure"]: f for f in summary["figures"]}
    rows = []
    for v in summary["verdicts"]:
        f = figures.get(v["figure"])
        change = f["change"] if f else None
        told = f"{shift(change)} {interval(change, change=True)}, {cases(change)}" if change else "not run"
        why = v["reason"].partition("; ")[2] if v["reason"].startswith(f"{v['figure']} ") else v["reason"]
        title, better = (f["title"], f["better"]) if f else (v["figure"], "")
        rows.append(
            {"title": title, "goal": goal(v, better), "change": told, "outcome": v["outcome"], "why": why}
        )
    return rows


def _system(summary: Mapping[str, Any]) -> str:
    """Return what the measured system is made of; empty where nothing was trained."""
    strengths = summary["strengths"]
    parts = [f"{m} × {s:g}" for m, s in strengths.items() if s]
    out = [m for m, s in strengths.items() if not s]
    if not strengths and not summary["guard"]:
        return ""
    told = f"adapters {', '.join(parts)}" if parts else "no adapter"
    left = f" ({', '.join(out)} left out by the rule below)" if out else ""
    return f"{told}{left}, {'with' if summary['guard'] else 'without'} the guard"


def _told(estimate: Mapping[str, Any] | None) -> str:
    return f"{level(estimate)} {interval(estimate)}, {cases(estimate)}" if estimate else ""


def _changed(estimate: Mapping[str, Any] | None) -> str:
    return f"{shift(estimate)} {interval(estimate, change=True)}" if estimate else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
