"""Intervals cover the truth as often as they promise, by simulation with dependent cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate, ratio
from trimtab.statistics.judges import rogan_gladen, sensitivity_specificity
from trimtab.statistics.paired import paired_difference, paired_ratio_change

LEAST_COVERAGE = 0.92


def own(n: int) -> list[str]:
    """Every case its own cluster."""
    return [str(i) for i in range(n)]


def grouped(groups: int, size: int) -> list[str]:
    return [str(i) for i in range(groups) for _ in range(size)]


def coverage(draw: Callable[[], Estimate], truth: float, trials: int = 600) -> float:
    estimates = [draw() for _ in range(trials)]
    return sum(e.low <= truth <= e.high for e in estimates) / trials


def propensities(
    rng: np.random.Generator, p: float, groups: int, size: int, icc: float = 0.2
) -> NDArray[np.float64]:
    """A beta-distributed propensity for each cluster, repeated for its cases."""
    scale = (1 - icc) / icc
    return np.repeat(rng.beta(p * scale, (1 - p) * scale, groups), size)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(("groups", "size"), [(30, 6), (60, 3)])
def test_a_clustered_rate_covers_the_truth(p: float, groups: int, size: int) -> None:
    rng, clusters = np.random.default_rng(7), grouped(groups, size)
    covered = coverage(
        lambda: rate(rng.binomial(1, propensities(rng, p, groups, size)), clusters, name="r"), p
    )
    assert covered >= LEAST_COVERAGE


def test_ignoring_clusters_would_not_cover() -> None:
    rng = np.random.default_rng(7)
    clusters = own(180)
    covered = coverage(lambda: rate(rng.binomial(1, propensities(rng, 0.5, 30, 6)), clusters, name="r"), 0.5)
    assert covered < LEAST_COVERAGE


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.05, 0.15), (0.9, 0.1)])
def test_a_paired_difference_of_single_cases_covers(p: float, q: float) -> None:
    rng, n = np.random.default_rng(3), 60

    def draw() -> Estimate:
        first = rng.random(n)
        second = np.where(rng.random(n) < 0.5, first, rng.random(n))
        return paired_difference(first < p, second < q, own(n), name="d")

    assert coverage(draw, q - p) >= LEAST_COVERAGE


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.3, 0.4), (0.9, 0.1)])
def test_a_paired_difference_of_clusters_covers(p: float, q: float) -> None:
    rng, clusters = np.random.default_rng(4), grouped(40, 5)

    def draw() -> Estimate:
        before, after = (rng.binomial(1, propensities(rng, share, 40, 5)) for share in (p, q))
        return paired_difference(before, after, clusters, name="d")

    assert coverage(draw, q - p) >= LEAST_COVERAGE


def test_a_ratio_and_its_relative_change_cover() -> None:
    rng, clusters = np.random.default_rng(5), grouped(30, 4)

    def texts() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        tokens = rng.integers(5, 60, 120).astype(float)
        nll = tokens * np.repeat(rng.normal(2.5, 0.3, 30), 4)
        return tokens, nll, nll * (1.03 + np.repeat(rng.normal(0, 0.02, 30), 4))

    def level() -> Estimate:
        tokens, nll, _ = texts()
        return ratio(nll, tokens, clusters, name="nll")

    def change() -> Estimate:
        tokens, before, after = texts()
        return paired_ratio_change(before, after, tokens, clusters, name="nll")

    assert coverage(level, 2.5) >= LEAST_COVERAGE
    assert coverage(change, 0.03) >= LEAST_COVERAGE


def test_rogan_gladen_recovers_the_truth() -> None:
    rng, truth, se, sp = np.random.default_rng(6), 0.3, 0.85, 0.9
    values: list[float] = []

    def draw() -> Estimate:
        positive = rng.random(200) < truth
        calls = np.where(positive, rng.random(200) < se, rng.random(200) > sp)
        checked = np.repeat([1, 0], 60)
        verdicts = np.where(checked, rng.random(120) < se, rng.random(120) > sp)
        sensitivity, specificity = sensitivity_specificity(checked, verdicts, own(120))
        corrected = rogan_gladen(
            rate(calls, own(200), name="attack_success"), sensitivity, specificity
        ).estimate
        assert corrected is not None
        values.append(corrected.value)
        return corrected

    assert coverage(draw, truth) >= LEAST_COVERAGE
    assert np.mean(values) == pytest.approx(truth, abs=0.01)
