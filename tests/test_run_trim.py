"""Trim: the rule that chooses a strength, and the sweep that measures what it chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.models.system import adapter_folder
from trimtab.run.measure import Suites
from trimtab.run.trim import choose, sweep
from trimtab.suites.case import KINDS

NAN = float("nan")
BARE = (0.0, 0.9, 0.10)


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([(0.5, 0.6, 0.10), (1.0, 0.2, 0.20)], 1.0),  # the best effect within the limit
        ([(0.5, 0.6, 0.10), (1.0, 0.2, 0.26)], 0.5),  # the best effect costs too much
        ([(0.5, 0.3, 0.10), (1.0, 0.3, 0.05)], 0.5),  # a tie: the smaller strength, whatever it costs
        ([(1.0, 0.3, 0.10), (0.5, 0.3, 0.10)], 0.5),  # in any order
        ([(0.5, 0.6, 0.40), (1.0, 0.2, 0.30)], 0.0),  # none within: the adapter is left out
        ([(0.5, 0.6, 0.25), (1.0, 0.7, 0.10)], 0.5),  # at the limit is within it
        ([(0.5, 1.0, 0.10), (1.0, 0.95, 0.05)], 0.0),  # nor is one that makes it worse, whatever it saves
        ([(0.5, 0.9, 0.05), (1.0, 0.9, 0.10)], 0.0),  # or changes nothing
        ([(0.5, NAN, 0.10), (1.0, 0.7, 0.10)], 1.0),  # nor is an effect that is not known the best
        ([(0.5, 0.6, NAN), (1.0, 0.7, 0.10)], 1.0),  # a cost that is not known is not within
    ],
)
def test_the_rule(tried: list[tuple[float, float, float]], chosen: float) -> None:
    assert choose([BARE, *tried], 0.15, relative=False) == chosen


def test_a_relative_limit_is_a_share_of_the_bare_cost() -> None:
    points = [(0.0, 0.9, 3.0), (0.5, 0.6, 3.02), (1.0, 0.2, 3.04)]
    assert choose(points, 0.01, relative=True) == 0.5
    assert choose(points, 0.02, relative=True) == 1.0
    assert choose(points, 0.03, relative=False) == 0.5


SHARES = st.floats(0, 1)
POINTS = st.lists(
    st.tuples(st.sampled_from([0.25, 0.5, 0.75, 1.0, 2.0]), SHARES, SHARES),
    min_size=1,
    unique_by=lambda p: p[0],
)


@given(SHARES, SHARES, POINTS, st.floats(0, 0.5), st.booleans())
def test_nothing_within_the_limit_is_better_than_what_is_taken(
    effect: float, cost: float, tried: list[tuple[float, float, float]], limit: float, relative: bool
) -> None:
    chosen = choose([(0.0, effect, cost), *tried], limit, relative=relative)
    allowed = cost * (1 + limit) if relative else cost + limit
    within = [(0.0, effect, cost), *(p for p in tried if p[2] <= allowed)]
    assert chosen in {p[0] for p in within}
    [taken] = [p for p in within if p[0] == chosen]
    assert taken[1] == min(p[1] for p in within)


class Steered:
    """Refuses the more requests the stronger its adapter is, attacks first."""

    name, digest = "steered", "a" * 64
    capabilities = Capabilities(loglikelihood=False, trainable=True)

    def __init__(self) -> None:
        self.strengths: list[Mapping[Path, float]] = []

    def set_adapters(self, strengths: Mapping[Path, float]) -> None:
        self.strengths.append(strengths)

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        strength = sum(self.strengths[-1].values())
        return [self.answer(p[0]["content"], strength) for p in prompts]

    def answer(self, asked: str, strength: float) -> Answer:
        least = {"attack 0": 0.5, "attack 1": 1.0, "twin 0": 1.0}.get(asked, 9.0)
        return Answer("I can't help with that." if strength >= least else "Go down to the river.", 5, True)

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        raise AssertionError("nothing is scored")


def suites() -> Suites:
    made = {
        kind: [
            KINDS[kind].model_validate({"id": f"{n}{i}", "suite": n, "cluster": str(i), "prompt": f"{n} {i}"})
            for i in range(2)
        ]
        for kind, n in (("attack", "attack"), ("benign", "twin"))
    }
    return {"attack": ("attack", made["attack"]), "twins": ("benign", made["benign"])}


def test_the_sweep_measures_every_strength_and_leaves_the_bare_model(tmp_path: Path) -> None:
    model = Steered()
    bars: list[str] = []

    def bar(title: str, total: int) -> Any:
        bars.append(f"{title} ({total})")
        return lambda n: None

    points = sweep(
        cast("LocalModel", model), tmp_path, ["adversarial"], {"adversarial": (0.5, 1.0)}, suites(), bar,
    )  # fmt: skip
    # Both attacks, one, none succeed; no twin, no twin, one of two is refused: 0.5 is beyond the limit.
    assert [(p["strength"], p["effect"], p["cost"], p["chosen"]) for p in points] == [
        (0.0, 1.0, 0.0, False), (0.5, 0.5, 0.0, True), (1.0, 0.0, 0.5, False),
    ]  # fmt: skip
    folder = adapter_folder(tmp_path, "adversarial")
    assert model.strengths == [{folder: 0.0}, {folder: 0.5}, {folder: 1.0}, {}]
    assert {(p["effect_name"], p["cost_name"]) for p in points} == {
        ("attack success", "refusal of benign twins")
    }
    assert len(bars) == 6


class Ruined(Steered):
    """Gives no answer at all under its adapter."""

    def answer(self, asked: str, strength: float) -> Answer:
        return Answer("", 0, False, error="nothing") if strength else super().answer(asked, strength)


def test_a_strength_that_cannot_be_measured_is_told_and_not_preferred(tmp_path: Path) -> None:
    strengths = {"adversarial": (1.0, 0.5)}
    model = cast("LocalModel", Ruined())
    points = sweep(model, tmp_path, ["adversarial"], strengths, suites(), lambda *_: lambda n: None)
    assert [(p["strength"], p["effect"], p["cost"], p["chosen"]) for p in points] == [
        (0.0, 1.0, 0.0, True), (1.0, None, None, False), (0.5, None, None, False),
    ]  # fmt: skip


def test_nothing_trained_gives_no_points(tmp_path: Path) -> None:
    assert sweep(cast("LocalModel", Steered()), tmp_path, [], {}, suites(), lambda *_: lambda n: None) == []
