"""Intervals against textbook values, on bad input, and for what must always hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from trimtab.statistics.estimate import Estimate
from trimtab.statistics.findings import benjamini_hochberg
from trimtab.statistics.intervals import mean, product, rate, ratio, wilson, wilson_cases
from trimtab.statistics.judges import rogan_gladen, sensitivity_specificity
from trimtab.statistics.paired import (
    abs_gap_change,
    gap_reversal,
    paired_difference,
    paired_ratio_change,
)
from trimtab.statistics.power import cases_to_decide
from trimtab.statistics.shortcuts import auc, bag_of_words_auc, length_auc


def own(n: int) -> list[str]:
    """Every case its own cluster."""
    return [str(i) for i in range(n)]


def grouped(groups: int, size: int) -> list[str]:
    return [str(i) for i in range(groups) for _ in range(size)]


# Textbook values


def test_wilson_of_single_cases_is_the_textbook_interval() -> None:
    """81 of 263: Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""
    estimate = rate([1] * 81 + [0] * 182, own(263), name="r")
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (0.2553, 0.3662)
    for successes, n in ((0, 20), (15, 148), (1, 29), (30, 30)):
        expected = proportion_confint(successes, n, method="wilson")
        assert wilson(successes / n, n) == pytest.approx(expected, abs=1e-12)


def test_newcombe_gives_the_published_interval() -> None:
    """Airway hyper-responsiveness (Bentur 2009) in Fagerland, Lydersen and Laake 2014: 1, 1, 7, 12."""
    before = [1] * 1 + [1] * 1 + [0] * 7 + [0] * 12
    after = [1] * 1 + [0] * 1 + [1] * 7 + [0] * 12
    estimate = paired_difference(before, after, own(21), name="d")
    assert round(estimate.value, 3) == 0.286
    assert (round(estimate.low, 3), round(estimate.high, 3)) == (0.026, 0.507)


def test_the_mean_of_single_cases_is_students_interval() -> None:
    values = np.random.default_rng(1).normal(2, 1, 25)
    estimate = mean(values, own(25), name="m", unit="nats")
    expected = ttest_1samp(values, 0).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.unit == "nats"
    doubled = mean(np.repeat(values, 3), grouped(25, 3), name="m")
    assert (doubled.low, doubled.high) == pytest.approx((estimate.low, estimate.high))


def test_lang_reiczigel_by_hand() -> None:
    """Apparent 0.4 of 100; 0.9 and 0.8 of 50 each, worked through equations 6, 7, 16 and 17."""
    judged = rate([1] * 40 + [0] * 60, own(100), name="r")
    sensitivity, specificity = (rate([1] * k + [0] * (50 - k), own(50), name="s") for k in (45, 40))
    corrected = rogan_gladen(judged, sensitivity, specificity).estimate
    assert corrected is not None
    z2 = 1.959963984540054**2
    ap, se, sp = (40 + z2 / 2) / (100 + z2), 46 / 52, 41 / 52
    p = (ap + sp - 1) / (se + sp - 1)
    a, b = se * (1 - se) / 52, sp * (1 - sp) / 52
    half = math.sqrt(z2 * (ap * (1 - ap) / (100 + z2) + p**2 * a + (1 - p) ** 2 * b)) / (se + sp - 1)
    centre = p + 2 * z2 * (p * a - (1 - p) * b)
    assert corrected.value == pytest.approx(0.2 / 0.7)
    assert (corrected.low, corrected.high) == pytest.approx((centre - half, centre + half))


def test_benjamini_hochberg_textbook() -> None:
    adjusted = benjamini_hochberg([0.04, 0.01, 0.03, 0.005])
    assert adjusted.tolist() == pytest.approx([0.04, 0.02, 0.04, 0.02])
    assert benjamini_hochberg([]).size == 0


# What clusters do


def test_all_agree_counts_clusters_and_one_cluster_counts_once() -> None:
    alike = rate([0] * 100, grouped(20, 5), name="broken")
    assert (alike.value, alike.low) == (0, 0)
    assert alike.high == pytest.approx(wilson(0, 20)[1])
    assert wilson_cases(alike) == pytest.approx(20)
    alone = rate([0, 1, 1, 1], ["a"] * 4, name="r")
    assert (alone.low, alone.high) == wilson(0.75, 1)
    everywhere = mean([1.0, 2.0], ["a", "a"], name="m")
    assert (everywhere.low, everywhere.high) == (-math.inf, math.inf)


def test_whole_clusters_that_agree_count_once() -> None:
    values = np.repeat([1, 0, 1, 0, 0, 0, 1, 0, 1, 1], 8)
    estimate = rate(values, grouped(10, 8), name="r")
    assert wilson_cases(estimate) == pytest.approx(9)
    assert (estimate.n, estimate.clusters) == (80, 10)


def test_shares_that_did_not_change_keep_an_interval() -> None:
    estimate = paired_difference([0] * 60, [0] * 60, grouped(20, 3), name="broken")
    assert estimate.value == 0
    assert (estimate.low, estimate.high) == pytest.approx((-wilson(0, 20)[1], wilson(0, 20)[1]))
    alone = paired_difference([0, 1], [1, 1], ["a", "a"], name="d")
    assert (alone.low, alone.high) == (-1, 1)


