"""The charts of the report: SVG drawn by Vega-Lite (altair, vl-convert), each with a title and its table.

Colours are blue and orange (told apart with every common colour blindness), and shape says the same as
colour: what was before is an open circle, what is after a filled one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from trimtab.report._format import (
    MISSING,
    RISE,
    Summary,
    count,
    cut,
    dollars,
    interval,
    level,
    number,
    one_line,
    quantity,
    seconds,
    share,
    shift,
)

if TYPE_CHECKING:
    import altair as alt

BLUE, ORANGE, GREY = "#2f7fd0", "#d97706", "#7d8590"
MOST_BARS = 40
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_LABEL = 44
_SERIES = ("before", "variant", "after")
_OPENING = re.compile(r"<svg\b[^>]*>")
_SIZE = re.compile(r'\b(?:width|height|viewBox)="[^"]*"')


@dataclass(frozen=True)
class Table:
    """The figures behind a chart: column heads and rows of printed text. All columns but the first are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """One drawn chart: inline SVG with `<title>` and `<desc>`, a heading, a note, and its table.

    `svg` is empty when there is no finite value to draw; the table is there all the same.
    """

    title: str
    svg: str
    table: Table
    note: str = ""


def before_after(figures: Sequence[Summary]) -> list[Chart]:
    """Return one dot-and-interval chart of `figures` for each unit, variants on rows of their own."""
    charts = []
    for index, unit in enumerate(_in_order(_unit(f) for f in figures)):
        chosen = [f for f in figures if _unit(f) == unit]
        table = Table(("figure", "before", "after", "change", "cases", "better"), _figure_rows(chosen))
        marks = _figure_marks(chosen)
        title = f"Before and after, {_axis(unit)}"
        charts.append(Chart(title, _intervals(marks, unit, title, f"before-after-{index}"), table))
    return charts


def by_group(group: Summary, index: int) -> Chart:
    """Return the dot-and-interval chart of one group of rows, such as attack success by family."""
    rows, title = group["rows"], one_line(group["title"])
    unit = _unit(rows[0]) if rows else ""
    labels = _distinct(row["label"] for row in rows)
    marks = [
        mark
        for label, row in zip(labels, rows, strict=True)
        for series in ("before", "after")
        if (mark := _mark(label, series, row.get(series)))
    ]
    table = Table(
        ("group", "before", "after", "cases"),
        tuple((one_line(r["label"]), *_cells(r), _cases(r)) for r in rows),
    )
    return Chart(title, _intervals(marks, unit, title, f"group-{index}"), table)


def trade_off(points: Sequence[Summary]) -> list[Chart]:
    """Return one curve for each mechanism: effect against open-world cost, the chosen strength marked."""
    charts = []
    for index, mechanism in enumerate(_in_order(p["mechanism"] for p in points)):
        chosen = [_in_units(p) for p in points if p["mechanism"] == mechanism]
        effect, cost = (cut(chosen[0][k], 52) for k in ("effect_name", "cost_name"))
        title = f"{one_line(mechanism)}: {effect} against {cost}"
        rows = tuple(
            (f"{p['strength']:g}", _plain(p["effect"]), _plain(p["cost"]), "chosen" if p["chosen"] else "")
            for p in chosen
        )
        svg = _curve(chosen, effect, cost, title, f"trade-off-{index}")
        charts.append(Chart(title, svg, Table(("strength", effect, cost, "operating point"), rows)))
    return charts


def _in_units(point: Summary) -> dict[str, Any]:
    """Return a point with a cost that is a rise as one (%), where the run says what it is counted from."""
    first = (point.get("costs") or [{}])[0]
    value, base = number(point["cost"]), number(first.get("base"))
    if value is None or not base or not point["cost_name"].startswith(RISE):
        return dict(point)
    return {**point, "cost": 100 * (value / base - 1), "cost_name": f"{point['cost_name']} (%)"}


def records_by_cell(records: Sequence[Summary]) -> list[Chart]:
    """Return one bar chart of record counts for each mechanism; the largest cells when there are very many."""
    charts = []
    for index, mechanism in enumerate(_in_order(r["mechanism"] for r in records)):
        cells = sorted(
            (r for r in records if r["mechanism"] == mechanism), key=lambda r: -(number(r["count"]) or 0)
        )
        labels = _distinct(r["cell"] for r in cells)
        title = f"{one_line(mechanism)}: records by cell"
        bars = [(label, number(r["count"])) for label, r in zip(labels, cells, strict=True)]
        rows = tuple((one_line(r["cell"]), count(r["count"]), share(r["share"])) for r in cells)
        svg = _bars(bars[:MOST_BARS], "records", title, f"records-{index}")
        note = (
            f"The {MOST_BARS} largest of {len(cells)} cells; the table has all."
            if len(cells) > MOST_BARS
            else ""
        )
        charts.append(Chart(title, svg, Table(("cell", "records", "share"), rows), note))
    return charts


