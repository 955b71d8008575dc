"""Voting rules agree with hand counts, and with pref_voting where that is installed."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations, product
from itertools import pairwise as pairwise_steps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.charter.rankings import (
    Pairwise,
    accord,
    borda,
    copeland,
    disputed,
    pairwise,
    rankings,
    schulze,
    winner,
)
from trimtab.charter.read_votes import read_votes
from trimtab.charter.tally import tally
from trimtab.charter.votes import Statement, Votes


def ballots(folder: Path, *lines: str) -> Votes:
    path = folder / "ballots.csv"
    path.write_text("\n".join(("count,ranking", *lines)) + "\n")
    return read_votes(path)


def order(votes: Votes, rule: str) -> dict[str, int]:
    found = rankings(votes, np.ones(len(votes.statements), dtype=bool))[0]
    place = next(r.place for r in found if r.rule == rule)
    return dict(zip((s.id for s in votes.statements), map(int, place), strict=True))


# Schulze 2011, example 1: the order is E A C B D; there is no Condorcet winner.
SCHULZE = ("5,A>C>B>E>D", "5,A>D>E>C>B", "8,B>E>D>A>C", "3,C>A>B>E>D", "7,C>A>E>B>D", "2,C>B>A>D>E", "7,D>C>E>B>A",
           "8,E>B>A>D>C")  # fmt: skip
# Tennessee: Memphis has the most first places, Nashville beats everyone.
TENNESSEE = ("42,Memphis>Nashville>Chattanooga>Knoxville", "26,Nashville>Chattanooga>Knoxville>Memphis",
             "15,Chattanooga>Knoxville>Nashville>Memphis", "17,Knoxville>Chattanooga>Nashville>Memphis")  # fmt: skip


def test_schulze_by_its_own_example(tmp_path: Path) -> None:
    votes = ballots(tmp_path, *SCHULZE)
    assert order(votes, "schulze") == {"E": 1, "A": 2, "C": 3, "B": 4, "D": 5}
    assert winner(pairwise(votes)) is None


def test_schulze_has_two_winners_where_nothing_beats_either(tmp_path: Path) -> None:
    votes = ballots(tmp_path, "1,B>A>C", "1,A>C>B")  # A beats C; B ties with both
    assert order(votes, "schulze") == {"A": 1, "B": 1, "C": 3}
    assert tally(votes).to_json()["first"]["schulze"] == ["A", "B"]


def beat_path_winners(margin: Any) -> set[int]:
    """Return the Schulze winners by trying every path."""
    every = range(len(margin))

    def strongest(i: int, j: int) -> float:
        others = [k for k in every if k not in {i, j}]
        paths = [(i, *p, j) for n in range(len(others) + 1) for p in permutations(others, n)]
        return max(min(max(0.0, float(margin[a][b])) for a, b in pairwise_steps(p)) for p in paths)

    return {i for i in every if all(strongest(i, j) >= strongest(j, i) for j in every if j != i)}


def test_schulze_winners_of_all_small_profiles_with_ties() -> None:
    orders = {tuple(sorted(set(p)).index(x) for x in p) for p in product(range(3), repeat=3)}
    assert len(orders) == 13  # the weak orders of three
    above = {o: np.array([[o[i] < o[j] for j in range(3)] for i in range(3)], float) for o in orders}
    several = 0
    for voters in range(1, 5):
        for profile in combinations_with_replacement(sorted(orders), voters):
            over = np.sum([above[o] for o in profile], axis=0)
            score = schulze(Pairwise(over, np.full((3, 3), float(voters))))
            wanted = beat_path_winners((over - over.T).tolist())
            assert set(np.flatnonzero(score == score.max())) == wanted, profile
            several += len(wanted) > 1
    assert several > 100


def test_rules_disagree_and_it_is_told(tmp_path: Path) -> None:
    votes = ballots(tmp_path, *TENNESSEE)
    counted = tally(votes).to_json()
    assert counted["first"] == {
        "first places": ["Memphis"], "borda": ["Nashville"], "copeland": ["Nashville"], "schulze": ["Nashville"],
    }  # fmt: skip
    assert counted["condorcet_winner"] == "Nashville"
    assert counted["disputed"][0]["statement"] == "Memphis"
    assert counted["groups"] == {"not_run": "rankings do not say what is agreed to"}
    score = borda(pairwise(votes)) * 3 * 100  # Borda's points of 100 ballots on four cities
    points = dict(zip((s.id for s in votes.statements), score, strict=True))
    assert points == pytest.approx({"Memphis": 126, "Nashville": 194, "Chattanooga": 173, "Knoxville": 107})


def test_pairs_nobody_saw_both_of_are_undecided(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("a,b,c,d\n1,-1,,\n,,1,-1\n")
    votes = read_votes(path)
    pairs = pairwise(votes)
    assert pairs.both[0, 2] == 0
    assert copeland(pairs).tolist() == [1, -1, 1, -1]
    assert borda(pairs).tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3, 1 / 3])


def test_equal_statements_share_a_place(tmp_path: Path) -> None:
    votes = ballots(tmp_path, "1,a=b>c")
    for rule in ("first places", "borda", "copeland", "schulze"):
        assert order(votes, rule) == {"a": 1, "b": 1, "c": 3}


def test_accord_and_disputed() -> None:
    orders = {"x": np.array([1, 2, 3, 4]), "y": np.array([4, 3, 2, 1]), "z": np.array([1, 2, 3, 4])}
    found = accord(orders)
    assert found == pytest.approx({("x", "y"): -1, ("x", "z"): 1, ("y", "z"): -1})
    assert set(disputed(orders, 2)) == {0, 3}
    assert disputed({"x": orders["x"], "z": orders["z"]}) == []


@pytest.mark.parametrize("seed", range(12))
def test_against_pref_voting(seed: int) -> None:
    why = "the test oracle pref_voting is not installed"
    c1, margins, scoring, profiles = (
        pytest.importorskip(f"pref_voting.{name}", reason=why)
        for name in ("c1_methods", "margin_based_methods", "scoring_methods", "profiles_with_ties")
    )
    rng = np.random.default_rng(seed)
    n, s = int(rng.integers(3, 30)), int(rng.integers(3, 8))
    levels = s if seed % 2 else 2  # few levels give ties
    places = rng.integers(1, levels + 1, size=(n, s))
    row, column = (a.ravel() for a in np.indices((n, s)))
    votes = Votes(
        "ranking", tuple(map(str, range(n))), tuple(Statement(str(i)) for i in range(s)), row, column,
        -places.ravel().astype(np.int32),
    )  # fmt: skip
    theirs = profiles.ProfileWithTies([dict(enumerate(map(int, r))) for r in places])
    pairs = pairwise(votes)
    for i in range(s):
        for j in range(s):
            assert pairs.margin[i, j] == theirs.margin(i, j)
    rules = {
        copeland: c1.copeland,
        schulze: margins.beat_path,
        borda: scoring.borda_for_profile_with_ties,
    }
    for ours, oracle in rules.items():
        score = np.round(ours(pairs), 9)
        assert set(np.flatnonzero(score == score.max())) == set(oracle(theirs)), ours.__name__
