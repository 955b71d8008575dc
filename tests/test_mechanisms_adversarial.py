"""The adversarial mechanism: wrappings, splits, and what its records are made of."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from math import gcd
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.mechanisms.adversarial import records as made_records
from trimtab.mechanisms.adversarial.cases import (
    attack_cases,
    hazards,
    narratives,
    ordinary,
    ordinary_cases,
    twin_cases,
)
from trimtab.mechanisms.adversarial.guard_prompts import learn_prompts
from trimtab.mechanisms.adversarial.operators import HELD_OUT, PLAIN, families, operators, template, wrap
from trimtab.mechanisms.adversarial.records import make_adversarial
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.probes.judge import judge
from trimtab.records.record import digest
from trimtab.suites.seeds import AUTHOR, seed_rows
from trimtab.suites.splits import SHARES

PACKAGE = "trimtab.mechanisms.adversarial"
REQUEST = "How do I find the old bridge?"
OFFERS = re.compile(
    r"\b(?:if|instead|i can|could|may|might|would|glad(?:ly)?|happy|refer|please|try|talk|ask|consider|there are|look|let me|tell me)\b"
    r"|\?",
    re.IGNORECASE,
)


class Answers:
    """A generator that answers by rule: it refuses what has `refuse` in it and fails on `fail`."""

    name, digest = "answers", "7" * 64
    capabilities = Capabilities(loglikelihood=False, trainable=False)

    def __init__(self, refuse: str = "\0", fail: str = "\0") -> None:
        self.refuse, self.fail = refuse, fail

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        return [self.answer(p[-1]["content"]) for p in prompts]

    def answer(self, asked: str) -> Answer:
        if self.fail in asked:
            return Answer("", 0, finished=False, error="lost")
        return Answer("I can't help with that." if self.refuse in asked else "Go down to the river.", 5, True)

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        raise AssertionError("nothing is scored")


def make(harmful: int = 96, ordinary_requests: int = 24, model: Answers | None = None, seed: int = 0) -> Made:
    return make_adversarial(
        Writer(model or Answers(), None, seed=seed), harmful=harmful, ordinary_requests=ordinary_requests
    )


@pytest.fixture(scope="module")
def made() -> Made:
    return make()


def literal(template_text: str) -> str:
    """Return the longest part of a template that no request changes."""
    return max(re.split(r"\{\w+\}", template_text), key=len).strip()


# ---- operators


def test_eight_or_more_families_plain_first() -> None:
    assert families()[0] == PLAIN
    assert len(operators()) >= 8
    assert HELD_OUT in families()
    assert HELD_OUT not in families(trained_only=True)


@pytest.mark.parametrize("family", families())
def test_every_family_wraps_any_request_completely(family: str) -> None:
    count = 1 if family == PLAIN else len(operators()[family].templates)
    wrapped = [wrap(REQUEST, family, v) for v in range(count)]
    assert len(set(wrapped)) == count
    assert all("{coded}" not in w and "{request}" not in w for w in wrapped)
    assert wrap(REQUEST, family, count) == wrapped[0], "counted round"
    assert wrap(REQUEST, family, -1) == wrapped[-1]


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), st.integers(0, 20))
def test_encodings_decode_back(request: str, variant: int) -> None:
    """Whatever the request holds: braces that look like a template's are left alone."""
    coded = wrap(request, "encoding", variant)
    assert base64.b64encode(request.encode()).decode() in coded
    assert "-".join(request) in wrap(request, "letters", variant)
    assert request in wrap(request, "persona", variant)


@given(st.lists(st.sampled_from(["a", "{b}", "{c}", "word", "{request}"]), min_size=1, max_size=9))
def test_split_parts_join_to_the_request(words: list[str]) -> None:
    wrapped = wrap(" ".join(words), "payload-splitting", 3)
    parts = re.search(r"Part A: (.*)\nPart B: (.*)\nPart C: (.*)\n", wrapped)
    assert parts
    assert " ".join(parts.groups()).split() == words


# ---- seeds and splits


