"""The report of a drift run: the alarms, every measure of every arm by generation, and the risks of the data."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from trimtab.errors import InputError, Problem
from trimtab.report._format import Summary, interval, level, number, one_line, visible
from trimtab.report.charts import BLUE, GREY, ORANGE, Chart, Table, _svg

GREEN = "#0f8a6d"
# Shape and dash say the same as colour.
STYLES = {
    "control": (GREY, "square", [6, 3]),
    "uncontrolled": (ORANGE, "triangle-up", [1, 0]),
    "mixed": (BLUE, "circle", [1, 0]),
    "reinforced": (GREEN, "diamond", [2, 2]),
}
LEAST_SHOWN = 0.1  # of evidence, on the logarithmic axis


def write_drift_report(summary: Summary, path: Path) -> Path:
    """Write the HTML page of a drift run; raises InputError when the disk refuses."""
    import jinja2

    text = files("trimtab.report").joinpath("drift.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, finalize=lambda v: visible(v) if type(v) is str else v)
    html = environment.from_string(text).render(
        s=summary, evidence=evidence_charts(summary), measures=measure_charts(summary)
    )
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InputError(Problem("report.not-written", str(path), str(error), "Free space there.")) from error
    return path


def evidence_charts(summary: Summary) -> list[Chart]:
    """Return for each monitor the evidence of every arm by generation, and the threshold of the alarm."""
    return [_evidence(summary, m, i) for i, m in enumerate(("values", "bias", "collapse"))]


def _evidence(summary: Summary, monitor: str, index: int) -> Chart:
    import altair as alt

    found = {arm: row[monitor] for arm, row in summary["alarms"].items()}
    points = [
        {"arm": arm, "generation": g, "value": max(LEAST_SHOWN, e), "low": e, "high": e}
        for arm, a in found.items()
        for g, e in enumerate(a["evidence"], 1)
    ]
    title = f"{monitor}: evidence of drift against the control arm"
    rows = tuple(
        (arm, f"{g}", f"{e:.3g}") for arm, a in found.items() for g, e in enumerate(a["evidence"], 1)
    )
    table = Table(("arm", "generation", "evidence"), rows)
    threshold = next((a["threshold"] for a in found.values()), None)
    if threshold is None:
        return Chart(title, "", table)
    scale = alt.Scale(type="log", nice=True)
    rule = (
        alt.Chart(alt.Data(values=[{"threshold": threshold}]))
        .mark_rule(color="#b3261e", strokeDash=[4, 3], strokeWidth=1.5)
        .encode(y=alt.Y("threshold:Q", scale=scale))
    )
    lines = _lines(points, "evidence (alarm at the dashed line)", scale)
    note = f"An alarm goes off at {threshold:g}; without drift a run gets there with a chance of {1 / threshold:.0%} at most."
    chart = alt.layer(rule, *lines).properties(width=250, height=200)
    return Chart(title, _svg(chart, title, _told(points), f"evidence-{index}"), table, note)


def measure_charts(summary: Summary) -> list[Chart]:
    """Return one chart for each measure: every arm by generation, with 95 % intervals."""
    measures = summary["watch"]["measure"]
    return [_measure(summary, name, m, i) for i, (name, m) in enumerate(measures.items())]


def _measure(summary: Summary, name: str, measure: Summary, index: int) -> Chart:
    import altair as alt

    levels = [row for row in summary["levels"] if row["name"] == name]
    title = f"{measure['monitor']}: {one_line(measure['title'])} ({measure['worse']} is worse)"
    rows = tuple((r["arm"], f"{r['generation']}", f"{level(r)} {interval(r)}") for r in levels)
    table = Table(("arm", "generation", "value"), rows)
    points = [
        {
            "arm": r["arm"],
            "generation": r["generation"],
            **{k: number(r[k]) for k in ("value", "low", "high")},
        }
        for r in levels
        if number(r["value"]) is not None
    ]
    if not points:
        return Chart(title, "", table)
    scale = alt.Scale(zero=False, nice=True)
    chart = alt.layer(*_lines(points, one_line(measure["unit"]), scale)).properties(width=250, height=200)
    return Chart(title, _svg(chart, title, _told(points), f"measure-{index}"), table)


def _lines(points: Sequence[dict[str, Any]], unit: str, scale: Any) -> list[Any]:
    """Return the layers of a chart: a line, points and intervals for each arm."""
    import altair as alt

    arms = [a for a in STYLES if any(p["arm"] == a for p in points)]

    def domain(part: int) -> Any:
        return alt.Scale(domain=arms, range=[STYLES[a][part] for a in arms])

    colour = alt.Color("arm:N", scale=domain(0), legend=alt.Legend(title=None, orient="top"))
    base = alt.Chart(alt.Data(values=list(points))).encode(
        x=alt.X("generation:O", title="generation", axis=alt.Axis(labelAngle=0)),
        color=colour,
        xOffset=alt.XOffset("arm:N", sort=arms, scale=alt.Scale(domain=arms, paddingOuter=0.9)),
    )
    y = alt.Y("value:Q", title=unit, scale=scale)
    return [
        base.mark_rule(strokeWidth=1, opacity=0.6).encode(
            y=alt.Y("low:Q", title=unit, scale=scale), y2="high:Q"
        ),
        base.mark_line(strokeWidth=1.8).encode(
            y=y, strokeDash=alt.StrokeDash("arm:N", scale=domain(2), legend=None)
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, shape=alt.Shape("arm:N", scale=domain(1), legend=None)
        ),
    ]


def _told(points: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{p['arm']} generation {p['generation']}: {p['value']:.4g}" for p in points)
