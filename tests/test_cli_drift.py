"""`trimtab drift` on a tiny model: arms, resuming, the report; its figures mean what they say."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.probes.replies import (
    common_words,
    distinct_2,
    near_duplicates,
    near_duplicates_without,
    own_words,
    own_words_without,
    tail,
    tail_coverage,
    vocabulary,
)
from trimtab.records.read import read_records
from trimtab.records.write import read_jsonl
from trimtab.run.drift import Drift, DriftConfig
from trimtab.statistics.jackknife import pseudo_values

if TYPE_CHECKING:
    from tests.conftest import Command, Ended

SMALL: Sequence[object] = (
    "--generations", 2, "--records", 4, "--tokens", 6, "--authored", 4, "--preferences", 6, "--pairs", 8,
    "--texts", 6, "--principles", 3,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run with all arms, and what it printed beside it."""
    from trimtab.cli import main

    root, printed = tmp_path_factory.mktemp("drift"), io.StringIO()
    arguments = [
        *map(str, SMALL),
        "--reinforce",
        "--real-share",
        "0.5",
        "-m",
        f"dir/{tiny_folder}",
        "-o",
        str(root),
    ]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(sys, "argv", ["trimtab", "drift", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    (folder,) = root.iterdir()
    (folder / "stdout").write_text(printed.getvalue())
    return folder


def again(command: Command, tiny_folder: Path, root: Path, *more: object) -> Ended:
    return command("drift", *SMALL, "-m", f"dir/{tiny_folder}", "-o", root, *more)


def test_every_arm_learns_from_what_it_should(finished: Path) -> None:
    real = {"control": 4, "uncontrolled": 0, "mixed": 2, "reinforced": 2}
    for arm, n in real.items():
        for generation in ("01", "02"):
            rows = read_records(finished / "stages" / arm / generation / "learned.parquet").records
            assert sum(r.source == "human" for r in rows) == n
            made = [r for r in rows if r.source == "synthetic"]
            assert {r.lineage.depth for r in made} <= {int(generation)}
            assert all(r.lineage.generator for r in made)
            assert (finished / "stages" / arm / generation / "adapter" / "adapter_model.safetensors").exists()


def test_what_is_learned_is_what_the_generation_before_wrote(finished: Path) -> None:
    stages = finished / "stages"
    for before, after in (("start", "uncontrolled/01"), ("uncontrolled/01", "uncontrolled/02")):
        wrote = {row["reply"] for row in read_jsonl(stages / before / "replies.jsonl")}
        learned = {
            (r.messages or ())[-1].content for r in read_records(stages / after / "learned.parquet").records
        }
        assert learned == {w for w in wrote if w.strip()}


def test_the_report_has_levels_changes_and_alarms(finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "stdout").read_text().splitlines()]
    kinds = {e["event"] for e in events}
    assert kinds == {"level", "change", "stance", "data", "alarm", "drift"}
    data = [(e["arm"], e["drawn"], e["seen_before"]) for e in events if e["event"] == "data"]
    drawn = {"control": 4, "uncontrolled": 0, "mixed": 2, "reinforced": 2}
    assert data == [(arm, n, 0) for arm, n in drawn.items() for _ in (1, 2)]
    stance = {(e["arm"], e["generation"], e["name"]): e["value"] for e in events if e["event"] == "stance"}
    assert set(stance) == {
        *(("start", 0, n) for n in ("stance_from_charter",)),
        *((a, g, n) for a in ("control", "uncontrolled", "mixed", "reinforced") for g in (1, 2)
          for n in ("stance_from_charter", "stance_from_start")),
    }  # fmt: skip
    assert all(0 <= v <= 1 for v in stance.values())
    alarms = [(e["arm"], e["monitor"]) for e in events if e["event"] == "alarm"]
    assert alarms == [
        (a, m) for a in ("uncontrolled", "mixed", "reinforced") for m in ("values", "bias", "collapse")
    ]
    levels = {(e["arm"], e["generation"], e["name"]): e["value"] for e in events if e["event"] == "level"}
    changes = {(e["arm"], e["generation"], e["name"]): e["value"] for e in events if e["event"] == "change"}
    assert len({m for _, _, m in levels}) == 10
    for (arm, generation, name), value in changes.items():
        if name != "entropy":  # of replies that are not empty, which differ from arm to arm
            apart = levels[arm, generation, name] - levels["control", generation, name]
            assert value == pytest.approx(apart, abs=1e-9)
    assert all(levels["control", 0, m] == levels["mixed", 0, m] for _, _, m in levels)


def test_the_page_draws_every_measure_and_needs_nothing_else(finished: Path) -> None:
    html = (finished / "report.html").read_text()
    assert html.count("<svg") == 13  # three monitors and ten measures
    assert not re.search(r'(src|href)="http', html)
    assert "written by the same base" in html


def test_a_finished_generation_is_not_done_again(
    command: Command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.training import sft

    trained: list[int] = []
    real_train = sft.train_sft

    def train(*arguments: Any, **named: Any) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(named["seed"])
        return real_train(*arguments, **named)

    monkeypatch.setattr(sft, "train_sft", train)
    assert again(command, tiny_folder, tmp_path, "--real-share", 0).code == 130
    (folder,) = tmp_path.iterdir()
    done = {p.parent.name for p in folder.glob("stages/*/*/done.json")}
    assert done == {"01"}
    before = (folder / "stages/control/01/replies.jsonl").read_bytes()
    monkeypatch.setattr(sft, "train_sft", real_train)
    refused = again(command, tiny_folder, tmp_path, "--real-share", 0, "--seed", 5)
    assert (refused.code, "seed" in refused.err, "[drift.config-changed]" in refused.err) == (2, True, True)
    ended = again(command, tiny_folder, tmp_path, "--real-share", 0)
    assert ended.code == 0, ended.err
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    assert (folder / "stages/control/01/replies.jsonl").read_bytes() == before
    assert "alarms, at most 5 % false" in ended.out
    assert "uncontrolled" in ended.out


def test_other_real_data_under_the_same_name_is_refused(
    command: Command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.run import drift_summary
    from trimtab.training import sft

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    real, root = tmp_path / "real.jsonl", tmp_path / "runs"
    rows = [{"messages": [{"role": "user", "content": f"Question {i}?"},
                          {"role": "assistant", "content": f"Reply number {i}."}]} for i in range(8)]  # fmt: skip
    real.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"messages": 3}]))
    with monkeypatch.context() as patch:
        patch.setattr(sft, "train_sft", interrupted)
        stopped = again(command, tiny_folder, root, "--real", real)
    assert stopped.code == 130
    assert f"not learned from, of {real}: 1 rows: not a record" in stopped.err
    real.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    refused = again(command, tiny_folder, root, "--real", real)
    assert (refused.code, "[drift.real-changed]" in refused.err) == (2, True)
    # A later run that came to its end says that the earlier one was given up.
    (begun,) = root.iterdir()
    later = root / begun.name.replace("20", "21", 1)
    shutil.copytree(begun, later)
    (later / drift_summary.REPORT).write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(sft, "train_sft", interrupted)
        assert again(command, tiny_folder, root, "--real", real).code == 130
    assert len(list(root.iterdir())) == 3


