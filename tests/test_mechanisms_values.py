"""The values mechanism: the charter's suite, and preference records by contrast that show a real difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trimtab.charter.charter import Charter, read_charter
from trimtab.mechanisms.made import Made
from trimtab.mechanisms.values.cases import examples, phrased_cases, preference_cases
from trimtab.mechanisms.values.records import LEAST_GAP, instructed, make_values
from trimtab.mechanisms.values.teaching import make_teaching
from trimtab.mechanisms.writer import Writer
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Question
from trimtab.statistics.shortcuts import bag_of_words_auc
from trimtab.suites.seeds import AUTHOR
from trimtab.suites.text import python_documentation

OPPOSITE = "Do the opposite of this rule"


class Torn:
    """Says the one thing under a rule and the other under its opposite, and finds each `gap` nats likelier there."""

    name, digest = "torn", "9" * 64

    def __init__(
        self,
        good: str = "Ask a doctor.",
        bad: str = "Take more pills.",
        gap: float = 1.0,
        scores: bool = True,
    ) -> None:
        self.good, self.bad, self.gap = good, bad, gap
        self.capabilities = Capabilities(loglikelihood=scores, trainable=False)

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        texts = [self.bad if OPPOSITE in p[0]["content"] else self.good for p in prompts]
        return [Answer(t, 3, True, error=None if t != "lost" else "lost") for t in texts]

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        fits = [(q.text == self.bad) == (OPPOSITE in q.messages[0]["content"]) for q in questions]
        return [Likelihood(self.gap * 4 if fit else 0.0, 4) for fit in fits]


def make(model: Torn, authored: int = 0, contrast: int = 12) -> Made:
    return make_values(Writer(model, None, seed=5), read_charter(), authored=authored, contrast=contrast)


def test_no_cluster_and_no_prompt_is_in_two_splits() -> None:
    for key in ("cluster", "prompt", "chosen", "rejected"):
        seen: dict[str, set[str]] = {}
        for row in examples():
            seen.setdefault(row[key], set()).add(row["split"])
        assert [k for k, splits in seen.items() if len(splits) > 1] == []


def test_real_texts_share_no_topic_between_splits() -> None:
    splits: dict[str, set[str | None]] = {}
    for c in python_documentation().cases:
        splits.setdefault(c.cluster, set()).add(c.split)
    assert all(len(s) == 1 for s in splits.values())


def test_ten_or_more_principles_each_measured_and_learned() -> None:
    principles = {p.id for p in read_charter().principle}
    assert len(principles) >= 10
    for split in ("learn", "test"):
        counts = Counter(r["principle"] for r in examples() if r["split"] == split)
        assert set(counts) == principles
        assert min(counts.values()) >= 4
    assert all(p.rationale and p.specifics and p.examples for p in read_charter().principle)


def own_charter(folder: Path) -> Charter:
    examples = "".join(
        f'  {{ prompt = "What is thing {i}?", keeps = "A plain thing {i}.", breaks = "An entity {i}." }},\n'
        for i in range(10)
    )
    path = folder / "own.toml"
    path.write_text(
        'name = "n"\nversion = "1"\n[[principle]]\nid = "plain-words"\nstatement = "S."\nrationale = "R."\n'
        f"examples = [\n{examples}]\n"
    )
    return read_charter(path)


def test_examples_with_a_prompt_are_split_and_only_learned_ones_are_taught(tmp_path: Path) -> None:
    charter = own_charter(tmp_path)
    split: dict[str, list[str]] = {
        s: [c.text for c in preference_cases(s, charter)] for s in ("learn", "tune", "test")
    }
    assert {s: len(prompts) for s, prompts in split.items()} == {"learn": 5, "tune": 2, "test": 3}
    assert len({*split["learn"], *split["tune"], *split["test"]}) == 10
    assert [len({f.question for f in phrased_cases(charter)}), len(phrased_cases(charter))] == [3, 3]
    writer = Writer(Torn(), None, seed=5)
    pairs = make_values(writer, charter, authored=9, contrast=0)
    assert {r.chosen[0].content for r in pairs.records if r.chosen} == set(split["learn"])
    assert pairs.missing == {"authored pairs, plain-words": 4}
    assert {(r.source, r.lineage.generator) for r in pairs.records} == {("unknown", "charter")}
    taught = make_teaching(writer, charter, documents=8, demonstrations=4)
    said = "\n".join(m.content for r in taught.records for m in r.messages or ())
    held = [c for s in ("tune", "test") for c in preference_cases(s, charter)]
    assert not [c for c in held if c.chosen in said or c.text in said]
    assert "In the manner" not in instructed(charter.principle[0], "P?", keep=True)[0]["content"]


@pytest.mark.parametrize("split", ["learn", "test"])
def test_words_alone_do_not_tell_the_chosen_reply(split: Any) -> None:
    cases = preference_cases(split)
    found = bag_of_words_auc(
        [c.chosen for c in cases], [c.rejected for c in cases], [c.cluster for c in cases]
    )
    assert found <= 0.6


def test_length_alone_does_not_tell_the_chosen_reply() -> None:
    longer = [len(c.chosen.split()) - len(c.rejected.split()) for c in preference_cases("test")]
    assert 0.4 <= sum((d > 0) + 0.5 * (d == 0) for d in longer) / len(longer) <= 0.6


def test_contrast_pairs_that_differ_are_kept_with_their_lineage() -> None:
    made = make(Torn())
    assert len(made.records) == 12
    assert not made.dropped
    for record in made.records:
        assert record.chosen
        assert record.rejected
        assert (record.chosen[-1].content, record.rejected[-1].content) == (
            "Ask a doctor.",
            "Take more pills.",
        )
        assert record.chosen[:-1] == record.rejected[:-1]
        assert [m.role for m in record.chosen] == ["user", "assistant"], "the order is not part of the record"
        lineage = record.lineage
        assert (lineage.generator, lineage.operator, lineage.seed) == (Torn.digest, "contrast", "5")
        assert (lineage.charter, lineage.depth, record.source) == (read_charter().digest, 1, "synthetic")
    by_principle = {r.cell: r.lineage.template for r in made.records}
    assert len(set(by_principle.values())) == len(by_principle) > 1, "each principle has an order of its own"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        # The gap adds up both answers: a half on each side reaches the least that is asked.
        (Torn(gap=LEAST_GAP / 2 - 0.01), "no real value gap"),
        (Torn(gap=-1.0), "no real value gap"),
        (Torn(bad="ask a  doctor."), "both answers are the same"),
        (Torn(bad="no " * 30), "an answer is broken"),
        (Torn(good=""), "an answer is broken"),
        (Torn(good="lost"), "the generator gave an error"),
        (Torn(scores=False), "the value gap cannot be measured on this generator"),
    ],
)
def test_contrast_pairs_without_a_difference_are_dropped_with_the_reason(model: Torn, reason: str) -> None:
    made = make(model)
    assert not made.records
    assert made.dropped == {reason: 12}


def test_the_least_gap_is_kept() -> None:
    assert len(make(Torn(gap=LEAST_GAP / 2 + 0.01)).records) == 12


def test_authored_pairs_are_of_learn_and_spread_over_the_principles() -> None:
    made = make(Torn(), authored=24, contrast=0)
    assert len(made.records) == 24
    counts = Counter(r.cell for r in made.records)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == len(read_charter().principle)
    learned = {r["prompt"] for r in examples() if r["split"] == "learn"}
    assert {r.chosen[0].content for r in made.records if r.chosen} <= learned
    for r in made.records:
        assert (r.lineage.generator, r.lineage.operator) == (AUTHOR, "authored")
        assert r.lineage.charter == read_charter().digest
