"""The monitors of drift: the one that should go off does, and the others keep to the stated false-alarm rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from trimtab.run.drift_measures import reply_values
from trimtab.run.monitors import MONITORS, Measure, Monitor, Watch, alarms, by_cluster, change, drifted, watch
from trimtab.statistics.sequential import alarm, e_value, evidence, p_above

RUNS, GENERATIONS, CASES = 1000, 4, 72
REPLIES, DRAWN = 60, 250  # of a generation; generations that runs are drawn from


def simulated(rng: np.random.Generator, drift: dict[Monitor, float]) -> dict[Monitor, float]:
    """Return the share of simulated runs in which each monitor went off.

    A case differs from the control by a mean of its margin (the worst that is still no drift) and `drift` margins more
    for each generation; an effect of the case that stays through all generations makes them dependent.
    """
    watched = watch()
    raised = {}
    for monitor in MONITORS:
        es = []
        for measure in watched.of(monitor).values():
            grown = measure.margin * (1 + drift.get(monitor, 0.0) * np.arange(1, GENERATIONS + 1))[:, None]
            case = rng.normal(0, 3 * measure.margin, size=(RUNS, 1, CASES))
            noise = rng.normal(0, 3 * measure.margin, size=(RUNS, GENERATIONS, CASES))
            es.append(e_value(p_above(grown + case + noise, measure.margin)))
        found = evidence(np.mean(es, axis=0), GENERATIONS)
        raised[monitor] = float((found >= 1 / watched.false_alarm_rate).any(axis=-1).mean())
    return raised


@pytest.mark.parametrize("planted", ["values", "bias", "collapse", None])
def test_planted_drift_raises_its_own_monitor_only(planted: Monitor | None) -> None:
    raised = simulated(np.random.default_rng(3), {planted: 2.0} if planted else {})
    # What 1,000 runs at the stated rate stay below with a chance of 99.9 %.
    most = binom.ppf(0.999, RUNS, watch().false_alarm_rate) / RUNS
    for monitor, share in raised.items():
        if monitor == planted:
            assert share > 0.95
        else:
            assert share <= most


def test_a_p_value_per_generation_would_alarm_too_often() -> None:
    rng = np.random.default_rng(4)
    looks = p_above(rng.normal(0, 1, size=(RUNS, 10, CASES)), 0)
    each = float((looks < 0.05).any(axis=-1).mean())
    ours = float((evidence(e_value(looks), 10) >= 20).any(axis=-1).mean())
    assert each > 0.3
    assert ours <= 0.05


def generations(rng: np.random.Generator, drawn: int) -> list[list[str]]:
    """Return `drawn` generations of replies of one model: words by Zipf's law, lengths a hundred times apart, a few stock phrases.

    A long reply takes their own words from many others, so what a generation comes to is not known as well as so many
    independent shares would be.
    """
    vocabulary = np.array([f"w{i}" for i in range(1500)])
    odds = 1 / np.arange(1, 1501)
    size = np.minimum(400, 1 + 10 * np.exp(1.5 * rng.normal(size=(drawn, REPLIES)))).astype(int)
    words = vocabulary[rng.choice(1500, int(size.sum()), p=odds / odds.sum())]
    parts = np.split(words, size.cumsum()[:-1])
    stock = rng.integers(0, 3 * REPLIES, size.size)
    replies = [
        f"stock {i} reply {i}" if i < REPLIES else " ".join(p) for i, p in zip(stock, parts, strict=True)
    ]
    return [replies[i : i + REPLIES] for i in range(0, len(replies), REPLIES)]


@pytest.fixture(scope="module")
def written() -> list[dict[str, dict[str, float]]]:
    """Return measure → prompt → value of `DRAWN` generations."""
    drawn = generations(np.random.default_rng(8), DRAWN)
    return [reply_values([{"reply": t, "entropy": None} for t in row], frozenset()) for row in drawn]


@pytest.mark.parametrize("name", ["own_words", "near_duplicate"])
def test_the_rate_holds_where_the_figures_of_replies_depend_on_one_another(
    written: list[dict[str, dict[str, float]]], name: str
) -> None:
    """Arm and control write alike and the margin is 0, so that each alarm of 1,000 runs is a false one.

    With shares of replies taken as independent 12 and 13 % of the p-values were below 0.05.
    """
    rng = np.random.default_rng(9)
    found = np.array([list(row[name].values()) for row in written])
    drawn = rng.permuted(np.tile(np.arange(DRAWN), (RUNS, 1)), axis=1)
    arm, control = (found[drawn[:, i : i + GENERATIONS]] for i in (0, GENERATIONS))
    p = p_above(watch().measure[name].sign * (arm - control), 0)
    rate = watch().false_alarm_rate
    raised = (evidence(e_value(p), GENERATIONS) >= 1 / rate).any(axis=-1)
    most = binom.ppf(0.999, RUNS, rate)
    assert raised.sum() <= most
    assert (p[:, 0] < rate).sum() <= most


def test_e_values_have_mean_one_for_uniform_p() -> None:
    grid = (np.arange(4_000_000) + 0.5) / 4_000_000
    assert float(e_value(grid).mean()) == pytest.approx(1, abs=0.12)  # the rest lies in the last of the tail
    assert (e_value(grid) <= 1 / np.maximum(grid, 1e-12)).all()  # no e-value may be above 1 / p


@given(st.floats(1e-12, 1), st.floats(1e-12, 1))
def test_a_smaller_p_is_never_less_evidence(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert float(e_value(low)) >= float(e_value(high)) - 1e-6


def test_p_is_that_of_students_t_test() -> None:
    from scipy.stats import ttest_1samp

    rows = np.random.default_rng(1).normal(0.3, 1, size=(5, 20))
    wanted = ttest_1samp(rows, 0.1, axis=-1, alternative="greater").pvalue
    assert np.allclose(p_above(rows, 0.1), wanted)
    assert p_above(np.full(10, 0.2), 0.1) == 0.5**10
    assert p_above(np.zeros(10), 0.1) == 1
    with pytest.raises(ValueError, match="two clusters"):
        p_above([1.0], 0)


def test_the_alarm_names_its_first_look_and_stays() -> None:
    found = alarm([1, 90, 0.5], 4, 0.05)
    assert found.first == 2
    assert found.raised
    assert found.evidence == (0.25, 22.75, 22.875)
    assert not alarm([1, 1], 4, 0.05).raised
    with pytest.raises(ValueError, match="were planned"):
        alarm([1, 1, 1], 2, 0.05)
    with pytest.raises(ValueError, match="rate"):
        alarm([1], 2, 0)


def measured(values: float, nll: float, n: int = 60) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(0)
    rows = {f"c{i}": float(v) for i, v in enumerate(rng.normal(0, 0.02, n))}
    return {
        "preference_accuracy": {c: values + v for c, v in rows.items()},
        "nll": {c: nll + v * 0.1 for c, v in rows.items()},
    }


def test_monitors_are_kept_apart() -> None:
    control = [measured(0.6, 3.0)] * 3
    rng = np.random.default_rng(2)

    def noisy(values: float, nll: float) -> dict[str, dict[str, float]]:
        return {
            m: {c: v + rng.normal(0, 0.01) for c, v in row.items()}
            for m, row in measured(values, nll).items()
        }

    collapsed = alarms([noisy(0.6, 3.0), noisy(0.6, 3.3), noisy(0.6, 3.6)], control, looks=3)
    assert {m: a.first for m, a in collapsed.items()} == {"values": None, "bias": None, "collapse": 2}
    turned = alarms([noisy(0.6, 3.0), noisy(0.4, 3.0), noisy(0.3, 3.0)], control, looks=3)
    assert {m: a.first for m, a in turned.items()} == {"values": 2, "bias": None, "collapse": None}
    better = alarms([noisy(0.9, 2.0)] * 3, control, looks=3)
    assert not any(a.raised for a in better.values())


def test_the_measures_cover_all_monitors() -> None:
    assert {m.monitor for m in watch().measure.values()} == set(MONITORS)
    assert Watch.model_validate(watch().model_dump()) == watch()


def test_clusters_that_only_one_arm_has_do_not_count() -> None:
    measure = Measure(monitor="values", title="t", worse="lower", margin=0, unit="share")
    one, other = by_cluster([1, 0, 1], ["a", "a", "b"]), {"a": 1.0, "z": 0.0}
    assert one == {"a": 0.5, "b": 1.0}
    assert drifted(measure, one, other).tolist() == [0.5]
    assert change("x", measure, one, other) is None
    found = change("x", measure, {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 1.0})
    assert found is not None
    assert found.value == -0.5