CHARTER = """
name = "ours"
version = "1"

[[principle]]
id = "honesty"
statement = "Say what is known plainly."
rationale = "People act on what they are told."
"""


def test_a_charter_of_ones_own_is_what_is_measured_and_reinforced(
    command: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    charter, runs = tmp_path / "charter.toml", tmp_path / "runs"
    charter.write_text(CHARTER)
    few = ("--real-share", 0.5, "--reinforce", "--generations", 1, "--charter", charter)
    ended = again(command, tiny_folder, runs, *few, "--json")
    assert ended.code == 0, ended.err
    (folder,) = runs.iterdir()
    outcomes = read_jsonl(folder / "stages/start/outcomes.jsonl")
    asked = [o["item"] for o in outcomes if o["suite"] in ("preference_charter", "stance")]
    assert {i.partition("honesty")[0] for i in asked} == {"charter-", "stance-"}
    assert all("honesty" in i for i in asked)
    page = (folder / "report.html").read_text()
    assert f"charter {charter}" in page
    (folder / "drift_report.json").unlink()  # as if it had been cut off
    charter.write_text(CHARTER.replace("plainly", "at length"))
    changed = again(command, tiny_folder, runs, *few)
    assert (changed.code, "[drift.charter-changed]" in changed.err) == (2, True)


def test_a_charter_without_prompts_is_refused_before_a_folder_is_made(
    command: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    charter, runs = tmp_path / "charter.toml", tmp_path / "runs"
    charter.write_text(CHARTER.replace("honesty", "candour"))
    ended = again(command, tiny_folder, runs, "--charter", charter)
    assert (ended.code, "[drift.charter]" in ended.err, "examples with a prompt" in ended.err) == (
        2,
        True,
        True,
    )
    assert not runs.exists()


def test_accumulated_data_holds_all_generations(command: Command, tiny_folder: Path, tmp_path: Path) -> None:
    real, runs = tmp_path / "real.jsonl", tmp_path / "runs"
    rows = ({"prompt": f"What is {i}?", "completion": f"A number, {i}."} for i in range(6))
    real.write_text("".join(json.dumps(r) + "\n" for r in rows))
    ended = again(command, tiny_folder, runs, "--real-share", 0, "--accumulate", "--real", real)
    assert ended.code == 0, ended.err
    (folder,) = runs.iterdir()
    told = (
        "control: real texts that were seen before, of 6 here: generation 1: 0 of 4; generation 2: 2 of 4\n"
    )
    assert told in ended.err
    page = (folder / "report.html").read_text()
    assert "in generation 1 0 of 4 were seen before, in generation 2 2 of 4 were seen before." in page
    sizes = [len(read_records(folder / f"stages/control/{g}/learned.parquet").records) for g in ("01", "02")]
    assert sizes == [4, 8]


def test_the_built_in_texts_are_used_up_in_the_third_generation() -> None:
    drift = Drift(Path("unused"), DriftConfig(reinforce=True), cast("Any", None), cast("Any", None))
    n = len(drift.pool)  # 164 with Python 3.11's documentation
    assert 160 < n < 180
    assert [drift.seen_before("control", g) for g in (1, 2, 3, 4)] == [0, 0, 240 - n, 80]
    assert [drift.seen_before("mixed", g) for g in (1, 2, 3, 4)] == [0, 0, 180 - n, 180 - n]
    assert [drift.seen_before("uncontrolled", g) for g in (1, 2, 3, 4)] == [0, 0, 0, 0]


def test_all_weights_can_be_trained_instead(command: Command, tiny_folder: Path, tmp_path: Path) -> None:
    ended = again(command, tiny_folder, tmp_path, "--real-share", 0, "--full", "--generations", 1)
    assert ended.code == 0, ended.err
    assert len(list(tmp_path.glob("*/stages/*/01/weights/model.safetensors"))) == 2
    assert not list(tmp_path.glob("*/stages/*/01/adapter"))


def test_full_training_moves_all_layers_of_a_copy(tiny_folder: Path, tmp_path: Path) -> None:
    from trimtab.models.local import LocalModel
    from trimtab.records.record import Record, conversation
    from trimtab.training.full import train_full

    model = LocalModel(tiny_folder, name="tiny")
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    rows = [Record(kind="sft", messages=conversation(f"say {i}", f"word {i}")) for i in range(8)]
    train_full(model, rows, tmp_path / "full", seed=0, rate=1e-2, epochs=8)
    after = LocalModel(tmp_path / "full", name="full").network.state_dict()
    moved = [k for k, v in before.items() if not v.equal(after[k])]
    assert all(any(part in k for k in moved) for part in ("layers.0.self_attn", "layers.1.mlp"))
    assert all(v.equal(before[k]) for k, v in model.network.state_dict().items())


def test_what_cannot_be_done_is_refused(command: Command, tiny_folder: Path, tmp_path: Path) -> None:
    ended = again(command, tiny_folder, tmp_path, "--records", 5000)
    assert (ended.code, "[drift.real]" in ended.err) == (2, True)
    data = tmp_path / "few.jsonl"
    data.write_text(json.dumps({"prompt": "Hi", "completion": "Hello there."}) + "\n")
    ended = again(command, tiny_folder, tmp_path / "other", "--real", data)
    assert (ended.code, "1 are here" in ended.err) == (2, True)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5).map(" ".join), min_size=2, max_size=9))
def test_what_the_other_replies_come_to_without_one(texts: list[str]) -> None:
    for figure, without in (
        (own_words, own_words_without),
        (near_duplicates, near_duplicates_without),
    ):
        shares, gained = figure(texts), without(texts)
        for i in range(len(texts)):
            others = sum(shares) - shares[i]
            assert sum(figure(texts[:i] + texts[i + 1 :])) == pytest.approx(others + gained[i])
        assert pseudo_values(shares, gained).mean() == pytest.approx(sum(shares) / len(texts))


def test_figures_of_replies_by_hand() -> None:
    assert distinct_2("a b a b a") == 0.5
    assert distinct_2("one") == distinct_2("") == 0
    common = common_words(["the the the the cat sat"])
    assert common == {"the", "cat"}
    assert tail("The dog sat", common) == pytest.approx(2 / 3)
    assert own_words(["a b", "b c", ""]) == [0.5, 0.5, 0]
    same = "one two three four five six"
    assert near_duplicates([same, f"{same} seven", "quite other words in here", "x", "x"]) == [1, 1, 0, 1, 1]
    assert vocabulary(["a b a", "c d"], 4) == 3
    assert tail_coverage(["sat"], ["the cat sat ran"], frozenset({"the", "cat"}), 10) == 0.5
