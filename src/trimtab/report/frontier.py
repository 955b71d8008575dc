"""The chart of the values adapter's frontier: what adherence costs in real text and in over-refusal, strength by strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.report._format import Summary, interval, level, number, shift
from trimtab.report.charts import BLUE, GREY, ORANGE, Chart, Table, _svg

EFFECT = ("preference_accuracy", "adherence: preference accuracy")
COSTS = (("nll_per_token", "nll per token of real text"), ("refusal_twins", "refusal of benign twins"))


def frontier_charts(points: Sequence[Summary], chosen: float | None) -> list[Chart]:
    """Return a chart for each cost: changes against strength 0 with 95 % intervals, the chosen strength marked."""
    if not points:
        return []
    head = (
        "strength",
        EFFECT[1],
        "change",
        *(h for _, title in COSTS for h in (title, "change")),
        "operating point",
    )
    table = Table(head, tuple(_row(p, chosen) for p in points))
    return [_chart(points, chosen, *cost, table, i) for i, cost in enumerate(COSTS)]


def _row(point: Summary, chosen: float | None) -> tuple[str, ...]:
    cells = [_cell(point[name], change) for name, _ in (EFFECT, *COSTS) for change in (False, True)]
    return (f"{point['strength']:g}", *cells, "chosen" if point["strength"] == chosen else "")


def _cell(figure: Summary, change: bool) -> str:
    e = figure["change" if change else "level"]
    told = shift(e) if change else level(e)
    return f"{told} {interval(e, change=change)}".strip()


def _chart(  # noqa: PLR0917
    points: Sequence[Summary], chosen: float | None, cost: str, title: str, table: Table, index: int
) -> Chart:
    heading = f"values: {EFFECT[1]} against {title}, changes on tune"
    marks = [m for p in points if (m := _mark(p, chosen, cost))]
    note = "Lines are 95 % intervals of paired changes against strength 0."
    return Chart(heading, _drawn(marks, title, heading, f"frontier-{index}") if marks else "", table, note)


def _mark(point: Summary, chosen: float | None, cost: str) -> dict[str, Any] | None:
    x, y = point[cost]["change"], point[EFFECT[0]]["change"]
    row = {f"{axis}{k}": _in_unit(e, k) for axis, e in (("x", x), ("y", y)) for k in ("value", "low", "high")}
    if any(v is None for v in row.values()):
        return None
    picked = point["strength"] == chosen
    label = f"{point['strength']:g}{' (chosen)' if picked else ''}"
    return {**row, "label": label, "order": point["strength"], "chosen": picked}


def _in_unit(estimate: Summary | None, key: str) -> float | None:
    """Return a limit in percent or points, as the report prints it."""
    finite = number(estimate[key]) if estimate else None
    return None if finite is None else 100 * finite


def _drawn(marks: Sequence[dict[str, Any]], cost: str, title: str, ident: str) -> str:
    import altair as alt

    scale = alt.Scale(zero=False, nice=True, padding=22)
    xs, ys = f"change of {cost} (%)", "change of accuracy (points)"
    base = alt.Chart(alt.Data(values=list(marks))).encode(
        x=alt.X("xvalue:Q", title=xs, scale=scale), y=alt.Y("yvalue:Q", title=ys, scale=scale)
    )
    thin = {"color": GREY, "strokeWidth": 1, "opacity": 0.7}
    layers = [
        base.mark_rule(**thin).encode(y=alt.Y("ylow:Q", title=ys, scale=scale), y2="yhigh:Q"),
        base.mark_rule(**thin).encode(x=alt.X("xlow:Q", title=xs, scale=scale), x2="xhigh:Q"),
        base.mark_line(color=GREY, strokeWidth=1.5).encode(order="order:Q"),
        base.mark_point(color=BLUE, filled=True, size=55, opacity=1),
        base.transform_filter("datum.chosen").mark_point(
            color=ORANGE, size=260, strokeWidth=3, opacity=1, shape="circle"
        ),
        base.mark_text(dx=9, dy=-11, align="left", fontSize=11).encode(text="label:N"),
    ]
    told = "; ".join(
        f"strength {m['label']}: {m['yvalue']:+.1f} points at {m['xvalue']:+.1f} %" for m in marks
    )
    return _svg(alt.layer(*layers).properties(width=400, height=230), title, told, ident)
