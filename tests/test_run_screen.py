"""The screen of a run's records, and how many cases of a user's suite a run has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.mechanisms.adversarial.guard_prompts import learn_prompts
from trimtab.records.record import Record, Source, conversation
from trimtab.run.config import RunConfig, Sizes
from trimtab.run.directory import open_run
from trimtab.run.measure import tune_suites
from trimtab.run.overlap import overlap_with_run
from trimtab.run.screen import LONGEST, screen
from trimtab.suites.case import KINDS, Case
from trimtab.suites.text import python_documentation

SENTENCE = "the old bridge over the river was closed for repairs in spring"


def sft(asked: str, answer: str = "Yes.", source: Source = "synthetic") -> Record:
    return Record(kind="sft", messages=conversation(asked, answer), source=source)


def preference(chosen: str, rejected: str, asked: str = "Why?") -> Record:
    good, bad = conversation(asked, chosen), conversation(asked, rejected)
    return Record(kind="preference", chosen=good, rejected=bad, source="synthetic")


def pair(a: str, b: str) -> Record:
    return Record(kind="pair", text_a=a, text_b=b, source="synthetic")


def case(kind: str, number: int = 0, **fields: Any) -> Case:
    return KINDS[kind].model_validate(
        {"id": f"{kind}{number}", "suite": kind, "cluster": f"c{number}", **fields}
    )


HELD = case("benign", prompt=f"Tell me: {SENTENCE}, or was it?")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (sft("What?", "  \n"), "a text is empty"),
        (sft("x" * LONGEST), f"longer than {LONGEST} characters"),
        (preference("Yes.", "Yes."), "chosen and rejected are the same"),
        (pair("She left.", "She left."), "both texts are the same"),
        (sft(f"Is it so that {SENTENCE}?"), "shares eight words in a row with a held-out case"),
        (sft("What?", SENTENCE.upper()), "shares eight words in a row with a held-out case"),
        (preference("No.", SENTENCE), "shares eight words in a row with a held-out case"),
        (pair("She left.", SENTENCE), "shares eight words in a row with a held-out case"),
    ],
)
def test_each_reason_drops_a_record_and_keeps_the_others(record: Record, reason: str) -> None:
    good = sft("How deep is the river?")
    kept, dropped = screen([record, good], [HELD])
    assert kept == [good]
    assert dropped == [(record, reason)]


def test_a_repeated_record_is_dropped_once_for_each_repeat() -> None:
    one = sft("How deep is the river?")
    again = one.model_copy(update={"cell": "other"})
    kept, dropped = screen([one, again, one], [])
    assert kept == [one]
    assert [(r is again, why) for r, why in dropped] == [
        (True, "the same record is there already"), (False, "the same record is there already"),
    ]  # fmt: skip


def test_seven_words_in_a_row_and_human_text_are_no_leak() -> None:
    seven = " ".join(SENTENCE.split()[:7])
    records = [sft(f"{seven} no longer"), sft(SENTENCE, source="human")]
    assert screen(records, [HELD]) == (records, [])


def test_text_that_three_cases_share_is_a_wrapping_and_no_leak() -> None:
    wrapped = [
        case("benign", i, prompt=f"{SENTENCE} {word}") for i, word in enumerate(["one", "two", "three"])
    ]
    record = sft(f"{SENTENCE} four")
    assert screen([record], wrapped[:2])[1], "two cases that share it may be one thing asked twice"
    assert screen([record], wrapped)[0] == [record]


def test_a_case_that_repeats_its_own_words_is_still_one_case() -> None:
    looped = case("benign", prompt=f"{SENTENCE}. {SENTENCE}. {SENTENCE}.")
    assert screen([sft(SENTENCE)], [looped])[0] == []


@pytest.mark.parametrize(
    "held",
    [
        case("pair", text_a="short", text_b=SENTENCE),
        case("preference", prompt="?", chosen=SENTENCE, rejected="short"),
        case("preference", prompt="?", chosen="short", rejected=SENTENCE),
        case("text", text=SENTENCE, prompt="?"),
    ],
)
def test_all_texts_of_a_case_are_held_out(held: Case) -> None:
    record = sft("What?", SENTENCE)
    assert screen([record], [held]) == ([], [(record, "shares eight words in a row with a held-out case")])


RECORDS = st.one_of(
    st.builds(sft, st.sampled_from(["a", "b", " ", SENTENCE, "x" * LONGEST])),
    st.builds(pair, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b", SENTENCE])),
    st.builds(preference, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"])),
)


@settings(deadline=None)  # the first call imports Arrow
@given(st.lists(RECORDS, max_size=12))
def test_no_row_leaves_without_a_reason(records: list[Record]) -> None:
    kept, dropped = screen(records, [HELD])
    assert len(kept) + len(dropped) == len(records)
    assert all(reason for _, reason in dropped)
    assert len({r.id for r in kept}) == len(kept)
    assert {r.id for r in kept} | {r.id for r, _ in dropped} == {r.id for r in records}
    assert screen(kept, [HELD]) == (kept, []), "what was kept is kept again"


# ---- overlap


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has screened records, and no guard yet."""
    directory = open_run(tmp_path_factory.mktemp("runs"), RunConfig())
    stage = directory.stage("screen")
    stage.begin()
    stage.write_records([sft("How  deep is\nthe River?")], "adversarial")
    stage.write_records([pair("She left early.", "He left early.")], "bias")
    stage.write_records([preference("Yes.", "No.", asked="May I?")], "values")
    stage.finish()
    return directory.folder


def test_overlap_counts_cases_that_were_learned_from_or_tuned_on(run: Path) -> None:
    tuned = tune_suites(Sizes(tune_cases=10_000))["attack"][1][-1]
    learned = next(c for c in python_documentation().cases if c.split == "learn")
    cases = [
        case("benign", prompt="how deep is the river?"),
        case("pair", text_a="He left early.", text_b="?"),
        case("preference", prompt="May I?", chosen="a", rejected="b"),
        tuned,
        learned,
        case("benign", prompt="How deep is the lake?"),
        case("text", text="Nobody has seen this."),
    ]
    assert [overlap_with_run(str(run), [c]) for c in cases] == [1, 1, 1, 1, 1, 0, 0]
    assert overlap_with_run(str(run), cases) == 5


def test_what_the_guard_learned_from_counts_where_there_is_a_guard(run: Path) -> None:
    seen = [case("benign", i, prompt=prompts[0]) for i, prompts in enumerate(learn_prompts()) if prompts]
    assert overlap_with_run(str(run), seen) == 0
    (run / "guard").mkdir()
    try:
        assert overlap_with_run(str(run), seen) == len(seen)
    finally:
        (run / "guard").rmdir()


def test_a_bare_model_has_learned_from_nothing() -> None:
    assert overlap_with_run("embedded", [HELD]) == 0
