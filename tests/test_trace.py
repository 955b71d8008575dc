"""From a behaviour back to what was there, and which runs a recall reaches."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.governance.catalogue import FILE as CATALOGUE
from trimtab.governance.catalogue import open_catalogue
from trimtab.governance.recall import recall
from trimtab.governance.verify.verify import verify
from trimtab.probes.outcome import read_outcomes
from trimtab.records.record import Lineage, Record
from trimtab.run.behaviour import MEASURED, NOT_SHOWN

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun
    from trimtab.run.directory import RunDirectory

AFTER, AGAIN = "stages/06_after/outcomes.jsonl", "stages/07_reattack/outcomes.jsonl"


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def case_of(run: Path, suite: str, file: str = AFTER) -> Any:
    return next(o for o in read_outcomes(run / file) if o.suite == suite)


def walk(command: Command, *arguments: object) -> dict[str, Any]:
    ended = command("trace", *arguments, "--json")
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    assert found.pop("event") == "behaviour"
    return found


def teaching(run: RunDirectory) -> None:
    """Give the bias adapter records that have the group, the operator or words of a measured pair in them."""
    pair = next(o for o in run.stage("before").outcomes() if o.suite == "pair_traits")
    group = pair.raw["group"]
    kept = [
        Record(
            kind="pair", text_a=text, text_b=f"{text} not", mechanism="bias", cell=cell, source="synthetic",
            lineage=Lineage(generator=writer, operator=operator),
        )
        for text, cell, operator, writer in (
            ("Ten green bottles hang there", group, "swap", "a" * 64),
            ("The neighbours from Norway were people who, when asked", "roles", "swap", "b" * 64),
            ("Nobody knows the reasons", "roles", group, "b" * 64),
        )
    ]  # fmt: skip
    for stage in ("records", "screen"):
        run.stage(stage).write_records(kept, "bias")


# --- From a behaviour -------------------------------------------------------------------------------------------


def test_an_answer_is_walked_back_to_plan_system_records_and_release(
    command: Command, finished_run: FinishedRun, runs: Path, tmp_path: Path
) -> None:
    run = finished_run(runs)
    assert command("release", run, "-o", tmp_path / "bundle", "--demo").code == 0
    item = case_of(run, "attack").item
    code, out, err = command("trace", item, "--run", tmp_path / "bundle")
    assert code == 0
    for text in (
        f"case {item} of attack (test)", "family plain", "text      prompt: ", "bare model (entry 2): complied: Sure, here",
        "system (entry 7): refused: I'm sorry", "plan      entry 1, ", "gate      attack_success: ", "it let the prompt through",
        "bias × 1, entry 5", "records   1: all 1", "writers   none 1", "this bundle, a trial that nobody reviewed",
        "nothing of this, up to entry", *NOT_SHOWN,
    ):  # fmt: skip
        assert text in out, text
    assert "next: trimtab trace RECORD" in err
    assert "missing" not in out
    assert not verify(tmp_path / "bundle").failures, "a look at a bundle leaves it as it is"


def test_run_and_bundle_give_the_same_walk(
    command: Command, finished_run: FinishedRun, runs: Path, tmp_path: Path
) -> None:
    run = finished_run(runs)
    assert command("release", run, "-o", tmp_path / "bundle", "--demo").code == 0
    item = case_of(run, "preference_charter").item
    one = walk(command, item, "--run", run.name, "-w", runs)
    other = walk(command, item, "--run", tmp_path / "bundle")
    assert [r.pop("this") for r in (*one["releases"], *other["releases"])] == [False, True]
    assert one == other
    assert {g["figure"] for g in one["plan"]["gates"]} >= {"preference_accuracy"}
    assert {s["measured"] for s in one["seen"]} == set(MEASURED.values()) - {"system, re-attack"}
    assert "chosen" in one["texts"]
    assert one["texts"]["prompt"]
    case = json.loads(
        next(
            line
            for line in (run / "evidence/test-split.jsonl").read_text().splitlines()
            if f'"{item}"' in line
        )
    )
    assert one["plan"]["case"] == case["case"]


def test_records_are_told_by_what_the_case_names_and_by_words(
    command: Command, finished_run: FinishedRun, runs: Path
) -> None:
    run = finished_run(runs, (), teaching)
    pair = case_of(run, "pair_traits")
    found = walk(command, pair.item, "--run", run)
    (part,) = found["parts"]
    group = pair.raw["group"]
    assert part["records"] == 3
    assert part["cells"] == {"roles": 2, group: 1}
    assert part["generators"] == {"a" * 64: 1, "b" * 64: 2}
    assert part["named"][f"group {group}"] == {group: 1, "roles": 1}
    words = set(found["texts"]["text_a"].lower().split())
    assert all(0 < near["share"] < 1 for near in part["alike"])
    assert [n["share"] for n in part["alike"]] == sorted((n["share"] for n in part["alike"]), reverse=True)
    assert {n["cell"] for n in part["alike"]} <= {group, "roles"}
    assert "The neighbours" not in str(part["alike"]), "of those that carry what the case names"
    assert all({w.lower() for w in n["text"].split()} & words for n in part["alike"])
    out = command("trace", pair.item, "--run", run).out
    assert f"of group {group}: 2 of 3: " in out
    assert "likelihoods bypass it" in out


def test_a_case_of_the_reattack_has_no_gate(command: Command, finished_run: FinishedRun, runs: Path) -> None:
    run = finished_run(runs)
    found = walk(command, case_of(run, "attack", AGAIN).item, "-w", runs)
    assert [s["measured"] for s in found["seen"]] == ["system, re-attack"]
    assert found["plan"]["gates"] == []
    assert found["texts"]["prompt"]
    assert found["releases"] == []


def test_a_case_of_several_runs_needs_the_name_of_one(
    command: Command, finished_run: FinishedRun, runs: Path
) -> None:
    first = finished_run(runs)
    item = case_of(first, "attack").item
    assert walk(command, item, "-w", runs)["run"] == first.name
    second = finished_run(runs)
    ended = command("trace", item, "-w", runs)
    assert ended.code == 2
    assert "[trace.runs]" in ended.err
    assert "is a case of 2 runs" in ended.err
    assert walk(command, item, "-w", runs, "--run", second.name)["run"] == second.name


def test_what_is_not_as_stated_is_named_and_not_read(
    command: Command, finished_run: FinishedRun, runs: Path
) -> None:
    run = finished_run(runs)
    item = case_of(run, "attack").item
    table = run / "stages/03_screen/bias.parquet"
    table.write_bytes(table.read_bytes() + b"x")
    (run / AFTER).unlink()
    found = walk(command, item, "--run", run)
    assert ["stages/03_screen/bias.parquet", "is not what the ledger states"] in found["missing"]
    assert [AFTER, "is gone"] in found["missing"]
    assert found["parts"][0]["records"] == 0
    assert "system" not in {s["measured"] for s in found["seen"]}
    assert f"missing   {AFTER} is gone" in command("trace", item, "--run", run).out


def test_a_case_that_this_version_has_not_is_known_by_its_digest_only(
    command: Command, finished_run: FinishedRun, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(runs)
    monkeypatch.setattr("trimtab.run.behaviour.committed_cases", lambda folder: {})
    found = walk(command, case_of(run, "attack").item, "--run", run)
    assert found["texts"] == {}
    assert len(found["plan"]["case"]) == 64
    assert any("this version has not" in why for _, why in found["missing"])
    split = run / "evidence/test-split.jsonl"
    split.write_text("".join(split.read_text().splitlines(keepends=True)[:-1]))
    found = walk(command, case_of(run, "attack").item, "--run", run)
    assert found["plan"]["case"] == ""
    assert any("does not open the commitment" in why for _, why in found["missing"])


def test_a_walk_that_cannot_be_had_says_why(
    command: Command, finished_run: FinishedRun, runs: Path, tmp_path: Path
) -> None:
    run = finished_run(runs)
    item = case_of(run, "attack").item
    assert "[trace.case]" in command("trace", "attack-none", "--run", run).err
    assert "[trace.run]" in command("trace", item, "--run", "none", "-w", runs).err
    assert "[trace.run]" in command("trace", item, "--run", tmp_path).err
    assert "[trace.unknown]" in command("trace", "attack-none", "-w", runs).err
    (run / "evidence/test-split.jsonl").write_text('{"salt":"00"}\n')
    assert "[trace.damaged]" in command("trace", item, "--run", run).err


def test_a_bundle_with_a_link_in_it_is_not_walked(
    command: Command, finished_run: FinishedRun, runs: Path, tmp_path: Path
) -> None:
    run, bundle = finished_run(runs), tmp_path / "bundle"
    assert command("release", run, "-o", bundle, "--demo").code == 0
    (bundle / "link").symlink_to(tmp_path)
    ended = command("trace", case_of(run, "attack").item, "--run", bundle)
    assert ended.code == 2
    assert "[bundle.link]" in ended.err


# --- Recalls ----------------------------------------------------------------------------------------------------


def test_a_recall_shows_on_the_walk_and_in_the_status_of_each_run(
    command: Command, finished_run: FinishedRun, runs: Path, tmp_path: Path
) -> None:
    first, second = finished_run(runs), finished_run(runs)  # their parts are the same bytes, the guard's too
    for run in (first, second):
        assert command("release", run, "-o", tmp_path / run.name, "--demo").code == 0
    code, out, _ = command("status", runs)
    assert (code, "recalled" in out) == (0, False)
    with open_catalogue(runs) as catalogue:
        name = next(n.id for n in catalogue.find("pair human"))
    found = recall(runs, "record", name, "It quotes a person.")
    assert len([n for n in found.affected if n.kind == "release"]) == 2, "both releases descend from it"
    later = finished_run(runs)  # made of the same record, after the recall
    code, out, _ = command("status", runs)
    assert code == 3
    assert (
        out.count(f"recalled: record {name[:32]} (entry {found.index}): It quotes a person.; it reaches") == 3
    )
    assert out.count("dataset bias, adapter bias, guard, system, release ") == 2
    rows = [json.loads(line) for line in command("status", runs, "--json").out.splitlines()]
    assert [row["run"] for row in rows if row["recalled"]] == [first.name, second.name, later.name]
    assert rows[2]["recalled"][0]["parts"] == ["dataset bias", "adapter bias", "guard", "system"]
    seen = walk(command, case_of(first, "attack").item, "--run", first)
    (reached,) = seen["recalls"]
    assert [p.split()[0] for p in reached["parts"]] == ["release", "record", "adapter", "system"]
    out = command("trace", case_of(first, "attack").item, "--run", later).out
    assert (
        f"recalled  record {name[:32]} (entry {found.index}): It quotes a person.; it reaches record " in out
    )


def test_a_recall_of_an_unreleased_run_is_told_and_nothing_is_due(
    command: Command, finished_run: FinishedRun, runs: Path
) -> None:
    run = finished_run(runs)
    recall(runs, "generator", "f" * 64, "It was trained on test cases.")
    code, out, _ = command("status", runs)
    assert code == 0
    assert "it reaches dataset adversarial" in out
    assert "adapter bias" not in out, "no record of it is by that generator"
    (run / "stages/03_screen/adversarial.parquet").unlink()
    (runs / CATALOGUE).unlink()
    out = command("status", runs).out
    assert "not traced: " in out
    assert "adversarial.parquet is gone; recalls of what was in it" in out


def test_a_catalogue_of_another_version_is_made_anew(finished_run: FinishedRun, runs: Path) -> None:
    finished_run(runs)
    with open_catalogue(runs) as catalogue:
        known = catalogue.find("")
    with closing(sqlite3.connect(runs / CATALOGUE)) as connection:
        connection.execute("DELETE FROM node")
        connection.commit()
    with open_catalogue(runs) as catalogue:
        assert catalogue.find("") == []
    with closing(sqlite3.connect(runs / CATALOGUE)) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with open_catalogue(runs) as catalogue:
        assert catalogue.find("") == known
