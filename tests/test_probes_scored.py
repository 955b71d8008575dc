"""Probes of likelihoods: the design's definitions on invented likelihoods, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question, user
from trimtab.probes.choice import ChoiceProbe
from trimtab.probes.outcome import Outcome, Probe, outcome
from trimtab.probes.pair import PairProbe
from trimtab.probes.preference import PreferenceProbe, margin
from trimtab.probes.registry import probe_for
from trimtab.probes.text import TextProbe
from trimtab.statistics.intervals import mean
from trimtab.suites.case import KINDS, PreferenceCase

NAN = float("nan")


class Knows:
    """A model that has a likelihood (total, tokens) for each text."""

    name, digest = "knows", "6" * 64
    capabilities = Capabilities(loglikelihood=True, trainable=False)

    def __init__(self, known: Mapping[str, tuple[float, int]], cut: Sequence[str] = ()) -> None:
        self.known, self.cut = known, cut
        self.asked: list[Question] = []

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        raise AssertionError("these probes generate nothing")

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        self.asked += questions
        return [Likelihood(*self.known[q.text], truncated=q.text in self.cut) for q in questions]


def case(kind: str, number: int, **fields: Any) -> Any:
    row = {"id": f"{kind}{number}", "suite": kind, "cluster": f"c{number}", **fields}
    return KINDS[kind].model_validate(row)


def values(probe: Probe, outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {e.name: e.value for e in probe.figures(outcomes)}


# ---- pair


def pairs(*rows: tuple[float, float, str]) -> list[Outcome]:
    """Measure pairs of (log p(a), log p(b), direction), four tokens each."""
    known = {f"a{i}": (a, 4) for i, (a, _, _) in enumerate(rows)}
    known |= {f"b{i}": (b, 4) for i, (_, b, _) in enumerate(rows)}
    cases = [
        case("pair", i, text_a=f"a{i}", text_b=f"b{i}", direction=way) for i, (_, _, way) in enumerate(rows)
    ]
    return PairProbe().measure(Knows(known), cases, system="s")


def test_gap_is_the_mean_over_directions_of_the_mean_within() -> None:
    outcomes = pairs((-8, -10, "male"), (-6, -10, "male"), (-9, -9, "male"), (-11, -10, "female"))
    found = values(PairProbe(), outcomes)
    # male: (2 + 4 + 0) / 3 = 2; female: −1. Absolute: (2 + 1) / 2. Preferred: 1, 1, a tie, 0.
    assert found == {"gap": 0.5, "abs_gap": 1.5, "prefers_a": 0.625}
    assert PairProbe().figures(outcomes)[0].unit == "nats"


def test_directions_of_a_single_case_do_not_make_an_interval_of_no_width() -> None:
    rows = [(-8, -10, "a"), (-6, -10, "b"), (-9, -9, "c"), (-7, -10, "d"), (-5, -10, "e"), (-8, -10, "f")]
    gap, absolute, prefers = probe_for("pair").figures(pairs(*rows))
    plain = mean([2, 4, 0, 3, 5, 2], list("012345"), name="gap")
    assert (gap.value, gap.low, gap.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert gap.note == absolute.note == "6 of 6 directions have a single case: the interval is wide"
    assert prefers.note == ""
    # Beside directions of more cases, one of a single case widens the interval, and does not narrow it.
    many = [(-8, -10, "a"), (-6, -10, "a"), (-9, -9, "b"), (-7, -10, "b")]
    narrow, wide = (probe_for("pair").figures(pairs(*r))[0] for r in (many, [*many, (-1, -10, "c")]))
    assert narrow.note == ""
    assert narrow == PairProbe().figures(pairs(*many))[0], "nothing changes where directions have more cases"
    # Each case about the mean of its direction, so ±1 and ±1.5, over four clusters.
    half = 3.182446 * (4 / 3 * (2 * 0.25**2 + 2 * 0.375**2)) ** 0.5
    assert (narrow.value, narrow.high - narrow.value) == pytest.approx((2.25, half))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_model_that_always_says_he_gains_no_gap() -> None:
    outcomes = pairs(*[(-7, -10, "male")] * 5, (-10, -7, "female"))
    assert values(PairProbe(), outcomes)["gap"] == pytest.approx(0)
    assert values(PairProbe(), outcomes)["abs_gap"] == pytest.approx(3)


@given(st.lists(st.tuples(st.floats(-50, 50), st.sampled_from("mfx")), min_size=2, max_size=20))
def test_swapping_all_texts_turns_the_gap_round(rows: list[tuple[float, str]]) -> None:
    one = values(PairProbe(), pairs(*((g, 0.0, way) for g, way in rows)))
    other = values(PairProbe(), pairs(*((0.0, g, way) for g, way in rows)))
    assert other["gap"] == pytest.approx(-one["gap"], abs=1e-9)
    assert other["abs_gap"] == pytest.approx(one["abs_gap"])
    assert other["prefers_a"] == pytest.approx(1 - one["prefers_a"])


def test_pairs_of_unequal_length_are_a_stratum_of_their_own() -> None:
    known = {"a0": (-5.0, 4), "b0": (-9.0, 4), "a1": (-9.0, 5), "b1": (-8.0, 4)}
    cases = [case("pair", i, text_a=f"a{i}", text_b=f"b{i}") for i in range(2)]
    found = values(PairProbe(), PairProbe().measure(Knows(known), cases, system="s"))
    assert (found["gap"], found["gap_equal_tokens"], found["gap_unequal_tokens"]) == (1.5, 4.0, -1.0)
    only = values(PairProbe(), PairProbe().measure(Knows(known), cases[1:], system="s"))
    assert only["gap_unequal_tokens"] == -1.0, "said even where no pair is of equal length"
    assert "gap_equal_tokens" not in only


# ---- preference


def test_preference_accuracy_is_by_mean_per_token() -> None:
    # (chosen, rejected): right by mean; wrong by mean though right by sum; a tie; right and of like length.
    rows = [((-6, 3), (-10, 4)), ((-6, 2), (-8, 4)), ((-4, 2), (-6, 3)), ((-4, 4), (-10, 5))]
    known = {f"{s}{i}": like for i, row in enumerate(rows) for s, like in zip("cr", row, strict=True)}
    cases = [case("preference", i, prompt="?", chosen=f"c{i}", rejected=f"r{i}") for i in range(4)]
    model = Knows(known)
    outcomes = PreferenceProbe().measure(model, cases, system="s")
    assert [o.value for o in outcomes] == [1.0, 0.0, 0.5, 1.0]
    assert values(PreferenceProbe(), outcomes) == {
        "preference_accuracy": 0.625, "preference_matched": 1.0, "prefer_shorter": 1.0,
    }  # fmt: skip
    assert all(q.messages == user("?") for q in model.asked)


@pytest.mark.parametrize(("tokens", "matched"), [(8, True), (7, False), (12, True), (13, False)])
def test_like_length_is_a_token_ratio_of_four_fifths_to_five_fourths(tokens: int, matched: bool) -> None:
    known = {"c": (-1.0, tokens), "r": (-2.0, 10)}
    one = case("preference", 0, prompt="?", chosen="c", rejected="r")
    found = values(PreferenceProbe(), PreferenceProbe().measure(Knows(known), [one], system="s"))
    assert ("preference_matched" in found) is matched


# ---- choice


def test_accuracy_by_mean_likelihood_and_ties_share() -> None:
    known = {"a": (-2.0, 2), "b": (-6.0, 3), "c": (-1.0, 1), "d": (-9.0, 3)}
    cases = [
        case("choice", 0, prompt="?", choices=["a", "b"], target=0),
        case("choice", 1, prompt="?", choices=["a", "c", "b"], target=1),
        case("choice", 2, prompt="?", choices=["d", "a"], target=0),
    ]
    outcomes = ChoiceProbe().measure(Knows(known), cases, system="s")
    assert [o.value for o in outcomes] == [1.0, 0.5, 0.0]
    found = values(ChoiceProbe(), outcomes)
    assert found == {"accuracy": 0.5, "chose_first": pytest.approx(2 / 3)}


# ---- text


def test_nll_per_token_is_a_ratio_of_sums_and_texts_without_prompt_are_apart() -> None:
    known = {"long": (-10.0, 5), "short": (-2.0, 1), "alone": (-9.0, 3)}
    cases = [
        case("text", 0, text="long", prompt="?"),
        case("text", 1, text="short", prompt="?"),
        case("text", 2, text="alone"),
    ]
    outcomes = TextProbe().measure(Knows(known), cases, system="s")
    # Not the mean of means, which would be 2 here as well; see the second text with 4 tokens.
    assert values(TextProbe(), outcomes) == {"nll_per_token": 2.0, "nll_per_token_alone": 3.0}
    known["short"] = (-2.0, 4)
    again = TextProbe().measure(Knows(known), cases[:2], system="s")
    assert values(TextProbe(), again) == {"nll_per_token": pytest.approx(12 / 9)}
    assert values(TextProbe(), outcomes[2:]) == {"nll_per_token": 3.0}


# ---- all of them

SUITES: list[tuple[str, dict[str, Any]]] = [
    ("pair", {"text_a": "x", "text_b": "y"}),
    ("preference", {"prompt": "?", "chosen": "x", "rejected": "y"}),
    ("choice", {"prompt": "?", "choices": ["x", "y"], "target": 0}),
    ("text", {"text": "x", "prompt": "?"}),
]


@pytest.mark.parametrize(("kind", "fields"), SUITES)
@pytest.mark.parametrize("bad", [(NAN, 3), (-math.inf, 3), (0.0, 0)])
def test_a_likelihood_that_says_nothing_is_an_error_and_is_not_counted(
    kind: str, fields: dict[str, Any], bad: tuple[float, int]
) -> None:
    probe = probe_for(kind)
    good = probe.measure(Knows({"x": (-3.0, 3), "y": (-6.0, 3)}), [case(kind, 0, **fields)], system="s")
    lost = probe.measure(Knows({"x": bad, "y": (-6.0, 3)}), [case(kind, 1, **fields)], system="s")
    assert lost[0].value is None
    assert lost[0].raw["error"]
    assert values(probe, [*good, *lost]) == values(probe, good)
    assert probe.figures([*good, *lost])[0].n == 1
    assert probe.figures(lost) == []


@pytest.mark.parametrize(("kind", "fields"), SUITES)
def test_texts_that_were_cut_are_counted(kind: str, fields: dict[str, Any]) -> None:
    known = {"x": (-3.0, 3), "y": (-6.0, 3)}
    probe, cases = probe_for(kind), [case(kind, 0, **fields)]
    assert probe.figures(probe.measure(Knows(known, cut=["x"]), cases, system="s"))[0].note == (
        "1 texts cut to the context"
    )
    assert not probe.figures(probe.measure(Knows(known), cases, system="s"))[0].note


def test_the_margin_moves_before_a_pair_changes_sides() -> None:
    def pair(chosen: float, rejected: float) -> Outcome:
        raw = {"chosen": chosen, "rejected": rejected, "tokens_chosen": 10, "tokens_rejected": 5}
        case = PreferenceCase.model_validate(
            {"id": str(chosen), "suite": "s", "cluster": "c", "prompt": "p", "chosen": "a", "rejected": "b"}
        )
        return outcome(case, system="s", response="", judge="", value=0.0, **raw)

    assert margin([pair(-30.0, -5.0), pair(-20.0, -5.0)]) == pytest.approx(-1.5)
    assert margin([pair(-25.0, -5.0), pair(-20.0, -5.0)]) > -1.5
    assert math.isnan(margin([]))
