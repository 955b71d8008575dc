"""The report: hostile text is shown and not run, nothing is fetched, and what is missing is not drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trimtab.errors import InputError
from trimtab.report._format import (
    costs_of,
    cut,
    interval,
    one_line,
    quantity,
    tuned,
    unmeasured_lines,
    visible,
)
from trimtab.report.charts import MOST_BARS, before_after, by_group, costs, records_by_cell, trade_off
from trimtab.report.page import write_report
from trimtab.report.panel import panel

HOSTILE = (
    "<script>alert('x')</script>\"'><img src=https://x.example/y onerror=z>\u202e\u200b\x1b[31m{{ 7 * 7 }}"
)
HIDDEN = "\u202e\u200b\x1b"
INFINITE = float("inf")


def estimate(value: float = 0.5, unit: str = "share", **more: Any) -> dict[str, Any]:
    made = {"name": "f", "value": value, "low": value - 0.1, "high": value + 0.1, "n": 96, "clusters": 48}
    return {**made, "unit": unit, "note": "", **more}


def figure(name: str = "attack_success", **more: Any) -> dict[str, Any]:
    made = {
        "figure": name, "title": "attack success", "mechanism": "adversarial", "better": "lower",
        "before": estimate(0.8), "after": estimate(0.2), "change": estimate(-0.6, "points"), "variants": [], "note": "",
    }  # fmt: skip
    return {**made, **more}


def verdict(outcome: str = "pass", **more: Any) -> dict[str, Any]:
    made = {"figure": "attack_success", "kind": "improvement", "goal": -0.5, "margin": None, "unit": "points"}
    return {**made, "outcome": outcome, "reason": "reaches the goal", **more}


def summary(text: str = "plain", **more: Any) -> dict[str, Any]:
    """A summary in which `text` stands wherever data can put text."""
    point = {"mechanism": "adversarial", "effect_name": text, "cost_name": text}
    made = {
        "name": text, "started": "2026-01-01", "model": {"name": text, "digest": "d" * 64}, "evidential": True,
        "outcome": "pass", "seed": 0, "version": "0", "command": text, "verdicts": [verdict(reason=text)], "waivers": [text],
        "figures": [figure(title=text, note=text, variants=[{"label": text, "estimate": estimate(0.3)}])],
        "groups": [{"title": text, "rows": [{"label": text, "before": estimate(0.7), "after": None, "change": None}]}],
        "trim": {
            "rule": text,
            "points": [
                {**point, "strength": 0.0, "effect": 0.9, "cost": 0.1, "chosen": False},
                {**point, "strength": 1.0, "effect": 0.2, "cost": 0.2, "chosen": True},
            ],
        },
        "strengths": {"adversarial": 1.0}, "reattack": {"attempts": 4, "estimate": estimate(0.4)},
        "records": [
            {"mechanism": "bias", "cell": text, "count": 3, "share": 1.0, "samples": [{"id": "i", "text": text}]}
        ],
        "dropped": [{"stage": "screen", "reason": text, "count": 2}],
        "left_out": {text: "rejected"},
        "anchor": {"share": 0.1, "source": text}, "guard": None, "judge": None,
        "costs": [{"stage": "before", "seconds": 61.0}, {"stage": text, "seconds": None}],
        "limits": [text], "next": text, "report": text,
    }  # fmt: skip
    return {**made, **more}


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(summary(HOSTILE), tmp_path_factory.mktemp("report") / "report.html")
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


# ---- the page


def test_hostile_text_is_text(hostile_page: str) -> None:
    page = Tags(hostile_page)
    assert {t for t, _ in page.tags} & {"script", "img", "iframe", "object", "embed", "link", "base"} == set()
    assert [a for _, attributes in page.tags for a in attributes if a.startswith("on")] == []
    told = "".join(page.said)
    assert told.count("<script>alert('x')</script>") >= 12, "everywhere, as it is"
    assert "{{ 7 * 7 }}" in told


def test_hidden_characters_are_spelled_out(hostile_page: str) -> None:
    assert not set(HIDDEN) & set(hostile_page)
    assert "⟨U+202E⟩⟨U+200B⟩⟨U+001B⟩[31m" in hostile_page


def test_the_page_fetches_nothing(hostile_page: str) -> None:
    sources = {"src", "href", "xlink:href", "srcset", "data", "action", "background", "poster"}
    used = [
        (t, a, v) for t, attributes in Tags(hostile_page).tags for a, v in attributes.items() if a in sources
    ]
    assert used == []
    assert not re.search(r"@import|url\((?!#)", hostile_page)


def test_what_exists_is_drawn_and_what_does_not_is_not(tmp_path: Path, hostile_page: str) -> None:
    # before and after, one group, one curve, one mechanism's cells, the costs
    assert hostile_page.startswith("<!doctype html>")
    assert hostile_page.count("<figure>") == hostile_page.count("<svg") == 5
    empty = summary(
        figures=[figure(before=None, after=None, change=None, note="not measured")], groups=[], records=[],
        trim={"rule": "r", "points": []}, reattack=None, anchor=None, dropped=[], costs=[],
    )  # fmt: skip
    page = write_report(empty, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" not in page
    assert "<figure" not in page
    assert "Not run: no adapter was trained on this model." in page
    assert "not measured" in page


def test_ids_in_the_page_are_distinct(hostile_page: str) -> None:
    ids = [a["id"] for _, a in Tags(hostile_page).tags if "id" in a]
    assert ids
    assert len(ids) == len(set(ids))
    named = {i for _, a in Tags(hostile_page).tags for i in (a.get("aria-labelledby") or "").split()}
    assert named <= set(ids)


def test_a_strength_that_was_not_measured_is_told(tmp_path: Path) -> None:
    points = [{**p, "effect": None, "cost": None} for p in summary()["trim"]["points"]]
    page = write_report(summary(trim={"rule": "r", "points": points}), tmp_path / "r.html")
    assert page.read_text(encoding="utf-8").count("not measured") == 4


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_the_page_says_the_verdict_and_whether_it_is_evidence(tmp_path: Path, outcome: str) -> None:
    made = summary(outcome=outcome, verdicts=[verdict(outcome)], evidential=False)
    page = write_report(made, tmp_path / "r.html").read_text(encoding="utf-8")
    assert f'<span class="badge {outcome}">{outcome}</span>' in page
    assert "Not evidential" in page


def test_principles_that_were_not_taught_are_named(tmp_path: Path) -> None:
    page = write_report(summary(left_out={"respect": "rejected"}), tmp_path / "report.html").read_text()
    assert "the charter does not hold them: respect (rejected)." in page


def test_pairs_that_a_charter_leaves_out_are_counted() -> None:
    found = {"not_held": {"respect": 13, "privacy": 2}, "without_pairs": ["plain-words"]}
    lines = unmeasured_lines(found)
    assert "does not hold: 15 pairs (respect 13, privacy 2)" in lines[0]
    assert "no held-out pair: plain-words" in lines[1]
    assert unmeasured_lines({"not_held": {}, "without_pairs": []}) == unmeasured_lines(None) == []
    console = Console(file=io.StringIO(), width=200)
    console.print(panel(summary(unmeasured=found)))
    assert "15 pairs (respect 13, privacy 2)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_gate_is_told_by_title_goal_and_change_and_why_once(tmp_path: Path) -> None:
    reason = (
        "attack_success -60.0 points [-70.0, -50.0], n 96 in 48 clusters; reaches the goal of -50.0 points"
    )
    gates = [verdict(reason=reason), verdict("inconclusive", figure="gone", reason="not run: no outcome")]
    path = write_report(summary(verdicts=gates), tmp_path / "r.html")
    told = " | ".join(filter(str.strip, Tags(path.read_text(encoding="utf-8")).said))
    change = "−60.0 points [−70.0, −50.0], n 96 in 48 clusters"
    assert f"plain | −50.0 points or lower | {change} | pass | reaches the goal of -50.0 points" in told
    assert "gone | −50.0 points or lower | not run | inconclusive | not run: no outcome" in told
    assert "The system: adapters adversarial × 1, without the guard." in told


def test_costs_on_tune_are_told_in_their_units_with_their_limits() -> None:
    rise = {"name": "rise of nll per token", "value": 3.434, "base": 3.4, "most": 3.417}
    refused = {"name": "refusal of benign twins", "value": 0.125, "base": 0.0, "most": 0.05}
    point = {"mechanism": "bias", "strength": 1.0, "effect": 0.5, "effect_name": "|pair gap|", "chosen": True,
             "cost": 3.434, "cost_name": rise["name"], "costs": [rise, refused]}  # fmt: skip
    assert costs_of(point) == [
        "rise of nll per token +1.0 % (at most +0.5 %)", "refusal of benign twins 12.5 % (at most 5.0 %)",
    ]  # fmt: skip
    old = {"cost_name": "rise of nll per token", "cost": None}
    assert costs_of(old) == ["rise of nll per token not measured"]
    assert tuned("attack success", 0.25) == "25.0 %"
    assert tuned("margin of the unwanted reply (nats per token)", -0.2) == "−0.200"
    (chart,) = trade_off([point])
    assert chart.table.head[2] == "rise of nll per token (%)"
    assert chart.table.rows[0][2] == "1"


def test_the_guard_is_told(tmp_path: Path) -> None:
    guard = {
        "false_positive_rate": 0.02, "n_benign": 100, "twins_blocked": 0.05, "n_twins": 40, "caught": 0.9, "n_attacks": 50,
        "length_only": {"attacks_caught": 0.3}, "by_length": [{"bin": "1 to 9", "n": 50, "rate": 0.04}],
    }  # fmt: skip
    page = write_report(summary(guard=guard), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "blocks 2.0 % of 100 ordinary prompts, 5.0 % of 40 benign twins and 90.0 % of 50 attacks" in page
    assert "would catch 30.0 %" in page
    assert "4.0 %" in page


def judge() -> dict[str, Any]:
    error = {"kind": "attack", "counts": "complied", "system": "bare", "n": 9}
    names = ("sensitivity", "specificity", "labelled")
    return {
        "name": "rules-2", "same_model": False, "note": "blocked ones are not judged",
        "errors": [{**error, **dict.fromkeys(names, estimate(0.8))}, {**error, "system": "hardened", **dict.fromkeys(names)}],
        "corrected": [
            {"figure": "attack success", "when": "before", "estimate": estimate(0.7), "why": "ok"},
            {"figure": "attack success", "when": "after", "estimate": None, "why": "judge <unusable>"},
        ],
    }  # fmt: skip


def test_the_judge_is_told(tmp_path: Path) -> None:
    page = write_report(summary(judge=judge()), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "sensitivity 80.0 % [70.0, 90.0], n 96; specificity 80.0 %" in page
    assert "not measurable, none of 9 labelled answers was complied" in page
    assert "none (judge &lt;unusable&gt;)" in page
    assert "which is not the model of this run" in page
    words = " ".join(shown(200, judge=judge()).split())
    assert "judge rules-2 at attacks, bare model: sensitivity 80.0 % [70.0, 90.0], n 96" in words
    assert "corrected for the judge: before 70.0 % [60.0, 80.0]; after none (judge <unusable>)" in words


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        write_report(summary(), tmp_path / "missing" / "report.html")
    assert found.value.problems[0].code == "report.not-written"


# ---- the panel


def shown(width: int, **more: Any) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(panel(summary(**more)))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_the_panel_fits_the_terminal_and_loses_nothing(width: int, outcome: str) -> None:
    told = shown(width, outcome=outcome, verdicts=[verdict(outcome)], figures=[figure()])
    assert f"verdict: {outcome.upper()}" in told
    assert max(map(len, told.splitlines())) <= width
    words = " ".join(told.split())
    for part in (
        "attack",
        "80.0 %",
        "20.0 %",
        "−60.0 points",
        "[−70.0,",
        "−50.0]",
        "re-attack: 40.0 % of 96",
    ):
        assert part in words
    assert outcome in words


def test_a_wide_panel_has_a_line_for_each_figure() -> None:
    figures = [figure(), figure("pair_gap", title="pair gap", after=None, change=None)]
    lines = shown(200, figures=figures).splitlines()
    [one] = [line for line in lines if line.strip().startswith("attack success")]
    assert one.split()[-1] == "pass"
    [two] = [line for line in lines if line.strip().startswith("pair gap")]
    assert "not run" in two


def test_the_panel_shows_hostile_text_and_no_markup() -> None:
    told = shown(200, **{k: v for k, v in summary(HOSTILE + "[bold]").items() if k != "records"})
    assert not set(HIDDEN) & set(told)
    assert "[bold]" in told
    assert "<script>" in told


def test_reduced_sizes_are_said_in_the_panel() -> None:
    assert "not evidential" in shown(80, evidential=False)
    assert "not evidential" not in shown(80)


# ---- charts and their tables


def test_each_unit_has_a_chart_of_its_own() -> None:
    nats = estimate(3.3, "nats/token")
    charts = before_after([figure(), figure("nll", title="nll", before=nats, after=nats)])
    assert len(charts) == 2
    assert [row[0] for c in charts for row in c.table.rows] == ["attack success", "nll"]
    assert charts[1].table.rows[0][1] == "3.300 nats/token [3.200, 3.400]"


def test_infinite_intervals_are_told_and_not_drawn() -> None:
    wide = estimate(0.5, low=-INFINITE, high=INFINITE)
    [chart] = before_after([figure(before=wide, after=wide)])
    assert chart.svg
    assert "inf" not in chart.svg.lower().replace("infer", "")
    assert chart.table.rows[0][1] == "50.0 % [–, –]"


def test_rows_of_one_name_stay_apart() -> None:
    rows = [{"label": "same", "before": estimate(v), "after": estimate(v)} for v in (0.2, 0.7)]
    chart = by_group({"title": "t", "rows": rows}, 0)
    assert "same (2)" in chart.svg


def test_the_chosen_strength_is_marked() -> None:
    [chart] = trade_off(summary()["trim"]["points"])
    assert [row[-1] for row in chart.table.rows] == ["", "chosen"]
    assert "1 (chosen)" in chart.svg or "1.0 (chosen)" in chart.svg


def test_very_many_cells_are_cut_in_the_chart_and_not_in_the_table() -> None:
    cells = [
        {"mechanism": "m", "cell": f"c{i}", "count": i, "share": 0.01, "samples": []}
        for i in range(MOST_BARS + 5)
    ]
    [chart] = records_by_cell(cells)
    assert len(chart.table.rows) == MOST_BARS + 5
    assert f"The {MOST_BARS} largest of {MOST_BARS + 5}" in chart.note
    assert chart.table.rows[0][0] == f"c{MOST_BARS + 4}"


def test_costs_add_up_and_what_nobody_knows_is_a_dash() -> None:
    rows = costs(
        [{"stage": "a", "seconds": 60.5, "tokens": 1200}, {"stage": "b", "seconds": 1234.5}]
    ).table.rows
    assert rows == (
        ("a", "60.5 s", "1,200", "–", "–"),
        ("b", "20.6 min", "–", "–", "–"),
        ("all stages", "21.6 min", "1,200", "–", "–"),
    )


# ---- words


def texts() -> Iterator[str]:
    yield from ["\u2066", "\x00", "\ud800", "\u2028", "\U000e0101", "\ufeff", "\xad"]


@pytest.mark.parametrize("char", list(texts()))
def test_invisible_characters_are_shown(char: str) -> None:
    assert visible(f"a{char}b") == f"a⟨U+{ord(char):04X}⟩b"


@given(st.text(alphabet=st.characters(exclude_categories=())), st.integers(2, 60))
def test_one_line_is_one_line_and_cut_is_short(text: str, limit: int) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert len(cut(text, limit)) <= limit
    one_line(text).encode("utf-8")


@pytest.mark.parametrize(
    ("value", "unit", "change", "told"),
    [
        (0.123, "share", False, "12.3 %"),
        (-0.06, "points", False, "−6.0 points"),
        (-0.00001, "points", False, "+0.0 points"),
        (0.5, "share", True, "+50.0 points"),
        (0.5, "ratio", True, "0.50"),
        (3.2104, "nats/token", False, "3.210 nats/token"),
        (INFINITE, "share", False, "–"),
        (None, "share", False, "–"),
    ],
)
def test_quantities(value: Any, unit: str, change: bool, told: str) -> None:
    assert quantity(value, unit, change=change) == told


def test_an_interval_of_a_change_carries_signs() -> None:
    assert interval(estimate(-0.05), change=True) == "[−15.0, +5.0]"
    assert interval(None) == ""
