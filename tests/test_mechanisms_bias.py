"""The bias mechanism: swapping genders, its pairs and splits, and its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.mechanisms.bias.cases import association_cases, role_pairs, roles, templates, trait_pairs
from trimtab.mechanisms.bias.records import make_bias, worst_pairs
from trimtab.mechanisms.bias.swap import swap_gender
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.probes.association import gender_words
from trimtab.suites.case import Split
from trimtab.suites.seeds import AUTHOR

SPLITS: tuple[Split, ...] = get_args(Split)
OTHER = {"male": "female", "female": "male"}
# Words whose partner has no second partner, so that two swaps lead back.
TWO_WAY = [
    w
    for words in gender_words().values()
    for w in words
    if w not in ("him", "his", "her", "hers") and swap_gender(swap_gender(w) or "") == w
]


class Writes:
    """Writes the same sentences in turn; a text is the likelier the longer it is."""

    name, digest = "writes", "8" * 64

    def __init__(self, *sentences: str, scores: bool = True) -> None:
        self.sentences = sentences or ("She took her bag.", "The day began early.", "His boss called.")
        self.capabilities = Capabilities(loglikelihood=scores, trainable=False)
        self.asked: list[Messages] = []

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        self.asked += prompts
        return [
            Answer(self.sentences[i % len(self.sentences)], 5, finished=True) for i in range(len(prompts))
        ]

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        return [Likelihood(float(len(q.text)), len(q.text.split())) for q in questions]


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He took his bag.", "She took her bag."),
        ("She took her bag.", "He took his bag."),
        ("I saw her.", "I saw him."),
        ("They asked her to wait.", "They asked him to wait."),
        ("They told her a story about her brother.", "They told him a story about his sister."),
        ("We met her yesterday.", "We met him yesterday."),
        ("The book is his.", "The book is hers."),
        ("The book is hers, not mine.", "The book is his, not mine."),
        ("Mrs. Lee met Mr. Ray and Ms. Poe.", "Mr. Lee met Ms. Ray and Mr. Poe."),
        ("He's late; SHE is not.", "She's late; HE is not."),
        ("The man himself, a king of men.", "The woman herself, a queen of women."),
        ("Her mum called.", "His dad called."),
    ],
)
def test_swaps(text: str, swapped: str) -> None:
    assert swap_gender(text) == swapped


@pytest.mark.parametrize("text", ["", "The heater hummed.", "A manual for the shed.", "Manía, mañana, sheá."])
def test_nothing_to_swap(text: str) -> None:
    assert swap_gender(text) is None


@given(st.lists(st.sampled_from([*TWO_WAY, "Sam", "waits", "the", "with"]), min_size=1, max_size=8))
def test_two_swaps_lead_back_where_that_is_unambiguous(words: list[str]) -> None:
    text = " ".join(words) + "."
    once = swap_gender(text)
    if once is None:
        assert not set(words) & set(TWO_WAY)
    else:
        assert once != text
        assert swap_gender(once) == text


def test_every_word_that_counts_as_a_mention_is_swapped_into_the_other_group() -> None:
    assert len(TWO_WAY) > 70
    for group, words in gender_words().items():
        for word in words:
            swapped = (swap_gender(f"{word} waits") or "").split()[0]
            assert swapped in {*gender_words()[OTHER[group]], "firewoman"}, word


# ---- cases


def test_roles_are_many_and_in_one_split_each() -> None:
    assert len(roles()) >= 120
    clusters = {s: {c.cluster for c in role_pairs(s, 3)} for s in SPLITS}
    assert all(clusters.values())
    assert not clusters["learn"] & clusters["tune"]
    assert not (clusters["learn"] | clusters["tune"]) & clusters["test"]
    assert {r["stereotype"] for r in roles().values() if r["split"] == "test"} == {"male", "female"}


def test_test_templates_are_never_learned_or_tuned_on() -> None:
    used = {s: {t["id"] for t in templates(s)} for s in SPLITS}
    assert used["test"]
    assert not used["test"] & (used["learn"] | used["tune"])


def test_traits_share_no_cluster_between_splits() -> None:
    clusters = {s: {c.cluster for c in trait_pairs(s)} for s in SPLITS}
    assert sum(map(len, clusters.values())) == len(set().union(*clusters.values()))
    assert len({c.group for c in trait_pairs("test")}) >= 5


@pytest.mark.parametrize("split", SPLITS)
def test_a_pair_differs_in_the_group_alone_and_ids_are_distinct(split: Split) -> None:
    cases = [*role_pairs(split, 3), *trait_pairs(split, 2)]
    assert len({c.id for c in cases}) == len(cases)
    for c in cases:
        assert c.text_a != c.text_b
        assert len(c.text_a.split()) - len(c.text_b.split()) in range(-2, 3)
    for c in role_pairs(split, 3):
        assert c.direction == roles()[c.cluster]["stereotype"]


def test_association_asks_about_roles_of_its_split() -> None:
    asked = {c.role for c in association_cases("test", 2)}
    assert asked == {name for name, r in roles().items() if r["split"] == "test"}
    assert not any("{" in c.text for c in association_cases("test", 2))


# ---- records


def test_the_pairs_with_the_largest_gap_are_taken_half_in_each_direction() -> None:
    cases = role_pairs("learn", 3)
    chosen = worst_pairs(Writes(), cases, 70)
    for way in ("male", "female"):
        mine = [len(c.text_a) - len(c.text_b) for c in cases if c.direction == way]
        taken = [len(c.text_a) - len(c.text_b) for c in chosen if c.direction == way]
        assert sorted(map(abs, taken)) == sorted(map(abs, mine))[-35:]
    few = worst_pairs(Writes(), cases, 8)
    assert Counter(c.direction for c in few) == {"male": 4, "female": 4}
    assert Counter(c.direction for c in worst_pairs(Writes(), cases, 9)) == {"female": 5, "male": 4}
    unscored = worst_pairs(Writes(scores=False), cases, 30)
    assert len({c.cluster for c in unscored}) == 30


def test_records_reach_every_role_and_axis_when_fewer_are_wanted_than_there_are() -> None:
    writes = Writes()
    made = make_bias(Writer(writes, None, seed=0), writings=120, pairs=20, traits=12)
    axes = {c.group for c in trait_pairs("learn")}
    assert Counter(r.cell for r in made.records if r.cell in axes) == dict.fromkeys(axes, 2)
    learned = [r for r in roles().values() if r["split"] == "learn"]
    asked = " ".join(m["content"] for prompt in writes.asked for m in prompt)
    assert len(writes.asked) == 120
    assert all(f"{r['article']} {r['role']}" in asked for r in learned)


def test_records_balance_own_writing_and_name_what_was_dropped() -> None:
    made = make_bias(Writer(Writes(), None, seed=3), writings=9, pairs=6, traits=4)
    own = [r for r in made.records if r.cell == "own-writing"]
    assert {(r.text_a, r.text_b) for r in own} == {
        ("She took her bag.", "He took his bag."), ("His boss called.", "Her boss called."),
    }  # fmt: skip
    assert made.dropped == {"the sentence mentions no gender": 3}
    assert len(own) + sum(made.dropped.values()) == 9
    assert all(r.lineage.generator == Writes.digest for r in own)
    rest = [r for r in made.records if r.cell != "own-writing"]
    assert len(rest) == 6 + 4
    assert all(r.lineage.generator == AUTHOR for r in rest)
    for r in made.records:
        assert r.kind == "pair"
        assert r.lineage.operator
        assert r.lineage.template
        assert (r.lineage.seed, r.lineage.depth, r.source) == ("3", 1, "synthetic")


def test_what_a_plan_is_short_of_is_said() -> None:
    writer = Writer(Writes(), None, seed=0)
    made = make_bias(writer, writings=2, pairs=100_000, traits=100_000)
    cells = Counter(r.cell for r in made.records)
    roles = cells.pop("roles")
    cells.pop("own-writing", None)
    short = {"pairs about roles": 100_000 - roles, "pairs on other axes": 100_000 - cells.total()}
    assert made.missing == short
    more = make_bias(writer, writings=100_000, pairs=2, traits=1)
    assert set(more.missing) == {"sentences to write about roles"}
    assert not make_bias(writer, writings=2, pairs=2, traits=1).missing


def test_learned_roles_are_not_the_measured_ones() -> None:
    made = make_bias(Writer(Writes(), None, seed=0), writings=0, pairs=60, traits=40)
    measured = {t for c in [*role_pairs("test", 3), *trait_pairs("test", 2)] for t in (c.text_a, c.text_b)}
    assert not {t for r in made.records for t in (r.text_a, r.text_b)} & measured