def costs(stages: Sequence[Summary]) -> Chart:
    """Return the bar chart of seconds by stage, with tokens, requests and dollars in its table."""
    labels = _distinct(s["stage"] for s in stages)
    bars = [(label, number(s["seconds"])) for label, s in zip(labels, stages, strict=True)]
    rows = [
        (
            one_line(s["stage"]) + (", since it was resumed" if s.get("resumed") else ""),
            seconds(s["seconds"]),
            count(s.get("tokens")),
            count(s.get("requests")),
            dollars(s.get("usd")),
        )
        for s in stages
    ]
    if rows:
        keys = ("seconds", "tokens", "requests", "usd")
        # What no stage knows is unknown in sum, too.
        known = [[v for s in stages if (v := number(s.get(k))) is not None] for k in keys]
        total = [sum(values) if values else None for values in known]
        rows.append(("all stages", seconds(total[0]), count(total[1]), count(total[2]), dollars(total[3])))
    title = "Seconds by stage"
    svg = _bars(bars, "seconds", title, "costs")
    return Chart(title, svg, Table(("stage", "time", "tokens", "requests", "US dollars"), tuple(rows)))


def rows_by_reason(reasons: Summary) -> Chart:
    """Return the bar chart of excluded rows by reason, which is counted in `reasons` under the words for it."""
    labels = _distinct(reasons)
    bars = [(label, number(n)) for label, n in zip(labels, reasons.values(), strict=True)]
    title = "Excluded rows by reason"
    table = Table(("reason", "rows"), tuple((one_line(k), count(n)) for k, n in reasons.items()))
    return Chart(title, _bars(bars, "rows", title, "reasons"), table)


def _figure_rows(figures: Iterable[Summary]) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    for f in figures:
        change = f.get("change")
        told = f"{shift(change)} {interval(change, change=True)}".strip()
        rows.append((one_line(f["title"]), *_cells(f), told, _cases(f), one_line(f["better"])))
        for v in f["variants"]:
            e = v["estimate"]
            label = f"{one_line(f['title'])}, {one_line(v['label'])}"
            rows.append((label, "", _with_interval(e), "", count(e["n"]) if e else MISSING, ""))
    return tuple(rows)


def _figure_marks(figures: Sequence[Summary]) -> list[dict[str, Any]]:
    named = [(f["title"], "before", f.get("before")) for f in figures]
    labels = iter(_distinct(text for f in figures for text in _row_names(f)))
    marks: list[dict[str, Any] | None] = []
    for figure, (_, _, before) in zip(figures, named, strict=True):
        label = next(labels)
        marks += [_mark(label, "before", before), _mark(label, "after", figure.get("after"))]
        marks += [_mark(next(labels), "variant", v["estimate"]) for v in figure["variants"]]
    return [m for m in marks if m]


def _row_names(figure: Summary) -> list[str]:
    return [figure["title"], *(f"· {v['label']}" for v in figure["variants"])]


def _mark(label: str, series: str, estimate: Summary | None) -> dict[str, Any] | None:
    value = number(estimate["value"]) if estimate else None
    if estimate is None or value is None:
        return None
    low, high = number(estimate["low"]), number(estimate["high"])
    # An interval with an infinite end is not drawn; the table prints it.
    low, high = (value, value) if low is None or high is None else (low, high)
    return {"label": label, "series": series, "value": value, "low": low, "high": high}


def _intervals(marks: list[dict[str, Any]], unit: str, title: str, ident: str) -> str:
    if not marks:
        return ""
    import altair as alt

    labels = _in_order(m["label"] for m in marks)
    used = [s for s in _SERIES if any(m["series"] == s for m in marks)]
    whole = unit == "share" and all(m["low"] >= 0 and m["high"] <= 1 for m in marks)
    scale = alt.Scale(domain=[0, 1]) if whole else alt.Scale(zero=False, nice=True, padding=12)
    axis = alt.Axis(format=".0%" if unit == "share" else "~g", tickCount=6)
    colours = {"before": ORANGE, "variant": GREY, "after": BLUE}
    shapes = {"before": "circle", "variant": "diamond", "after": "circle"}
    filled = {"before": "transparent", "variant": GREY, "after": BLUE}
    base = alt.Chart(alt.Data(values=marks)).encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(grid=True, tickBand="extent")),
        yOffset=alt.YOffset("series:N", sort=used, scale=alt.Scale(domain=used, paddingOuter=0.35)),
        color=alt.Color("series:N", scale=_scale(used, colours), legend=alt.Legend(title=None, orient="top")),
    )
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=_axis(unit), scale=scale, axis=axis), x2="high:Q"
    )
    point = base.mark_point(size=80, strokeWidth=2, opacity=1).encode(
        x=alt.X("value:Q", title=_axis(unit), scale=scale, axis=axis),
        shape=alt.Shape("series:N", scale=_scale(used, shapes)),
        fill=alt.Fill("series:N", scale=_scale(used, filled)),
    )
    chart = alt.layer(rule, point).properties(width=560, height=max(60, 38 * len(labels)))
    told = "; ".join(f"{m['label']} {m['series']} {quantity(m['value'], unit)}" for m in marks)
    return _svg(chart, title, told, ident)


