"""Figures of embeddings on clouds whose answer is known, and the checks that use them; no model is loaded."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from tests.test_screens_compared import real, requests, sample
from trimtab.screens.embeddings import (
    authentic,
    covered,
    distances,
    frechet,
    reach,
    tail,
    vendi,
)  # fmt: skip
from trimtab.screens.modelled import CODES, embedding_findings, fidelity_by_model, hazard_finding

Cloud = NDArray[np.float64]


def cloud(n: int, seed: int, at: float = 0.0, wide: float = 1.0, size: int = 4) -> Cloud:
    return np.random.default_rng(seed).normal(at, wide, (n, size))


def test_the_frechet_distance_is_that_of_its_formula() -> None:
    one, other = cloud(300, 1), cloud(200, 2, at=0.5, wide=2.0)
    s1, s2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    cross = np.real(sqrtm(s1 @ s2))
    plain = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * cross)
    assert frechet(one, other) == pytest.approx(plain)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_distances_and_reach_are_those_of_a_loop() -> None:
    one, other = cloud(20, 1), cloud(7, 2)
    looped = [[float(np.linalg.norm(a - b)) for b in other] for a in one]
    assert distances(one, other) == pytest.approx(np.array(looped))
    third = [sorted(float(np.linalg.norm(a - b)) for b in one)[3] for a in one]
    assert reach(one, 3) == pytest.approx(np.array(third), abs=1e-6)


def test_what_is_covered_of_clouds_of_unequal_size() -> None:
    middle, wide = cloud(300, 1, wide=0.3), cloud(120, 2, wide=2.0)
    assert covered(middle, wide).mean() > 0.95
    assert covered(wide, middle).mean() < 0.2
    assert covered(wide, middle)[tail(wide)].mean() == 0
    assert covered(cloud(50, 3, at=30), wide).sum() == 0
    assert tail(wide).sum() == 12


def test_authenticity_knows_copies_whatever_the_order_of_rows() -> None:
    truth = cloud(100, 1)
    made = np.vstack([cloud(40, 2), truth[:10] + 1e-6])
    flags = authentic(made, truth)
    assert not flags[40:].any()
    assert flags[:40].any()
    mixed, again = np.random.default_rng(3).permutation(50), np.random.default_rng(4).permutation(100)
    assert (authentic(made[mixed], truth[again]) == flags[mixed]).all()


def test_vendi_honours_its_order() -> None:
    alike, apart = np.ones((9, 4)), np.eye(6)
    for order in (0, 0.5, 1, 2, np.inf):
        assert vendi(alike, order) == pytest.approx(1)
        assert vendi(apart, order) == pytest.approx(6)
    skewed = np.vstack([np.eye(4)[:1]] * 7 + [np.eye(4)[1:]])
    scores = [vendi(skewed, order) for order in (0, 0.5, 1, 2, np.inf)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(4)
    assert scores[-1] == pytest.approx(10 / 7)
    shares = np.array([0.7, 0.1, 0.1, 0.1])
    assert scores[2] == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())))
    assert vendi(np.vstack([skewed] * 3)) == pytest.approx(scores[2]), "as many rows as one likes"
    with pytest.raises(ValueError, match="order"):
        vendi(apart, -1)


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """A stand-in: the same text has the same place, a text that begins with `x` another region."""
    rows = [
        np.random.default_rng(random.Random(t).randrange(2**32)).normal(5 * t.startswith("x"), 1, 8)
        for t in texts
    ]
    return np.array(rows, np.float32)


def test_embeddings_stand_beside_their_null() -> None:
    for finding in embedding_findings(real(400, 1), real(800, 2), embed, most=300, seed=0):
        assert finding.status == "nothing found"
        assert finding.estimate
        assert finding.null
        assert abs(finding.estimate.value - finding.null.value) < 0.15
    far = [f"x {text}" for text in real(400, 1)]
    found = {f.code: f for f in embedding_findings(far, real(800, 2), embed, most=300, seed=0)}
    names = [code for code, f in found.items() if f.status == "found"]
    assert names == ["fidelity.outside", "fidelity.uncovered", "fidelity.tail"]
    assert "Fréchet distance" in found["fidelity.tail"].text
    few = embedding_findings(far, real(300, 2), embed, most=300, seed=0)
    assert {f.status for f in few} == {"inconclusive"}


def test_checks_run_with_what_was_loaded_and_say_what_is_missing() -> None:
    rows = sample(*requests(300))
    idle = fidelity_by_model(rows, None, None, most=300, seed=0)
    idle.append(hazard_finding(rows, None, most=300, seed=0)[0])
    assert {f.status for f in idle} == {"not run"}
    assert {f.code for f in idle} == {*CODES, "content.hazard"}
    assert all("`trimtab doctor`" in f.text for f in idle)
    [tail] = [f for f in fidelity_by_model(rows, None, embed, most=300, seed=0) if f.code == "fidelity.tail"]
    assert tail.text == "no real text to compare with (--reference)"
    assert all(f.estimate for f in fidelity_by_model(rows, real(600, 2), embed, most=250, seed=0))


def test_what_a_guard_blocks_is_named_row_by_row() -> None:
    rows = sample(*requests(300))
    bad = {rows.prompts[7], rows.prompts[200]}
    finding, words = hazard_finding(rows, lambda prompts: [p in bad for p in prompts], most=300, seed=0)
    assert finding.rows == ("line 7", "line 200")
    assert words == dict.fromkeys((70, 2000), "the guard blocks the request")
    some, _ = hazard_finding(rows, lambda prompts: [True] * len(prompts), most=250, seed=0)
    assert some.estimate
    assert (some.estimate.n, some.estimate.value) == (250, 1.0)
