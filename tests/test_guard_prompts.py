"""The prompts that the guard was fitted on: counted in a run's evidence, and in the documents of its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Fake
from trimtab.errors import InputError
from trimtab.governance import candidate
from trimtab.governance.exports.documents import documents
from trimtab.governance.release import release
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.verify import verify
from trimtab.mechanisms.adversarial.cases import ordinary
from trimtab.mechanisms.adversarial.guard_prompts import about_prompts, learn_prompts, tune_prompts
from trimtab.models.guard import Guard
from trimtab.records.record import digest
from trimtab.records.write import write_json
from trimtab.run.config import RunConfig, Sizes
from trimtab.run.directory import open_run
from trimtab.run.stages import Loop, train
from trimtab.training.guard import GuardData

if TYPE_CHECKING:
    from tests.conftest import FinishedRun
    from trimtab.run.directory import RunDirectory

MOST = 60


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))


def prompts() -> dict[str, Any]:
    return about_prompts(vars(GuardData(*learn_prompts(MOST), *tune_prompts(MOST))), MOST)


def counting(run: RunDirectory) -> None:
    """Note what the stage of a real run notes of its guard."""
    write_json(run.stage("train").folder / "guard.json", {"digest": "g" * 64, "prompts": prompts()})


def test_every_kind_is_counted_with_its_use_and_digest() -> None:
    about, texts = prompts(), [*learn_prompts(MOST), *tune_prompts(MOST)]
    kinds = about["kinds"]
    assert list(kinds) == list(GuardData.__dataclass_fields__)
    assert [k["count"] for k in kinds.values()] == [len(t) for t in texts]
    assert [k["digest"] for k in kinds.values()] == [digest(list(t)) for t in texts]
    assert [k["use"] for k in kinds.values()] == ["learn"] * 4 + ["tune"] * 3
    assert kinds["requests"]["characters"] == sum(map(len, texts[0]))
    real = [r["prompt"] for r in ordinary() if r["type"] == "passage"]
    bare = [sum(p in real for p in t) for t in (texts[3], texts[5])]
    assert about["passages"]["learn"] >= bare[0] > 0
    assert about["passages"]["tune"] >= bare[1] > 0
    assert about["passages"]["learn"] <= kinds["benign"]["count"]


def test_documents_count_them_and_are_held_against_the_evidence(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bundle = finished_run(tmp_path / "runs", (), counting), tmp_path / "bundle"
    assert not release(run, bundle, demo=True).failures
    assert not verify(bundle).failures
    assert not script.verify(bundle).failures
    kinds = prompts()["kinds"]
    learned = sum(k["count"] for k in kinds.values() if k["use"] == "learn")
    for name in ("README.md", "TRAINING_CONTENT.md"):
        text = (bundle / name).read_text()
        assert f"{learned} that it could learn from" in text, name
        for kind, row in kinds.items():
            assert f"| {kind} | " in text, name
            assert f"| {row['count']} | {row['characters']} | `{row['digest']}` |" in text, name
    told = f"| {kinds['twins']['count']} |"

    def fewer(folder: Path, *, demo: bool = False) -> dict[str, str]:
        found = documents(folder, demo=demo)
        return {**found, "TRAINING_CONTENT.md": found["TRAINING_CONTENT.md"].replace(told, "| 1 |")}

    monkeypatch.setattr(candidate, "documents", fewer)
    with pytest.raises(InputError, match=r"TRAINING_CONTENT\.md: line \d+ does not .*document\.differs"):
        release(finished_run(tmp_path / "more", (), counting), tmp_path / "b", demo=True)
    monkeypatch.undo()
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))
    run = finished_run(tmp_path / "third", (), counting)
    write_json(
        run / "stages/04_train/guard.json", {"digest": "g" * 64, "prompts": {**prompts(), "source": "me"}}
    )
    with pytest.raises(InputError, match=r"04_train/guard\.json.*stage\.changed"):
        release(run, tmp_path / "b", demo=True)


def test_without_the_figure_documents_are_what_they_were(finished_run: FinishedRun, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    assert not release(finished_run(tmp_path / "runs"), bundle, demo=True).failures
    assert "guard" not in (bundle / "README.md").read_text()
    told = (bundle / "TRAINING_CONTENT.md").read_text()
    assert (
        "\nThe guard, a classifier beside the model, was fitted on prompts that come with trimtab.\n" in told
    )


def test_a_run_notes_what_its_guard_was_fitted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[GuardData] = []

    def fit(data: GuardData, folder: Path, **_: Any) -> Guard:
        fitted.append(data)
        return Guard([], threshold=0.5, digest="g" * 64)

    monkeypatch.setattr("trimtab.training.guard.train_guard", fit)
    monkeypatch.setattr("trimtab.training.guard.guard_steps", lambda data: 1)
    small = dict.fromkeys(Sizes.model_fields, 2)
    config = RunConfig(mechanisms=("adversarial",), sizes=Sizes(**{**small, "guard_prompts": MOST}))
    loop = Loop(open_run(tmp_path / "runs", config), config, Fake("No."), lambda *_: lambda _: None)
    stage = loop.run.stage("train")
    stage.begin()
    assert train(loop, stage)["guard"]["prompts"] == prompts()
    assert [len(t) for t in vars(fitted[0]).values()] == [k["count"] for k in prompts()["kinds"].values()]