def _scale(names: Sequence[str], values: dict[str, str]) -> alt.Scale:
    import altair as alt

    return alt.Scale(domain=list(names), range=[values[n] for n in names])


def _curve(points: Sequence[Summary], effect: str, cost: str, title: str, ident: str) -> str:
    import altair as alt

    rows = [
        {
            "effect": e,
            "cost": c,
            "strength": f"{p['strength']:g}",
            "order": p["strength"],
            "chosen": p["chosen"],
        }
        for p in points
        if (e := number(p["effect"])) is not None and (c := number(p["cost"])) is not None
    ]
    if not rows:
        return ""
    for row in rows:
        row["label"] = f"{row['strength']} (chosen)" if row["chosen"] else row["strength"]
    scale = alt.Scale(zero=False, nice=True, padding=22)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("cost:Q", title=cost, scale=scale), y=alt.Y("effect:Q", title=effect, scale=scale)
    )
    layers = [
        base.mark_line(color=GREY, strokeWidth=1.5).encode(order="order:Q"),
        base.mark_point(color=BLUE, filled=True, size=55, opacity=1),
        base.transform_filter("datum.chosen").mark_point(
            color=ORANGE, size=260, strokeWidth=3, opacity=1, shape="circle"
        ),
        base.mark_text(dx=9, dy=-11, align="left", fontSize=11).encode(text="label:N"),
    ]
    told = "; ".join(f"strength {r['label']}: {effect} {r['effect']:g}, {cost} {r['cost']:g}" for r in rows)
    return _svg(alt.layer(*layers).properties(width=400, height=230), title, told, ident)


def _bars(bars: Sequence[tuple[str, float | None]], unit: str, title: str, ident: str) -> str:
    import altair as alt

    rows = [
        {"label": label, "value": v, "told": f"{v:,.4g}" if v < 1000 else f"{v:,.0f}"}
        for label, v in bars
        if v is not None
    ]
    if not rows:
        return ""
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("label:N", sort=[r["label"] for r in rows], title=None),
        x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5)),
    )
    bar = base.mark_bar(color=BLUE, height=13)
    text = base.mark_text(align="left", dx=5, fontSize=11).encode(text="told:N")
    told = "; ".join(f"{r['label']} {r['told']}" for r in rows)
    chart = alt.layer(bar, text).properties(width=520, height=24 * len(rows))
    return _svg(chart, title, f"{unit}: {told}", ident)


def _svg(chart: alt.LayerChart, title: str, description: str, ident: str) -> str:
    """Return inline SVG: titled, with ids of its own, and without the namespaces that inline SVG does not need."""
    import vl_convert

    plain: dict[str, Any] = {"labelFont": _FONT, "titleFont": _FONT, "labelFontSize": 12, "titleFontSize": 12}
    axis = {**plain, "titleFontWeight": 500, "domain": False, "ticks": False, "labelPadding": 8}
    styled = (
        chart.configure(font=_FONT, background="transparent", padding=4)
        .configure_view(stroke=None)
        .configure_axis(**axis, gridColor="#c9ced6", labelLimit=320, titleLimit=420)
        .configure_legend(**plain, symbolStrokeWidth=2)
    )
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict(), allowed_base_urls=[])
    opening = _OPENING.search(svg)
    if opening is None:
        raise AssertionError("vl-convert returned no SVG")
    svg = svg[opening.end() :].replace('id="', f'id="{ident}-').replace("url(#", f"url(#{ident}-")
    size = " ".join(_SIZE.findall(opening[0]))
    head = f'<svg {size} role="img" aria-labelledby="{ident}-title {ident}-desc">'
    names = f'<title id="{ident}-title">{escape(title)}</title><desc id="{ident}-desc">{escape(description)}</desc>'
    return head + names + svg


def _cells(row: Summary) -> tuple[str, str]:
    return _with_interval(row.get("before")), _with_interval(row.get("after"))


def _with_interval(estimate: Summary | None) -> str:
    return f"{level(estimate)} {interval(estimate)}".strip()


def _cases(row: Summary) -> str:
    estimate = row.get("after") or row.get("before")
    return f"{count(estimate['n'])} in {count(estimate['clusters'])}" if estimate else MISSING


def _plain(value: Any) -> str:
    finite = number(value)
    return MISSING if finite is None else f"{finite:.4g}".replace("-", "−")


def _unit(row: Summary) -> str:
    estimate = row.get("after") or row.get("before")
    return estimate["unit"] if estimate else ""


def _axis(unit: str) -> str:
    return one_line(unit) or "no unit"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _distinct(texts: Iterable[str]) -> list[str]:
    """Return short labels, made distinct: two rows of one name would share one place on the axis."""
    seen: dict[str, int] = {}
    labels = []
    for text in texts:
        label = cut(text, _LABEL) or MISSING
        seen[label] = seen.get(label, 0) + 1
        labels.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return labels
