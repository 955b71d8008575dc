"""The labelled outputs, the judge's errors on them, and figures corrected for those errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.probes.judge import NAME
from trimtab.probes.labelled import COUNTED, NOTE, SYSTEMS, corrected, judge_summary, labelled_rows, measured
from trimtab.probes.outcome import Outcome
from trimtab.report._format import correction, judge_lines
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.intervals import rate
from trimtab.statistics.judges import rogan_gladen, sensitivity_specificity, weighted_rate
from trimtab.suites.case import JudgedCase


def outcome(i: int, label: str, *, suite: str = "attack", judge: str = NAME, **raw: Any) -> Outcome:
    about = {"label": label, **({"behavior": f"b{i}"} if suite == "attack" else {}), **raw}
    return Outcome(f"i{i}", f"c{i}", suite, "test", "after", 0, "", judge, float(label == "complied"), about)


def error(value: float, name: str = "sensitivity", n: int = 100) -> Estimate:
    ones = round(n * value)
    return rate([1] * ones + [0] * (n - ones), [str(i) for i in range(n)], name=name)


def test_the_labelled_rows_are_cases_with_an_id_of_their_own() -> None:
    rows = [r for k in COUNTED for s in SYSTEMS for r in labelled_rows(k, s)]
    assert len({r["id"] for r in rows}) == len(rows) >= 160
    for row in rows:
        JudgedCase.model_validate({**row, "suite": "judged"})
        assert (row["fault"] != "") == (row["label"] == "broken")
        assert row["weight"] >= 1
        assert not row["cluster"].startswith("child")


@pytest.mark.parametrize("system", ["bare", "hardened"])
def test_the_judge_is_measured_on_attacks(system: Any) -> None:
    found = measured("attack", system)
    assert found is not None
    sensitivity, specificity, labelled = found
    rows = labelled_rows("attack", system)
    assert sensitivity.n == sum(r["label"] == "complied" for r in rows)
    assert sensitivity.n + specificity.n == labelled.n == len(rows)
    assert labelled.value == pytest.approx(sensitivity.n / len(rows))
    assert all(e.low <= e.value <= e.high for e in found)


def test_a_judge_that_knows_too_little_corrects_nothing() -> None:
    estimate, why = corrected([outcome(i, "complied") for i in range(20)], "attack", "bare")
    assert estimate is None
    assert "judge unusable" in why


def test_a_class_without_labels_corrects_nothing() -> None:
    assert measured("benign", "hardened") is None
    rows = [outcome(i, "complied", suite="twins") for i in range(20)]
    assert corrected(rows, "benign", "hardened") == (
        None,
        "not identifiable: none of the labelled answers was refused",
    )


def test_what_cannot_be_corrected_says_why() -> None:
    assert "nothing measured" in corrected([], "attack", "bare")[1]
    twice = [outcome(1, "complied"), outcome(1, "refused")]
    assert "several times" in corrected(twice, "attack", "bare")[1]
    assert "judged by rules-0" in corrected([outcome(1, "complied", judge="rules-0")], "attack", "bare")[1]
    assert "every answer was blocked" in corrected([outcome(1, "refused", blocked=True)], "attack", "bare")[1]


@pytest.mark.parametrize(("kind", "expected"), [("attack", 0.5 * 0.5), ("benign", 0.5 + 0.5 * 0.5)])
def test_blocked_answers_are_known_refusals(
    monkeypatch: pytest.MonkeyPatch, kind: Any, expected: float
) -> None:
    errors = (error(0.9), error(0.7, "specificity"), error(0.5, "labelled"))
    monkeypatch.setattr("trimtab.probes.labelled.measured", lambda *_: errors)
    suite, hit, miss = (
        ("attack", "complied", "refused") if kind == "attack" else ("twins", "refused", "complied")
    )
    # Of 50 judged ones 30 hit: (0.6 + 0.7 - 1) / (0.9 + 0.7 - 1) = 0.5.
    judged = [outcome(i, hit if i < 30 else miss, suite=suite) for i in range(50)]
    blocked = [outcome(i, "refused", suite=suite, blocked=True) for i in range(50, 100)]
    estimate, why = corrected([*judged, *blocked], kind, "hardened")
    assert estimate is not None
    assert estimate.value == pytest.approx(expected)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 100
    assert "corrected for the judge" in why


def test_a_value_outside_0_to_1_is_told() -> None:
    found = rogan_gladen(error(0.02, "r"), error(0.9), error(0.9, "specificity"))
    assert found.estimate is not None
    assert found.estimate.value == 0
    assert "is -0.100, outside 0 to 1, and shown as 0" in found.note
    told = correction({"estimate": found.estimate.to_json(), "why": found.note})
    assert "outside 0 to 1" in told


def test_weights_by_hand() -> None:
    clusters = list("abcd")
    weighted = weighted_rate([1, 0, 1, 0], clusters, [3, 1, 1, 1], name="r")
    assert weighted.value == pytest.approx(4 / 6)
    plain = rate([1, 0, 1, 0], clusters, name="r")
    assert weighted.high - weighted.low > 0.9 * (plain.high - plain.low)
    assert weighted_rate([1, 0, 1, 0], clusters, [2, 2, 2, 2], name="r") == plain
    found = sensitivity_specificity([1, 1, 0, 0], [1, 0, 0, 0], clusters, [1, 9, 1, 1])
    assert [e.value for e in found] == pytest.approx([0.1, 1.0])
    with pytest.raises(ValueError, match="above 0"):
        weighted_rate([1, 0], ["a", "b"], [1, 0], name="r")


def test_the_summary_is_told_in_lines() -> None:
    rows = [outcome(i, "complied") for i in range(20)]
    made = json.loads(json.dumps(judge_summary(rows, rows, same_model=False)))
    bare, hardened, last = judge_lines(made)
    for line, system in ((bare, "bare"), (hardened, "hardened")):
        assert f"{system} model: sensitivity " in line
        assert "; specificity " in line
    assert "before none (judge unusable" in last
    assert NOTE in last
    assert "not this run's" in last
    assert judge_lines(None) == []
