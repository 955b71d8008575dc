"""The calibration frontier of the values adapter, and its charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.report.frontier import frontier_charts
from trimtab.run.config import FRONTIER_TWINS, Sizes
from trimtab.run.frontier import frontier
from trimtab.run.measure import tune_suites
from trimtab.run.trim import Tuning, sweep


class Adapted:
    """Prefers wanted replies, refuses, and forgets real text the more, the stronger its adapter is."""

    name, digest = "adapted", "b" * 64
    capabilities = Capabilities(loglikelihood=True, trainable=True)

    def __init__(self) -> None:
        self.strength = 0.0
        self.asked: list[int] = []
        self.chosen = {c.chosen for c in tune_suites(Sizes())["preference_charter"][1]}  # type: ignore[attr-defined]

    def set_adapters(self, strengths: Mapping[Path, float]) -> None:
        self.strength = sum(strengths.values())

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        self.asked.append(len(prompts))
        refused = int(self.strength * len(prompts) / 2)
        return [
            Answer("I cannot help with that." if i < refused else "Here is how: start early.", 9, True)
            for i in range(len(prompts))
        ]

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        return [
            Likelihood(-20.0 - self.strength + 9 * self.strength * (q.text in self.chosen), 10)
            for q in questions
        ]


def points(model: Adapted, folder: Path | None = None, **other: Any) -> list[dict[str, Any]]:
    suites = {**tune_suites(Sizes()), **other}
    return frontier(
        cast(LocalModel, model), Path("run"), (0.5, 1.0), suites, lambda *_: lambda done: None, folder
    )


def test_each_strength_has_all_three_figures_with_intervals_and_paired_changes() -> None:
    model = Adapted()
    found = points(model)
    assert [p["strength"] for p in found] == [0.0, 0.5, 1.0]
    for p in found:
        for name in ("preference_accuracy", "nll_per_token", "refusal_twins"):
            level, change = p[name]["level"], p[name]["change"]
            assert level["low"] <= level["value"] <= level["high"]
            assert change["low"] <= change["value"] <= change["high"]
    assert [p["preference_accuracy"]["level"]["value"] for p in found] == [0.5, 1.0, 1.0]
    assert [p["refusal_twins"]["change"]["value"] for p in found] == [0.0, 0.25, 0.5]
    assert [p["refusal_twins"]["level"]["n"] for p in found] == [FRONTIER_TWINS] * 3
    assert found[2]["nll_per_token"]["change"]["value"] == pytest.approx(0.05)
    assert model.strength == 0, "the model is left bare"


def test_what_the_sweep_answered_is_not_asked_again(tmp_path: Path) -> None:
    first, again = Adapted(), Adapted()
    assert points(first, tmp_path) == points(again, tmp_path)
    assert (sum(first.asked) > 0, again.asked) == (True, [])


def test_the_charts_show_the_intervals_and_what_was_chosen() -> None:
    charts = frontier_charts(points(Adapted()), 0.5)
    assert len(charts) == 2
    assert all("<svg" in c.svg and "0.5 (chosen)" in c.svg for c in charts)
    rows = {r[0]: r for r in charts[0].table.rows}
    assert [rows[s][-1] for s in ("0", "0.5", "1")] == ["", "chosen", ""]
    assert rows["1"][2].startswith("+50.0 points [")
    assert frontier_charts([], None) == []
    unmeasured = [{**p, "refusal_twins": {"level": None, "change": None}} for p in points(Adapted())]
    assert [bool(c.svg) for c in frontier_charts(unmeasured, None)] == [True, False]


def test_without_a_held_out_pair_no_strength_is_chosen_and_the_frontier_says_so(tmp_path: Path) -> None:
    found = points(Adapted(), preference_charter=("preference", []))
    assert [p["preference_accuracy"] for p in found] == [{"level": None, "change": None}] * 3
    assert all(p["nll_per_token"]["level"] for p in found)
    assert [c.svg for c in frontier_charts(found, 0.0)] == ["", ""]
    suites = {**tune_suites(Sizes(tune_cases=2)), "preference_charter": ("preference", [])}
    tuning = Tuning(cast(LocalModel, Adapted()), tmp_path, suites, lambda *_: lambda done: None)
    swept = sweep(tuning, ["values"], {"values": (0.5, 1.0)})
    assert [(p["strength"], p["effect"], p["chosen"]) for p in swept] == [
        (0.0, None, True), (0.5, None, False), (1.0, None, False),
    ]  # fmt: skip


def test_an_interval_without_a_limit_is_null() -> None:
    suites = tune_suites(Sizes(tune_cases=1))
    found = frontier(cast(LocalModel, Adapted()), Path("run"), (1.0,), suites, lambda *_: lambda done: None)
    told = json.loads(json.dumps(found, allow_nan=False))
    assert told[-1]["nll_per_token"]["change"]["high"] is None
