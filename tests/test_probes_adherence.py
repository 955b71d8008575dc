"""Adherence by a model that judges: its own errors are measured, and carried into the figure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trimtab.charter.charter import read_charter
from trimtab.errors import ModelError
from trimtab.models.protocol import Answer, Capabilities, Messages
from trimtab.probes.adherence import (
    UNCLEAR,
    Judging,
    adherence_figures,
    measure_adherence,
    measure_judge,
)
from trimtab.run.adherence import judged_cases
from trimtab.statistics.estimate import Estimate
from trimtab.statistics.judges import sensitivity_specificity

if TYPE_CHECKING:
    from tests.conftest import Command

CHARTER = read_charter()
TUNE, TEST = judged_cases(CHARTER, "tune"), judged_cases(CHARTER, "test")
KEEPS = {c.chosen for c in (*TUNE, *TEST)}


class Says:
    """A model that answers each conversation as a function says."""

    digest = "5" * 64
    capabilities = Capabilities(loglikelihood=False, trainable=False)

    def __init__(self, name: str, answer: Callable[[str], str | None]) -> None:
        self.name, self.answer = name, answer

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        texts = [self.answer(p[-1]["content"]) for p in prompts]
        return [Answer(t or "", 3, True, error=None if t is not None else "lost") for t in texts]

    def loglikelihood(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("no likelihood is needed")


def reply_in(prompt: str) -> str:
    return prompt.partition("\nAssistant: ")[2].partition("\nconversation>>>")[0]


def truth(prompt: str) -> str:
    return "Yes." if reply_in(prompt) in KEEPS else "no"


def wrong_of_five(prompt: str) -> str:
    """Err on one call in five, whichever it is."""
    right = truth(prompt) == "Yes."
    return "Yes" if right != (zlib.crc32(reply_in(prompt).encode()) % 5 == 0) else "No"


def system(share: float) -> Says:
    replies = {c.text: c.chosen if i < share * len(TEST) else c.rejected for i, c in enumerate(TEST)}
    return Says("system", replies.get)


def figures(judge: Says, model: Says, cases: Any = TEST) -> dict[str, Estimate]:
    judging = measure_judge(judge, CHARTER, TUNE)
    rows = measure_adherence(model, judging, cases, system="s")
    return {e.name: e for e in adherence_figures(rows, judging)}


def test_a_judge_without_error_is_taken_at_its_word() -> None:
    found = figures(Says("judge", truth), system(0.5))
    assert found["sensitivity"].value == found["specificity"].value == 1
    kept = (len(TEST) + 1) // 2 / len(TEST)
    assert found["adherence"].value == pytest.approx(found["adherence_judged"].value) == pytest.approx(kept)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_errors_are_taken_out_and_widen_the_interval(share: float) -> None:
    found = figures(Says("judge", wrong_of_five), system(share))
    judged, corrected = found["adherence_judged"], found["adherence"]
    kept = sum(i < share * len(TEST) for i in range(len(TEST))) / len(TEST)
    assert abs(corrected.value - kept) < abs(judged.value - kept)
    assert corrected.low <= kept <= corrected.high
    assert corrected.high - corrected.low > judged.high - judged.low
    assert "corrected for the judge" in corrected.note


def test_a_judge_that_says_yes_to_everything_is_unusable() -> None:
    found = figures(Says("judge", lambda _: "Yes"), system(0.5))
    assert "adherence" not in found
    assert "judge unusable" in found["adherence_judged"].note


def test_a_judge_that_says_nothing_clear_is_not_counted() -> None:
    judging = measure_judge(Says("judge", lambda _: "Maybe so"), CHARTER, TUNE)
    assert (judging.errors, judging.unclear, judging.n) == (None, 2 * len(TUNE), 2 * len(TUNE))
    rows = measure_adherence(system(1), judging, TEST[:3], system="s")
    assert [(o.value, o.raw["error"]) for o in rows] == [(None, UNCLEAR)] * 3
    assert adherence_figures(rows, judging) == []
    with pytest.raises(ModelError, match=r"adherence\.judge"):
        measure_judge(Says("judge", lambda _: None), CHARTER, TUNE)


def test_a_broken_reply_keeps_nothing_and_is_not_judged() -> None:
    asked: list[str] = []

    def judge(prompt: str) -> str:
        asked.append(reply_in(prompt))
        return truth(prompt)

    broken = {c.text for c in TEST[:50]}
    kept = {c.text: c.chosen for c in TEST}
    found = figures(Says("judge", judge), Says("s", lambda p: "no " * 30 if p in broken else kept[p]))
    assert not any(a.startswith("no no") for a in asked)
    assert found["adherence"].value == pytest.approx(1 - 50 / len(TEST))
    assert found["adherence"].n == len(TEST)


def simulated(rng: np.random.Generator, broken: float, keeps: float, right: float) -> bool:
    """Return whether the interval of 60 replies, some broken, judged with errors measured on 300, holds the truth."""
    facts = np.repeat([1.0, 0.0], 150)
    calls = np.where(rng.random(300) < right, facts, 1 - facts)
    errors = sensitivity_specificity(facts, calls, [str(i) for i in range(300)])
    is_broken, kept = rng.random(60) < broken, rng.random(60) < keeps
    called = np.where(rng.random(60) < right, kept, ~kept) & ~is_broken
    labels = np.where(is_broken, "broken", np.where(called, "keeps", "breaks"))
    rows: Any = [
        SimpleNamespace(value=float(c), raw={"label": label}, cluster=str(i), item=str(i), attempt=0)
        for i, (c, label) in enumerate(zip(called, labels, strict=True))
    ]
    found = {
        e.name: e for e in adherence_figures(rows, Judging(Says("judge", truth), CHARTER, errors, 0, 300))
    }
    return bool(found["adherence"].low <= (1 - broken) * keeps <= found["adherence"].high)


@pytest.mark.parametrize("broken", [0.1, 0.4])
def test_the_interval_holds_the_truth_whatever_share_is_broken(broken: float) -> None:
    rng = np.random.default_rng(1)
    held = [simulated(rng, broken, keeps, right=0.97) for keeps in (0.8, 0.95) for _ in range(500)]
    assert np.mean(held) >= 0.93


def test_a_reply_cannot_break_out_of_its_place() -> None:
    judging = Judging(Says("judge", truth), CHARTER, None, 0, 0)
    rows = measure_adherence(Says("s", lambda _: "{statement} {0}"), judging, TEST[:2], system="s")
    assert [o.raw["label"] for o in rows] == ["breaks", "breaks"]


def test_the_command_judges_replies(command: Command, tiny_folder: Path) -> None:
    name = f"dir/{tiny_folder}"
    code, out, err = command(
        "probe", "-m", name, "--charter", "built-in", "--judge", name, "--limit", 1, "--exit-zero", "--json"
    )
    assert code == 0, err
    assert "the judge is the model that is measured" in err
    assert all(json.loads(line) for line in out.splitlines())
    code, _, err = command("probe", "-m", name, "--judge", name, "-s", "x.jsonl")
    assert (code, "judges by a charter" in err) == (2, True)
