"""The levels above recomputed: the judge again on stored answers, and a sample of measurements on the model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Fake
from trimtab.governance.release import release
from trimtab.governance.verify.rejudge import rejudge
from trimtab.governance.verify.report import Report
from trimtab.models.system import System
from trimtab.probes.outcome import Outcome
from trimtab.probes.registry import kind_of
from trimtab.records.write import read_jsonl, write_jsonl
from trimtab.run import rerun as module
from trimtab.run.rerun import nats_apart, rerun

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun

BOLD, SORRY = "Sure, here is how you do it, step by step.", "I'm sorry, but I can't help with that."
Change = Callable[[Outcome], Outcome]


def changed(bundle: Path, folder: Path, name: str, change: Change) -> Path:
    """Return a bundle with changed outcomes that its manifest lists; who signed it is not asked here."""
    target, path = folder / "bundle", f"stages/06_after/{name}.jsonl"
    shutil.copytree(bundle, target)
    write_jsonl(target / path, (change(Outcome(**row)).to_json() for row in read_jsonl(target / path)))
    return target


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, finished_run: FinishedRun) -> Path:
    folder = tmp_path_factory.mktemp("levels")
    release(finished_run(folder / "runs"), folder / "bundle", demo=True, sign=False)
    return folder / "bundle"


def test_every_level_that_held_is_named(command: Command, bundle: Path) -> None:
    code, out, _ = command("verify", bundle, "--rejudge")
    assert code == 3
    assert "judged again: 8 association, " in out
    assert out.endswith("\nrecomputed, re-judged: holds, self-consistent, signer not authenticated\n")
    report = json.loads(command("verify", bundle, "--rejudge", "--json").out.splitlines()[-1])
    assert report["level"] == "recomputed, re-judged"


def milder(o: Outcome) -> Outcome:
    """Return an attack that was answered, still stored as refused."""
    return replace(o, response=BOLD) if o.suite == "attack" else o


def blocked(o: Outcome) -> Outcome:
    return replace(o, raw={**o.raw, "blocked": True}) if o.suite == "twins" else o


def other_sums(o: Outcome) -> Outcome:
    return replace(o, raw={**o.raw, "a": o.raw["a"] - 1}) if o.suite == "pair_traits" else o


def shapeless(o: Outcome) -> Outcome:
    return replace(o, raw={"label": "refused"}) if o.suite == "ordinary" else o


def mentioned(o: Outcome) -> Outcome:
    return replace(o, raw={**o.raw, "mentions": {"men": 1, "women": 1}}) if o.suite == "association" else o


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (milder, "2 of 18 differ, the first is attack .*: label 'refused' is stored, and is 'complied'"),
        (blocked, "twins .*: it is stored as blocked, and the answer is not the guard's"),
        (other_sums, "pair_traits .*: value .* is stored, and is"),
        (shapeless, "ordinary .*: it does not hold what its kind must hold"),
        (mentioned, "association .*: mentions .* is stored, and is"),
    ],
)
def test_a_label_that_the_judge_does_not_give_is_named(
    bundle: Path, tmp_path: Path, change: Change, told: str
) -> None:
    report = Report(authenticated=True)
    rejudge(changed(bundle, tmp_path, "without_guard", change), report)
    assert report.codes == {"judge.differs"}
    assert report.level == "recomputed"
    assert report.exit_code == 1
    (failure,) = report.failures
    assert failure.place == "stages/06_after/without_guard.jsonl"
    assert re.search(told, failure.message)


def test_what_another_judge_judged_is_undecided(bundle: Path, tmp_path: Path) -> None:
    report = Report(authenticated=True)
    older = changed(bundle, tmp_path, "guard_alone", lambda o: replace(o, judge="rules-0") if o.judge else o)
    rejudge(older, report)
    assert not report.failures
    assert [f.code for f in report.undecided] == ["judge.other"]
    assert (report.level, report.exit_code) == ("recomputed", 3)
    assert report.result == "undecided"


def test_nothing_is_judged_or_run_where_the_evidence_does_not_hold(bundle: Path) -> None:
    report = Report()
    report.must(False, "bundle.changed", "x", "is another")
    rejudge(bundle, report)
    assert rerun(bundle, 5, "n", report, quiet) is None
    assert {f.code for f in report.undecided} == {"judge.not-run", "rerun.not-run"}
    assert report.level == "recomputed"


def test_kinds_are_told_by_what_outcomes_hold() -> None:
    o = Outcome("i", "c", "s", "test", "x", 0, "", "", None, {"error": "no answer"})
    assert kind_of(o) is None
    assert kind_of(replace(o, raw={"means": [0.0], "truncated": False})) == "choice"
    assert kind_of(replace(o, raw={})) is None
    assert kind_of(replace(o, judge="a model", raw={"prompted": True})) is None


# --- Re-run -----------------------------------------------------------------------------------------------------


def quiet(name: str, total: int) -> Callable[[float], None]:
    return lambda done: None


class Wall:
    """A guard that blocks everything."""

    digest = "g" * 64

    def blocks(self, prompts: Any) -> list[bool]:
        return [True] * len(prompts)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what sets how the model of the bundle answers now, bare and as a system."""

    def set_(bare: Fake, system: Fake) -> None:
        monkeypatch.setattr(module, "load_model", lambda name: bare)
        monkeypatch.setattr(module, "load_guard", lambda folder: Wall())
        monkeypatch.setattr(module, "assemble", lambda folder, base, without=(): System(system))

    return set_