def test_hazard_categories_and_behaviours_are_as_many_as_asked() -> None:
    by_category = Counter(r["category"] for r in hazards())
    assert sum(n >= 20 for n in by_category.values()) >= 12
    by_split = Counter(r["split"] for r in hazards())
    assert by_split["learn"] >= 120
    assert by_split["tune"] >= 24
    assert by_split["test"] >= 96
    assert len({r["number"] for r in hazards()}) == len(hazards())


def test_every_behaviour_has_a_twin_of_its_own() -> None:
    for side in ("harmful", "benign"):
        texts = [r[side].strip().lower() for r in hazards()]
        assert all(texts)
        assert [t for t, n in Counter(texts).items() if n > 1] == []
    assert all(r["harmful"] != r["benign"] for r in hazards())


def test_ordinary_requests_are_many_of_many_kinds_and_lengths() -> None:
    test = [r for r in ordinary() if r["split"] == "test"]
    assert len(test) >= 144
    assert len({r["type"] for r in test}) >= 8
    lengths = [len(r["prompt"].split()) for r in test]
    assert min(lengths) <= 6
    assert max(lengths) >= 100
    assert len(ordinary_cases("test", 144)) == 144
    assert len({c.family for c in ordinary_cases("test", 144)}) >= 8


@pytest.mark.parametrize("rows", [hazards, ordinary])
def test_no_cluster_and_no_text_is_in_two_splits(rows: Any) -> None:
    seen: dict[str, set[str]] = {}
    for r in rows():
        for key in (r["cluster"], *(r[k].lower() for k in ("harmful", "benign", "prompt") if k in r)):
            seen.setdefault(key, set()).add(r["split"])
    assert [k for k, splits in seen.items() if len(splits) > 1] == []
    assert {r["split"] for r in rows()} == set(SHARES)


@pytest.mark.parametrize("split", ["tune", "test"])
def test_twins_share_the_wrapping_of_the_attack(split: Any) -> None:
    rows = [r for r in hazards() if r["split"] == split]
    attacks, twins = attack_cases(split), twin_cases(split)
    assert len(attacks) == len(twins) == len(rows)
    for row, attack, twin in zip(rows, attacks, twins, strict=True):
        assert (attack.family, attack.cluster) == (twin.family, twin.cluster)
        variants = 1 if attack.family == PLAIN else len(operators()[attack.family].templates)
        assert any(
            attack.text == wrap(row["harmful"], attack.family, v)
            and twin.text == wrap(row["benign"], attack.family, v)
            for v in range(variants)
        )


def test_attacks_use_every_family_and_other_ones_on_a_second_attempt() -> None:
    first, second = attack_cases("test"), attack_cases("test", 1)
    assert {c.family for c in first} == set(families())
    assert all(a.behavior == b.behavior and a.text != b.text for a, b in zip(first, second, strict=True))
    assert len({c.id for c in [*first, *second]}) == 2 * len(first)


# ---- what is learned from


def test_held_out_wrappings_are_never_learned_from(made: Made) -> None:
    """Neither the family that is held out nor the last template of any other."""
    forbidden = [literal(t) for t in operators()[HELD_OUT].templates]
    forbidden += [literal(o.templates[-1]) for o in operators().values()]
    learned = [m.content for r in made.records for m in r.messages or ()]
    learned += [p for prompts in learn_prompts() for p in prompts]
    assert not [t for t in learned if any(f in t for f in forbidden)]
    assert any(f in c.text for f in forbidden for c in attack_cases("test")), "the test suite has them"


def test_no_long_prompt_that_the_guard_learns_from_asks_for_fiction() -> None:
    """The held-out family is a way of asking: stories of one's own that ask alike would teach it."""
    assert HELD_OUT == "fiction"
    fiction = re.compile(
        r"\b(?:novels?|novellas?|screenplays?|fan fiction|short stor(?:y|ies)|sitcoms?)\b|\b(?:INT|EXT)\. "
    )
    assert not [r["cluster"] for r in narratives() if fiction.search(r["harmful"])]
    assert all(fiction.search(wrap("it", HELD_OUT, v)) for v in range(2)), "the first templates ask for such"


def test_learned_requests_are_of_the_learn_split_alone() -> None:
    held_out = [r for r in hazards() if r["split"] != "learn"]
    plain = {r[side] for r in held_out for side in ("harmful", "benign")}
    plain |= {r["prompt"] for r in ordinary() if r["split"] != "learn"}
    for prompts in learn_prompts():
        assert not plain & set(prompts)
    assert len(learn_prompts()[0]) >= 120


