"""Splits never share a cluster, and depend on names and salt alone."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trimtab.suites.splits import SHARES, ranked, split_clusters
from trimtab.suites.text import python_documentation

NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ROWS = st.lists(st.tuples(NAME, st.sampled_from("ab")), max_size=40)


@given(ROWS, NAME, st.randoms())
def test_splits_do_not_depend_on_the_order_of_rows(
    rows: list[tuple[str, str]], salt: str, random: Random
) -> None:
    shuffled = [*rows, *rows[:3]]
    random.shuffle(shuffled)
    one, other = (split_clusters([c for c, _ in r], [s for _, s in r], salt=salt) for r in (rows, shuffled))
    assert one == other
    assert set(one) == {c for c, _ in rows}


@given(st.integers(0, 300), NAME)
def test_shares_are_kept_in_each_stratum(count: int, salt: str) -> None:
    clusters = [f"{s}{i}" for s in "ab" for i in range(count)]
    splits = split_clusters(clusters, [c[0] for c in clusters], salt=salt)
    for stratum in "ab":
        for split, share in SHARES.items():
            found = sum(v == split for c, v in splits.items() if c[0] == stratum)
            assert abs(found - share * count) <= 1


@given(st.sets(NAME), NAME)
def test_ranks_are_an_order_of_the_distinct_names(names: set[str], salt: str) -> None:
    order = ranked([*names, *names], salt)
    assert sorted(order) == sorted(names)
    assert order == ranked(sorted(names, reverse=True), salt)


def test_another_salt_is_another_split() -> None:
    names = [f"c{i}" for i in range(50)]
    assert ranked(names, "a") != ranked(names, "b")


def test_a_known_split_never_changes() -> None:
    names = [f"c{i}" for i in range(10)]
    splits = split_clusters(names, ["s"] * 10, salt="golden")
    assert "".join(splits[n][:2] for n in names) == "leleteletetetulelete"


def test_real_text_is_split_by_topic() -> None:
    text = python_documentation()
    splits = defaultdict(set)
    for case in text.cases:
        splits[case.cluster].add(case.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {case.split for case in text.cases} == {"learn", "tune", "test"}
    assert len({case.id for case in text.cases}) == len({case.body for case in text.cases}) == len(text.cases)
    assert len(text.digest) == 64