def test_ties_count_half() -> None:
    assert rate([1, 0.5, 0, 0.5], own(4), name="preference_accuracy").value == 0.5
    changed = paired_difference([0.5, 0, 1], [1, 0, 1], own(3), name="preference_accuracy")
    assert changed.value == pytest.approx(1 / 6)


# Gaps


def test_a_halved_gap_is_half_and_repeats() -> None:
    rng = np.random.default_rng(8)
    before = np.repeat(rng.normal(2, 0.5, 40), 2)
    after = before / 2 + rng.normal(0, 0.2, 80)
    first, again = (abs_gap_change(before, after, grouped(40, 2), name="pair_gap") for _ in range(2))
    assert first == again
    assert first.unit == "ratio"
    assert 0.4 < first.low < 0.5 < first.high < 0.6
    assert gap_reversal(before, after, grouped(40, 2)).high == 0


def test_directions_are_averaged_before_the_gap() -> None:
    """A model that comes to say "he" everywhere gains in one direction what it loses in the other."""
    directions = ["he"] * 30 + ["she"] * 10
    before = np.full(40, 1.0)
    after = np.array([3.0] * 30 + [-1.0] * 10)
    assert abs_gap_change(before, after, own(40), directions).value == pytest.approx(1.0)
    assert abs_gap_change(before, after, own(40)).value == pytest.approx(2.0)


def test_a_gap_turned_round_is_seen() -> None:
    before, after = np.full(20, 2.0), np.full(20, -1.5)
    estimate = gap_reversal(before, after, own(20))
    assert (estimate.value, estimate.low, estimate.high, estimate.unit) == (0.75, 0.75, 0.75, "relative")
    assert abs_gap_change(before, after, own(20)).value == 0.75
    alone = abs_gap_change([1.0, 2.0], [0.5, 1.0], ["a", "a"])
    assert (alone.low, alone.high) == (0, math.inf)


def test_resamples_with_a_zero_gap_count_as_the_worst() -> None:
    estimate = abs_gap_change([4.0, 0.0], [0.0, 0.0], ["a", "b"])
    assert (estimate.value, estimate.high) == (0, math.inf)


# Judges, shortcuts, power


def test_a_perfect_judge_changes_nothing_and_a_poor_one_is_unusable() -> None:
    judged = rate([1] * 30 + [0] * 70, own(100), name="attack_success")
    perfect = rate([1] * 5000, own(5000), name="s")
    corrected = rogan_gladen(judged, perfect, perfect)
    assert corrected.usable
    assert corrected.estimate is not None
    assert corrected.estimate.value == pytest.approx(0.3)
    assert (corrected.estimate.low, corrected.estimate.high) == pytest.approx(
        (judged.low, judged.high), abs=2e-3
    )
    poor = rate([1] * 70 + [0] * 30, own(100), name="s")
    unusable = rogan_gladen(judged, poor, poor)
    assert (unusable.estimate, unusable.usable) == (None, False)
    assert "unusable" in unusable.note


def test_a_judge_at_the_limit_is_usable() -> None:
    judged = rate([1, 0] * 20, own(40), name="r")
    sensitivity, specificity = (rate([1] * k + [0] * (10 - k), own(10), name="s") for k in (7, 8))
    assert rogan_gladen(judged, sensitivity, specificity).usable


def test_sensitivity_and_specificity() -> None:
    sensitivity, specificity = sensitivity_specificity([1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 1], own(6))
    assert (sensitivity.value, sensitivity.n) == (0.75, 4)
    assert (specificity.value, specificity.n) == (0.5, 2)