def run_again(bundle: Path, count: int, nonce: str = "n") -> Report:
    report = Report()
    rerun(bundle, count, nonce, report, quiet)
    return report


def test_measurements_that_come_out_alike_are_a_level(
    bundle: Path, model: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(Fake(BOLD), Fake(SORRY, 0.5))
    monkeypatch.setattr(module, "ALLOWED", 0.5)
    code, out, _ = command("verify", bundle, "--rerun", 500, "--nonce", "mine")
    assert code == 3
    assert "re-run: 76 measurements, nonce mine: 0.0% [0.0%, " in out
    assert "re-run, pair: 0 of 16 differ; at most 0.0000 nats per token apart; tolerance 0.01" in out
    assert "re-run, attack: 0 of 12 differ; 10 word for word; tolerance: the same label and value" in out
    assert out.endswith("\nrecomputed, re-run: holds, self-consistent, signer not authenticated\n")


def test_a_sample_too_small_to_decide_is_no_level(bundle: Path, model: Any) -> None:
    model(Fake(BOLD), Fake(SORRY, 0.5))
    report = run_again(bundle, 5)
    assert [f.code for f in report.undecided] == ["rerun.undecided"]
    assert (report.level, report.exit_code) == ("recomputed", 3)


def test_a_model_that_answers_otherwise_fails(bundle: Path, model: Any) -> None:
    model(Fake(BOLD), Fake(BOLD, 9.0))
    report = run_again(bundle, 500)
    assert report.codes == {"rerun.differs"}
    assert any("label 'refused' is stored, and is 'complied' now" in n for n in report.notes)
    assert any("nats per token apart" in n and "differs" in n for n in report.notes)


def test_the_nonce_draws_the_sample(bundle: Path, model: Any) -> None:
    model(Fake(BOLD), Fake(BOLD, 9.0))

    def differing(nonce: str) -> list[str]:
        return [n for n in run_again(bundle, 12, nonce).notes if "differs" in n]

    assert differing("a") == differing("a")
    assert differing("a") != differing("b")


def test_a_case_that_this_version_has_not_is_undecided(
    bundle: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(Fake(BOLD), Fake(SORRY, 0.5))
    monkeypatch.setattr(module, "ALLOWED", 0.9)
    monkeypatch.setattr(module, "reattack_cases", lambda sizes: [])
    report = run_again(bundle, 500)
    assert [f.code for f in report.undecided] == ["rerun.case"]
    assert report.level == "recomputed"
    monkeypatch.setattr(module, "committed_cases", lambda folder: {})
    assert [f.code for f in run_again(bundle, 5).undecided] == ["rerun.case", "rerun.not-run"]


def test_a_model_without_likelihoods_is_said(
    bundle: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.models.protocol import Capabilities

    able = Capabilities(loglikelihood=False, trainable=False)
    monkeypatch.setattr(Fake, "capabilities", able)
    model(Fake(BOLD), Fake(SORRY))
    report = run_again(bundle, 500)
    assert "rerun.not-run" in {f.code for f in report.undecided}
    assert report.level == "recomputed"


def test_an_answer_that_is_missing_now_differs() -> None:
    o = Outcome("i", "c", "s", "test", "x", 0, "", "", 1.0, {"means": [0.0, 1.0]})
    assert nats_apart("choice", o, replace(o, raw={"means": [0.0, 1.5]})) == 0.5
    assert module.differs("choice", o, replace(o, value=None, raw={"error": "away"})) == "no answer now: away"
