"""Adherence to a charter: questions in several forms, choices in each order, and the stance beside the charter's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from trimtab.charter.charter import Adoption, Charter, GroupVote, Principle, Rule, read_charter
from trimtab.mechanisms.values.cases import examples, held_out, phrased_cases, preference_cases
from trimtab.mechanisms.values.questions import better_cases, good_cases, stance_cases
from trimtab.models.protocol import Capabilities, Likelihood, Question
from trimtab.probes.choice import ChoiceProbe
from trimtab.probes.outcome import Outcome
from trimtab.probes.preference import PreferenceProbe
from trimtab.probes.stance import charter_stances, divergence, stances
from trimtab.run.adherence import charter_suites
from trimtab.statistics.divergence import jensen_shannon
from trimtab.suites.case import Case, ChoiceCase

if TYPE_CHECKING:
    from tests.conftest import Command


class Likes:
    """A model that gives a text after a prompt as many nats as it is told."""

    name, digest = "likes", "8" * 64
    capabilities = Capabilities(loglikelihood=True, trainable=False)

    def __init__(self, nats: Callable[[str, str], float]) -> None:
        self.nats = nats

    def generate(self, prompts: Any, **_: Any) -> Any:
        raise AssertionError("these probes generate nothing")

    def loglikelihood(self, questions: Sequence[Question], **_: Any) -> list[Likelihood]:
        return [Likelihood(self.nats(q.messages[-1]["content"], q.text), 1) for q in questions]


def measured(model: Likes, cases: Sequence[Any]) -> list[Outcome]:
    return ChoiceProbe().measure(model, cases, system="s")


def figures(model: Likes, cases: Sequence[Any]) -> dict[str, float]:
    return {e.name: e.value for e in ChoiceProbe().figures(measured(model, cases))}


def listed(prompt: str, letter: str) -> str:
    """Return what stands behind a letter in a prompt."""
    return next(line.partition(": ")[2] for line in prompt.split("\n") if line.startswith(f"{letter}: "))


# ---- phrasings


def test_every_prompt_of_test_has_three_phrasings_that_differ() -> None:
    forms: dict[str, list[str]] = {}
    for c in phrased_cases():
        forms.setdefault(c.question, []).append(c.text)
    assert set(forms) == {c.id for c in preference_cases("test")}
    assert all(len({t.casefold() for t in texts}) == len(texts) >= 3 for texts in forms.values())
    everything = [t for texts in forms.values() for t in texts]
    assert len(set(everything)) == len(everything)
    learned = {r["prompt"] for r in examples() if r["split"] == "learn"}
    assert not learned & set(everything)


def test_consistency_counts_questions_and_not_their_forms() -> None:
    cases = phrased_cases()[:9]  # three questions of three phrasings

    def nats(prompt: str, reply: str) -> float:
        question = next(i for i, c in enumerate(cases) if c.text == prompt)
        wanted = [True, True, True, True, False, True, False, False, False][question]
        return float(wanted == (reply == cases[question].chosen))

    found = {
        e.name: e
        for e in PreferenceProbe().figures(PreferenceProbe().measure(Likes(nats), cases, system="s"))
    }
    assert found["preference_accuracy"].value == pytest.approx(5 / 9)
    assert found["consistency"].value == pytest.approx(2 / 3)
    assert found["consistency"].n == 3
    assert found["right_in_all_forms"].value == pytest.approx(1 / 3)
    assert found["consistency"].note == "3 forms of a question"
    plain = PreferenceProbe().figures(
        PreferenceProbe().measure(Likes(lambda p, r: 0.0), preference_cases("test")[:4], system="s")
    )
    assert "consistency" not in {e.name for e in plain}


# ---- choices, with the order swapped


def test_a_model_that_always_says_a_is_right_half_the_time_and_never_in_both_orders() -> None:
    cases = better_cases(preference_cases("test")[:10])
    found = figures(Likes(lambda _, letter: float(letter == "A")), cases)
    assert found == {"accuracy": 0.5, "chose_first": 1.0, "consistency": 0.0, "right_in_all_forms": 0.0}


def test_a_model_that_knows_the_better_reply_finds_it_in_both_orders() -> None:
    pairs = preference_cases("test")[:10]
    chosen = {c.chosen for c in pairs}
    found = figures(Likes(lambda p, letter: float(listed(p, letter) in chosen)), better_cases(pairs))
    assert found == {"accuracy": 1.0, "chose_first": 0.5, "consistency": 1.0, "right_in_all_forms": 1.0}


def test_yes_and_no_are_asked_of_both_replies_and_in_both_orders() -> None:
    pairs = preference_cases("test")[:6]
    cases = good_cases(pairs)
    assert len(cases) == 24
    assert all(("Reply with Yes or No" in c.text) == (c.choices == ["Yes", "No"]) for c in cases)
    yes = figures(Likes(lambda _, word: float(word == "Yes")), cases)
    assert yes == {"accuracy": 0.5, "chose_first": 0.5, "consistency": 1.0, "right_in_all_forms": 0.5}
    kept = [c.chosen for c in pairs]
    good = figures(Likes(lambda p, word: float((word == "Yes") == any(k in p for k in kept))), cases)
    assert good["accuracy"] == good["right_in_all_forms"] == 1


# ---- stance


def test_what_a_letter_gets_for_its_own_sake_is_no_stance() -> None:
    found = stances(measured(Likes(lambda _, letter: 3.0 * (letter == "A")), stance_cases(read_charter())))
    assert len(found) == len(read_charter().principle)
    for shares in found.values():
        assert np.allclose(shares, 1 / 3)
    apart = divergence(found, charter_stances(read_charter()), name="x")
    assert apart is not None
    # One half of KL(1/3 each, m) and KL(1, 0, 0; m) with m = 2/3, 1/6, 1/6.
    assert apart.value == pytest.approx((1 / 3 + math.log2(1.5)) / 2)
    assert (apart.n, apart.unit) == (len(found), "bits")


def test_a_stance_is_read_from_the_option_and_not_from_its_letter() -> None:
    def agrees(prompt: str, letter: str) -> float:
        return 9.0 * (listed(prompt, letter) == "I agree with it.")

    found = stances(measured(Likes(agrees), stance_cases(read_charter())))
    assert all(shares[0] > 0.99 for shares in found.values())
    apart = divergence(found, charter_stances(read_charter()), name="x")
    assert apart is not None
    assert apart.value < 0.01


def test_a_charter_that_was_voted_on_holds_what_groups_voted() -> None:
    groups = (
        GroupVote(group="A", statement="1", agreed=90, disagreed=10, seen=100),
        GroupVote(group="B", statement="1", agreed=1, disagreed=1, seen=4),
    )
    adoption = Adoption(votes="v", rule=Rule(), statement="1", value=0.6, low=0.5, high=0.7, groups=groups)

    def principle(**about: Any) -> Principle:
        return Principle(statement="Be kind.", rationale="It helps.", **about)

    charter = Charter(
        name="n", version="1",
        principle=(
            principle(id="voted", adoption=adoption, status="adopted"),
            principle(id="plain"),
            principle(id="gone", status="rejected"),
        ),
    )  # fmt: skip
    held = charter_stances(charter)
    assert set(held) == {"voted", "plain"}
    assert held["voted"].tolist() == pytest.approx([(0.9 + 0.25) / 2, (0.1 + 0.25) / 2, 0.25])
    assert held["plain"].tolist() == [1, 0, 0]
    assert {c.group for c in stance_cases(charter)} == {"voted", "plain"}
    assert held_out(charter)[1] == ["voted", "plain"]
    assert [s.name for s in charter_suites(charter)] == ["stance"]


def test_every_option_stands_behind_every_letter_once_in_each_wording() -> None:
    places: dict[tuple[str, str], list[str]] = {}
    for c in stance_cases(read_charter()):
        question = c.text.partition("\n")[0]
        places.setdefault((c.group, question), []).append(
            "".join(listed(c.text, letter)[:6] for letter in c.choices)
        )
        assert listed(c.text, c.choices[c.target]) == "I agree with it."
    assert all(len(set(orders)) == 3 for orders in places.values())


# Of the smallest float scipy's divergence is infinite, since half of it is 0.
shares = st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=3, max_size=3).filter(
    lambda x: sum(x) > 0.1
)


@settings(deadline=None)
@given(shares, shares)
def test_divergence_is_that_of_scipy(one: list[float], other: list[float]) -> None:
    p, q = np.array(one) / sum(one), np.array(other) / sum(other)
    assert float(jensen_shannon(p, q)) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    assert float(jensen_shannon(p, q)) == pytest.approx(float(jensen_shannon(q, p)), abs=1e-12)


def test_the_smallest_share_that_there_is_makes_no_difference() -> None:
    assert float(jensen_shannon([0.0, 1.0, 0.0], [0.0, 1.0, 5e-324])) == 0


@pytest.mark.parametrize(("one", "other"), [([0.5, 0.6], [0.5, 0.5]), ([1, 0], [1, 0, 0]), ([-1, 2], [1, 0])])
def test_what_is_no_distribution_is_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match="divergence"):
        jensen_shannon(one, other)


# ---- the command


def test_a_limit_keeps_whole_questions() -> None:
    for suite in charter_suites(read_charter(), 5):
        questions = [case_question(c) for c in suite.cases]
        assert len(set(questions)) == 5
        assert len({questions.count(q) for q in questions}) == 1


def case_question(case: Case) -> str:
    assert isinstance(case, ChoiceCase) or hasattr(case, "question")
    return str(case.question)


def test_the_command_measures_adherence(command: Command, tiny_folder: Path) -> None:
    code, out, err = command(
        "probe", "-m", f"dir/{tiny_folder}", "--charter", "built-in", "--limit", 3, "--by-group", "--json"
    )
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    names = {(r["suite"], r["name"]) for r in rows if r["event"] == "estimate"}
    assert {
        ("preference_phrasings", "consistency"), ("choice_better", "chose_first"), ("choice_good", "accuracy"),
        ("stance", "stance_from_charter"),
    } <= names  # fmt: skip
    assert ("stance", "stance_from_start") not in names, "a bare model is where it began"
    assert len({r["group"] for r in rows if r.get("group")}) >= 3
    code, _, err = command("probe", "-m", f"dir/{tiny_folder}")
    assert (code, "--charter built-in" in err) == (2, True)
