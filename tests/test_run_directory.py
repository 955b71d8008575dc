"""The run directory: which run is resumed, what is refused, what a killed run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import ConfigError, InputError
from trimtab.probes.outcome import Outcome
from trimtab.records.record import Lineage, Record, conversation
from trimtab.run.config import RunConfig, Sizes
from trimtab.run.directory import STAGES, RunDirectory, Stage, held, open_run, runs
from trimtab.run.stages import STAGES as WORK


def finish(run: RunDirectory) -> None:
    for name in ("report.json", "report.html"):
        (run.folder / name).write_text("{}")


def test_an_unfinished_run_is_resumed(tmp_path: Path) -> None:
    first = open_run(tmp_path, RunConfig())
    assert open_run(tmp_path, RunConfig()).folder == first.folder
    assert first.about["config_digest"] == RunConfig().digest
    assert {p.name for p in tmp_path.iterdir()} == {first.folder.name}


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    first = open_run(tmp_path, RunConfig())
    finish(first)
    second = open_run(tmp_path, RunConfig(seed=1))
    assert second.folder != first.folder
    assert [r.folder for r in runs(tmp_path)] == sorted([first.folder, second.folder])


def test_an_unfinished_run_from_before_a_finished_one_was_given_up(tmp_path: Path) -> None:
    old = open_run(tmp_path, RunConfig())
    about = {**old.about, "started": "2026-01-31T00:00:00+00:00"}
    (old.folder / "run.json").write_text(json.dumps(about))
    finish(open_run(tmp_path, RunConfig(seed=1), fresh=True))
    new = open_run(tmp_path, RunConfig(seed=1))
    assert len(runs(tmp_path)) == 3
    assert open_run(tmp_path, RunConfig(seed=1)).folder == new.folder


def test_a_run_without_its_page_is_not_finished(tmp_path: Path) -> None:
    first = open_run(tmp_path, RunConfig())
    (first.folder / "report.json").write_text("{}")
    assert open_run(tmp_path, RunConfig()).folder == first.folder


def test_fresh_and_another_name_start_anew(tmp_path: Path) -> None:
    folders = [
        open_run(tmp_path, RunConfig()).folder,
        open_run(tmp_path, RunConfig(), fresh=True).folder,
        open_run(tmp_path, RunConfig(name="other")).folder,
    ]
    assert len(set(folders)) == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"model": "dir/other"}, "model"),
        ({"sizes": Sizes(attacks=12)}, "sizes.attacks"),
        ({"mechanisms": ("bias",)}, "mechanisms"),
        ({"gates": RunConfig().gates[1:]}, "gates"),
    ],
)
def test_a_changed_config_is_refused_naming_the_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    run = open_run(tmp_path, RunConfig())
    with pytest.raises(ConfigError) as caught:
        open_run(tmp_path, RunConfig(**changes))
    (problem,) = caught.value.problems
    assert problem.code == "run.config-changed"
    assert problem.place == f"{run.folder}, {field}"
    assert [p.name for p in tmp_path.iterdir()] == [run.folder.name], "nothing new was made"


def test_a_run_from_before_there_were_waivers_goes_on(tmp_path: Path) -> None:
    run = open_run(tmp_path, RunConfig())
    config = {k: v for k, v in run.about["config"].items() if k != "waivers"}
    (run.folder / "run.json").write_text(json.dumps({**run.about, "config": config}))
    assert open_run(tmp_path, RunConfig()).folder == run.folder


def test_a_run_that_another_version_began_is_not_gone_on_with(tmp_path: Path) -> None:
    run = open_run(tmp_path, RunConfig())
    (run.folder / "run.json").write_text(json.dumps({**run.about, "version": "0.0.9"}))
    with pytest.raises(ConfigError, match=r"trimtab 0\.0\.9 began it.*run\.version-changed"):
        open_run(tmp_path, RunConfig())
    assert open_run(tmp_path, RunConfig(), fresh=True).folder != run.folder


def test_a_run_from_another_version_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    run = open_run(tmp_path, RunConfig())
    about = {**run.about, "config": {**run.about["config"], "speed": 3}}
    (run.folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="speed"):
        open_run(tmp_path, RunConfig())


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "[]", "{}", '{"config": 3}', '{"config": {}, "started": 1}']
)
def test_a_damaged_run_is_named(tmp_path: Path, text: str) -> None:
    run = open_run(tmp_path, RunConfig())
    (run.folder / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.damaged") as caught:
        open_run(tmp_path, RunConfig())
    assert str(run.folder) in caught.value.problems[0].place


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.missing"):
        RunDirectory(tmp_path / "nothing")


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "20260101T000000Z_loop_abc").mkdir()  # killed before run.json was written
    (tmp_path / "notes").mkdir()
    assert runs(tmp_path) == []
    assert runs(tmp_path / "missing") == []


def test_a_root_that_cannot_be_made_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"run\.not-writable"):
        open_run(tmp_path / "file" / "runs", RunConfig())


def test_stages_are_folders_in_order(tmp_path: Path) -> None:
    run = open_run(tmp_path, RunConfig())
    names = [run.stage(name).folder.name for name in STAGES]
    assert names == sorted(names)
    assert tuple(WORK) == STAGES


def test_a_stage_is_done_when_it_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "01_before")
    stage.begin()
    assert stage.done is None
    assert stage.finish(outcomes=3)["outcomes"] == 3
    assert (Stage(stage.folder).done or {})["outcomes"] == 3


def test_a_stage_that_was_begun_before_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "01_before")
    stage.begin()
    assert "resumed" not in stage.finish()
    again = Stage(stage.folder)
    again.begin()
    assert again.finish()["resumed"] is True


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (tmp_path / "done.json").write_text('{"outcomes": 3')
    with pytest.raises(InputError, match=r"run\.damaged"):
        _ = stage.done


def test_outcomes_and_records_come_back_as_they_were(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = Outcome(
        "i", "c", "s", "test", "before", 0, "he said “no”\u2028", "rules-1", None, {"error": "x"}
    )
    lineage = Lineage(generator="g", operator="o", template="t", seed="9", depth=1)
    record = Record(
        kind="sft", messages=conversation("a", "b"), mechanism="adversarial", cell="plain/benign",
        source="synthetic", lineage=lineage,
    )  # fmt: skip
    stage.write_outcomes([outcome])
    stage.write_records([record], "adversarial")
    stage.write_records([], "bias")
    assert stage.outcomes() == [outcome]
    assert stage.records("adversarial") == [record]
    assert stage.records("bias") == []
    assert stage.outcomes("none") == []


def test_once_does_the_work_again_only_when_what_it_made_is_gone(tmp_path: Path) -> None:
    stage, made, calls = Stage(tmp_path / "train"), tmp_path / "guard", []

    def work() -> dict[str, Any]:
        calls.append(1)
        made.mkdir()
        return {"times": len(calls)}

    assert stage.once("guard", work, made) == stage.once("guard", work, made) == {"times": 1}
    made.rmdir()
    assert stage.once("guard", work, made) == {"times": 2}


def test_once_is_not_fooled_by_what_a_killed_work_left(tmp_path: Path) -> None:
    stage, made = Stage(tmp_path / "train"), tmp_path / "guard"
    made.mkdir()  # and no result beside it
    assert stage.once("guard", lambda: {"whole": True}, made) == {"whole": True}


def test_one_process_works_on_a_run_at_a_time(tmp_path: Path) -> None:
    run = open_run(tmp_path, RunConfig())
    with held(run.folder), pytest.raises(ConfigError, match=r"run\.in-use"), held(run.folder):
        pass
    with held(run.folder):
        assert run.stage("before").done is None