def test_auc_of_scores_and_lengths() -> None:
    assert auc([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert auc([1, 1, 1, 1], [0, 1, 0, 1]) == 0.5
    assert length_auc([10, 12], [3, 4, 5]) == 1
    assert length_auc([5, 5], [5]) == 0.5


def test_bag_of_words_sees_a_giveaway_and_nothing_else() -> None:
    chosen = [f"certainly here is text {i % 7}" for i in range(40)]
    rejected = [f"no here is text {i % 7}" for i in range(40)]
    assert bag_of_words_auc(chosen, rejected, own(40)) == 1
    assert bag_of_words_auc(chosen, chosen, own(40)) == pytest.approx(0.5, abs=1e-9)
    assert bag_of_words_auc(["!"] * 4, ["?"] * 4, own(4)) == 0.5


def test_bag_of_words_learns_nothing_from_its_own_cluster() -> None:
    """Each cluster has a word of its own for what was chosen: across clusters it tells nothing."""
    chosen = [f"word{i // 4}" for i in range(80)]
    rejected = [f"other{i // 4}" for i in range(80)]
    assert bag_of_words_auc(chosen, rejected, grouped(20, 4)) == pytest.approx(0.5, abs=0.05)
    assert bag_of_words_auc(chosen, rejected, own(80)) > 0.9


def test_power() -> None:
    change = Estimate("d", 0.0, -0.1, 0.1, 50, 50)
    assert cases_to_decide(change, 0.05) == 200
    assert cases_to_decide(change, 0.0) is None
    assert cases_to_decide(Estimate("d", 0.0, -math.inf, math.inf, 5, 1), 0.1) is None


# Bad input


@pytest.mark.parametrize(
    "call",
    [
        lambda: rate([], [], name="r"),
        lambda: rate([1, math.nan], own(2), name="r"),
        lambda: rate([1, 2], own(2), name="r"),
        lambda: rate([1, 0], own(3), name="r"),
        lambda: rate([[1], [0]], own(2), name="r"),
        lambda: rate([1, 0], own(2), name="r", confidence=1.0),
        lambda: mean([math.inf], own(1), name="m"),
        lambda: ratio([1, 2], [0, 0], own(2), name="q"),
        lambda: ratio([1, 2], [1], own(2), name="q"),
        lambda: wilson_cases(Estimate("r", 0.5, 0.5, 0.5, 1, 1)),
        lambda: paired_difference([1, 0], [1], own(2), name="d"),
        lambda: paired_difference([], [], [], name="d"),
        lambda: paired_ratio_change([0, 0], [1, 1], [1, 1], own(2), name="q"),
        lambda: abs_gap_change([1.0, -1.0], [1.0, 1.0], own(2)),
        lambda: sensitivity_specificity([1, 1], [1, 0], own(2)),
        lambda: auc([1, 2], [1, 1]),
        lambda: bag_of_words_auc(["a"], ["b", "c"], own(1)),
        lambda: bag_of_words_auc(["a", "b"], ["b", "c"], ["x", "x"]),
        lambda: benjamini_hochberg([0.1, 1.2]),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w+.*:|confidence"):
        call()


# What must always hold

cases = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abcdefgh"), st.integers(1, 50)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(cases, st.randoms())
def test_intervals_hold_their_value_and_ignore_order(
    rows: list[tuple[int, int, str, int]], random: object
) -> None:
    def estimates(order: list[tuple[int, int, str, int]]) -> list[Estimate]:
        before, after, clusters, weights = (list(column) for column in zip(*order, strict=True))
        low, high = np.multiply(weights, 1.5), np.add(weights, after)
        return [
            rate(before, clusters, name="rate"),
            mean(weights, clusters, name="mean"),
            ratio(after, weights, clusters, name="ratio"),
            paired_difference(before, after, clusters, name="paired"),
            paired_difference(before, after, own(len(order)), name="newcombe"),
            paired_ratio_change(low, high, weights, clusters, name="relative"),
            abs_gap_change(low, high, clusters, resamples=50),
        ]

    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for one, other in zip(estimates(rows), estimates(shuffled), strict=True):
        assert one.low <= one.value <= one.high
        assert (one.low, one.value, one.high) == pytest.approx((other.low, other.value, other.high), abs=1e-7)
        bounds = {"rate": (0, 1), "paired": (-1, 1), "newcombe": (-1, 1)}.get(one.name, (-math.inf, math.inf))
        assert bounds[0] <= one.low
        assert one.high <= bounds[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_swapping_before_and_after_mirrors_the_change(rows: list[tuple[int, int]]) -> None:
    before, after = (list(column) for column in zip(*rows, strict=True))
    forth = paired_difference(before, after, own(len(rows)), name="d")
    back = paired_difference(after, before, own(len(rows)), name="d")
    assert (forth.low, forth.value, forth.high) == pytest.approx((-back.high, -back.value, -back.low))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 50), st.integers(1, 50))
def test_the_number_of_cases_is_read_back_from_wilson(successes: int, extra: int) -> None:
    n = successes + extra
    estimate = rate([1] * successes + [0] * extra, own(n), name="r")
    assert wilson_cases(estimate) == pytest.approx(n)


def test_the_limits_of_a_product_by_hand() -> None:
    one, other = Estimate("a", 0.8, 0.7, 0.9, 50, 50, note="n"), Estimate("b", 0.5, 0.4, 0.7, 60, 20)
    found = product(one, other, name="p")
    half = ((0.5 * 0.1) ** 2 + (0.8 * 0.1) ** 2) ** 0.5, ((0.5 * 0.1) ** 2 + (0.8 * 0.2) ** 2) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4 - half[0], 0.4 + half[1]))
    assert (found.n, found.clusters, found.note) == (60, 20, "n")
    certain = Estimate("b", 1.0, 1.0, 1.0, 60, 60)
    same = product(one, certain, name="p")
    assert (same.value, same.low, same.high) == pytest.approx((0.8, 0.7, 0.9))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 30), st.integers(5, 30), st.integers(5, 30))
def test_a_corrected_rate_stays_a_rate(successes: int, se: int, sp: int) -> None:
    judged = rate([1] * successes + [0] * (30 - successes), own(30), name="r")
    sensitivity, specificity = (rate([1] * k + [0] * (30 - k), own(30), name="s") for k in (se, sp))
    corrected = rogan_gladen(judged, sensitivity, specificity)
    assert corrected.usable == (se + sp >= 45)
    if corrected.estimate is not None:
        assert 0 <= corrected.estimate.low <= corrected.estimate.value <= corrected.estimate.high <= 1
