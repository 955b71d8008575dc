"""Value reinforcement in depth: the plan by principle, records that teach the reason, and checks of the pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.test_mechanisms_values import OPPOSITE, Torn, make
from trimtab.charter.charter import Charter, Example, Principle, read_charter
from trimtab.charter.write_charter import write_charter
from trimtab.errors import ConfigError
from trimtab.mechanisms.values.cases import examples
from trimtab.mechanisms.values.hygiene import Check, hygiene
from trimtab.mechanisms.values.plan import planned, round_robin, take
from trimtab.mechanisms.values.records import LEAST_GAP, make_values
from trimtab.mechanisms.values.teaching import make_teaching
from trimtab.mechanisms.values.value_checks import value_checks
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Likelihood, Messages, Question
from trimtab.records.read import one_kind, read_records
from trimtab.records.record import Record, conversation
from trimtab.run.adherence import charter_suites, judged_cases
from trimtab.suites.seeds import AUTHOR

if TYPE_CHECKING:
    from tests.conftest import Command

OWN = Charter(
    name="own", version="1",
    principle=(
        Principle(id="quiet", statement="Say {little}.", rationale="Words {cost} time."),
        Principle(
            id="plain", statement="Use plain words.", rationale="All can follow.", specifics=("No jargon.",),
            examples=(Example(keeps="Turn it off.", breaks="Deactivate the apparatus."),),
        ),
    ),
)  # fmt: skip


def pair(principle: str, prompt: str, chosen: str, rejected: str) -> Record:
    turns = conversation(prompt, chosen), conversation(prompt, rejected)
    return Record(kind="preference", chosen=turns[0], rejected=turns[1], cell=principle)


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {c.name: c for c in checks}


# ---- the plan


def test_every_principle_gets_its_number_and_what_does_not_divide_goes_round() -> None:
    rows = [{"principle": p, "n": i} for p, n in (("a", 3), ("b", 1), ("c", 3)) for i in range(n)]
    ranked = round_robin(rows)
    plan = planned(5, ["a", "b", "c"], ranked)
    assert plan == {"a": 2, "b": 1, "c": 2}, "b has no second row"
    assert Counter(r["principle"] for r in take(ranked, plan)) == plan
    assert planned(0, ["a", "b"], ranked) == {"a": 0, "b": 0}


def test_a_plan_that_is_met_is_met_exactly_and_otherwise_says_by_how_much() -> None:
    made = make(Torn(), authored=48, contrast=12)
    assert Counter(r.cell for r in made.records) == {p.id: 5 for p in read_charter().principle}
    assert not made.missing
    least = min(Counter(r["principle"] for r in examples() if r["split"] == "learn").values())
    short = make(Torn(), authored=12 * (least + 1), contrast=0)
    assert short.missing["authored pairs, autonomy"] == 1
    assert sum(short.missing.values()) + len(short.records) == 12 * (least + 1)
    failed = make(Torn(gap=0.0), contrast=12)
    assert failed.missing == {f"pairs by contrast, {p.id}": 1 for p in read_charter().principle}


class Hesitant(Torn):
    """Gives nothing of use in the first round."""

    rounds = 0

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        self.rounds += 1
        self.asked = [p[-1]["content"] for p in prompts]
        return super().generate(prompts) if self.rounds > 1 else [Answer("", 0, True)] * len(prompts)


def test_a_prompt_that_gave_no_pair_is_replaced_by_another() -> None:
    once, twice = Hesitant(), Hesitant()
    assert not make(once).records
    again = make_values(Writer(twice, None, seed=5), read_charter(), authored=0, contrast=12, rounds=3)
    assert (len(again.records), twice.rounds, again.missing) == (12, 2, {})
    assert not set(once.asked) & set(twice.asked)
    assert again.dropped == {"an answer is broken": 12}


class Writes(Torn):
    """Writes prompts of its own as well."""

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        if prompts[0][0]["role"] == "system":
            return super().generate(prompts)
        return [Answer(f"How do I do thing number {i}?", 9, True) for i, _ in enumerate(prompts)]


def test_a_charter_without_authored_pairs_gets_prompts_by_the_generator() -> None:
    made = make_values(Writer(Writes(), None, seed=0), OWN, authored=4, contrast=4)
    assert Counter(r.cell for r in made.records) == {"quiet": 2, "plain": 2}
    assert made.missing == {"authored pairs, quiet": 2, "authored pairs, plain": 2}
    assert {r.lineage.charter for r in made.records} == {OWN.digest}


# ---- documents and demonstrations


def test_documents_say_the_rule_and_its_reason() -> None:
    charter = read_charter()
    made = make_teaching(Writer(Torn(), None, seed=5), charter, documents=48, demonstrations=0)
    assert Counter(r.cell for r in made.records) == {p.id: 4 for p in charter.principle}
    assert len({r.id for r in made.records}) == 48
    assert not made.missing
    known = {p.id: p for p in charter.principle}
    for r in made.records:
        text = (r.messages or ())[0].content
        assert known[r.cell].statement in text
        assert known[r.cell].rationale in text
        assert (r.kind, r.source, r.lineage.generator) == ("document", "synthetic", AUTHOR)
        assert r.lineage.charter == charter.digest


def test_documents_of_ones_own_charter_leave_out_what_it_lacks() -> None:
    made = make_teaching(Writer(Torn(), None, seed=0), OWN, documents=20, demonstrations=2)
    texts = [(r.messages or ())[0].content for r in made.records if r.cell == "quiet"]
    assert 1 <= len(texts) < 10
    assert all("Say {little}." in t and "Words {cost} time." in t for t in texts)
    assert not any("Deactivate" in t for t in texts)
    assert made.missing["documents, quiet"] == 10 - len(texts)
    assert made.missing["demonstrations, quiet"] == 1
    assert {r.source for r in made.records} == {"mixed"}


def test_every_second_demonstration_says_why() -> None:
    charter = read_charter()
    made = make_teaching(Writer(Torn(), None, seed=5), charter, documents=0, demonstrations=48)
    known = {p.id: p for p in charter.principle}
    lengths = Counter(len(r.messages or ()) for r in made.records)
    assert lengths == {2: 24, 4: 24}
    learned = {r["prompt"] for r in examples() if r["split"] == "learn"}
    for r in made.records:
        turns = r.messages or ()
        assert turns[0].content in learned
        if len(turns) == 4:
            assert known[r.cell].rationale in turns[-1].content


# ---- hygiene


def test_pairs_without_a_fault_have_no_finding() -> None:
    checks = hygiene(make(Torn(), authored=200, contrast=0).records)
    assert {c.name: c.status for c in checks} == dict.fromkeys(
        ("length_gap", "shortcut_words", "shortcut_length", "duplicates", "contradictions"), "nothing found"
    )
    assert all(c.estimate for c in checks)


def test_each_planted_fault_is_found_by_its_check() -> None:
    prompts = [
        f"what about the {w} {i} of my old house in the hills" for i, w in enumerate(["roof", "door"] * 15)
    ]
    long = [
        pair("p", q, "yes indeed it is so and more words follow here", f"no {i}")
        for i, q in enumerate(prompts)
    ]
    checks = by_name(hygiene(long))
    assert checks["length_gap"].status == checks["shortcut_length"].status == "found"
    assert checks["shortcut_words"].status == "found"
    assert checks["length_gap"].estimate is not None
    assert checks["length_gap"].estimate.value > 1
    again = by_name(hygiene([*long, long[0]]))
    assert (again["duplicates"].status, again["duplicates"].text) == ("found", "1 of 31")
    assert checks["contradictions"].status == "nothing found"
    one = pair(
        "a",
        "May I read the letter of my sister today?",
        "No, the letter is hers alone.",
        "Yes, go on, nobody will see.",
    )
    other = pair(
        "b",
        "may I read the letter of my sister today",
        "Yes, go on, nobody will see!",
        "No, the letter is hers alone.",
    )
    found = by_name(hygiene([*long, one, other]))["contradictions"]
    assert (found.status, found.text) == ("found", "a and b (1)")
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(2 / 32)
    assert by_name(hygiene([]))["duplicates"].status == "not run"


class Follows:
    """Finds a reply likelier under an order that shares its first word, and less likely under any other."""

    name, digest = "follows", "7" * 64
    capabilities = Torn().capabilities

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        return [Likelihood(self.nats(q), 1) for q in questions]

    def nats(self, q: Question) -> float:
        order = q.messages[0]["content"] if q.messages[0]["role"] == "system" else ""
        turned = -1 if OPPOSITE in order else 1
        return turned * (("Say" in order and q.text[0] == "A") - 2.0 * ("Say" in order and q.text[0] == "B"))


def test_principles_that_pull_apart_are_named_and_the_gap_has_a_number() -> None:
    rows = [pair("quiet", f"q {i}", "A short", "a long one") for i in range(8)]
    rows += [pair("plain", f"p {i}", "B plain", "a grand one") for i in range(8)]
    checks = by_name(value_checks(Follows(), OWN, rows, 8))  # type: ignore[arg-type]
    pulls = checks["pulls"]
    assert (pulls.status, pulls.text) == ("found", "quiet against plain (-2.00 nats per token)")
    assert pulls.estimate is not None
    assert pulls.estimate.value == 0.5
    gap = checks["value_gap"]
    assert gap.estimate is not None
    # "quiet" fits its order by 2 (1 for, 1 against); "plain" is under an order that says nothing of it.
    assert gap.estimate.value == pytest.approx(1.0)
    assert (gap.status, gap.text) == ("nothing found", f"8 of 16 pairs have less than {LEAST_GAP}")
    assert by_name(value_checks(Torn(gap=0.0), OWN, rows, 8))["value_gap"].status == "found"
    blind = value_checks(Torn(scores=False), OWN, rows, 8)
    assert [c.status for c in blind] == ["not run", "not run"]


# ---- the command


def test_each_kind_goes_into_a_file_of_its_own(command: Command, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl.gz"
    code, out, err = command(
        "reinforce", "-m", f"dir/{tiny_folder}", "-o", path, "--authored", 24, "--contrast", 0, "--documents", 12,
        "--demonstrations", 13, "--check-values", 1,
    )  # fmt: skip
    assert code == 0, err
    kinds = {p.name: one_kind(read_records(p)) for p in tmp_path.iterdir()}
    assert kinds == {
        "values.jsonl.gz": "preference", "values.document.jsonl.gz": "document", "values.sft.jsonl.gz": "sft",
    }  # fmt: skip
    assert "shortcut_words: AUC of a bag of words" in out
    assert "value_gap: " in out
    assert "pulls: " in out


# ---- what a charter does not hold


def marked(*statuses: str) -> Charter:
    """Return the built-in charter with the first principles of these statuses."""
    known = read_charter()
    changed = [p.model_copy(update={"status": s}) for p, s in zip(known.principle, statuses, strict=False)]
    return known.model_copy(update={"principle": (*changed, *known.principle[len(changed) :])})


def test_rejected_and_retired_principles_are_neither_taught_nor_asked_about() -> None:
    charter = marked("rejected", "retired", "draft", "open")
    out = [p.id for p in charter.principle[:2]]
    kept = {p.id for p in charter.principle[2:]}
    writer = Writer(Torn(), None, seed=5)
    pairs = make_values(writer, charter, authored=24, contrast=24)
    taught = make_teaching(writer, charter, documents=24, demonstrations=24)
    assert {r.cell for r in pairs.records} == {r.cell for r in taught.records} == kept
    assert (pairs + taught).left_out == {out[0]: "rejected", out[1]: "retired"}
    assert not any(name in what for what in (pairs + taught).missing for name in out)
    for suite in charter_suites(charter):
        groups = {getattr(c, "group", None) for c in suite.cases}
        assert groups == kept, suite.name
    assert {c.group for c in judged_cases(charter, "tune")} == kept
    with pytest.raises(ConfigError, match=r"charter\.none-held"):
        make_values(writer, marked(*["retired"] * len(charter.principle)), authored=24, contrast=0)


def test_the_commands_say_what_was_left_out(command: Command, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    write_charter(marked("rejected"), path)
    out = read_charter().principle[0].id
    base = ("-m", f"dir/{tiny_folder}", "--charter", path)
    made = command("reinforce", *base, "-o", tmp_path / "v.jsonl", "--authored", 12, "--contrast", 0)
    assert made.code == 0, made.err
    assert f"not taught: {out}, which the charter has rejected" in made.out
    asked = command("probe", *base, "--limit", 1)
    assert asked.code == 0, asked.err
    assert f"not measured: {out}, which the charter has rejected" in asked.err