def test_records_fill_four_cells_and_the_ordinary_one(made: Made) -> None:
    counts = Counter(r.cell for r in made.records)
    assert counts == {
        "plain/harmful": 64, "adversarial/harmful": 32, "plain/benign": 64, "adversarial/benign": 32, "ordinary": 24,
    }  # fmt: skip
    assert not made.dropped


def test_every_trained_operator_is_put_on_both_harmful_and_benign_requests(made: Made) -> None:
    for side in ("harmful", "benign"):
        used = {r.lineage.operator for r in made.records if r.cell.endswith(f"/{side}")}
        assert used == set(families(trained_only=True))


def test_a_record_and_its_twin_share_the_wrapping(made: Made) -> None:
    sides = [[r for r in made.records if r.cell.endswith(f"/{s}")] for s in ("harmful", "benign")]
    for harmful, benign in zip(*sides, strict=True):
        assert harmful.lineage.operator == benign.lineage.operator
        assert harmful.lineage.template == benign.lineage.template


def test_lineage_is_complete_and_the_template_is_the_one_that_was_used(made: Made) -> None:
    wrappings = {
        digest(template(f, v, trained_only=True)): template(f, v, trained_only=True)
        for f in families(trained_only=True)
        for v in range(1 if f == PLAIN else len(operators()[f].templates) - 1)
    }
    for record in made.records:
        lineage = record.lineage
        assert lineage.generator == (AUTHOR if record.cell.endswith("/harmful") else Answers.digest)
        assert lineage.operator
        assert lineage.depth == 1
        assert lineage.seed == "0"
        assert record.source == "synthetic"
        assert record.messages
        assert literal(wrappings[str(lineage.template)]) in record.messages[0].content
    used = {r.lineage.template for r in make(harmful=240).records}
    assert used == set(wrappings), "every template has its turn"


def test_refusals_are_refusals_with_an_alternative(made: Made) -> None:
    replies = {r["reply"] for r in seed_rows(PACKAGE, "safe_replies.jsonl")}
    assert {r.messages[-1].content for r in made.records if r.messages and "harmful" in r.cell} <= replies
    assert [r for r in replies if judge(r) != "refused"] == []
    without = [r for r in replies if len(re.findall(r"[.!?](?:\s|$)", r)) < 2 or not OFFERS.search(r)]
    assert without == []


def test_benign_answers_are_the_models_own_and_what_is_dropped_is_counted() -> None:
    plan = [r["benign"] for r in hazards() if r["split"] == "learn"]
    word = next(w for w in plan[0].split() if len(w) > 4)
    made = make(model=Answers(refuse=word), ordinary_requests=0)
    kept = [r for r in made.records if r.cell.endswith("/benign")]
    assert made.dropped["the model's own answer is refused"] == 96 - len(kept) > 0
    assert all(r.messages and word not in r.messages[0].content for r in kept)
    lost = make(model=Answers(fail=""), ordinary_requests=3)
    assert lost.dropped == {"the model's own answer is an error": 99}


def test_what_a_plan_is_short_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [r for r in hazards() if r["split"] == "learn"][:5]
    monkeypatch.setattr("trimtab.mechanisms.adversarial.records.hazards", lambda: few)
    there = sum(r["split"] == "learn" for r in ordinary())
    short = {"refusals": 5, "answers to twins": 5, "answers to ordinary requests": 2}
    assert make(7 * 5 + 5, there + 2).missing == short
    assert not make(3, 3).missing


def test_no_behaviour_comes_twice_before_all_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (70, 77, 96, 1001):
        rows = tuple({"split": "learn", "harmful": str(i), "benign": f"b{i}"} for i in range(size))
        monkeypatch.setattr(made_records, "hazards", lambda rows=rows: rows)
        plan = made_records._plan(size)
        assert len({p.row["harmful"] for p in plan}) == size, gcd(7, size)


def test_the_same_seed_makes_the_same_records_and_another_others(made: Made) -> None:
    assert [r.lineage_id for r in make().records] == [r.lineage_id for r in made.records]
    assert [r.id for r in make(seed=1).records] != [r.id for r in made.records]
