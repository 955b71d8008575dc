"""`trimtab harden`, `debias`, `reinforce` and `train`: records of one mechanism, and an adapter on them."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.records.read import one_kind, read_records

if TYPE_CHECKING:
    from tests.conftest import Command

SMALL = {
    "harden": ("--harmful", 4, "--ordinary", 1),
    "debias": ("--pairs", 4, "--traits", 2, "--writings", 4),
    "reinforce": ("--authored", 4, "--contrast", 2),
}
KINDS = {"harden": "sft", "debias": "pair", "reinforce": "preference"}


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> str:
    return f"dir/{tiny_folder}"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_mechanism_alone_writes_its_records(
    command: Command, tiny: str, tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / "deep" / f"records.{suffix}"
    code, out, err = command(name, "-o", path, "-m", tiny, *SMALL[name])
    assert code == 0, err
    reading = read_records(path)
    assert not reading.rejected
    assert one_kind(reading) == KINDS[name]
    assert f"wrote {len(reading.records)} records to {path}" in out
    assert err.startswith(f"next: trimtab train {path}")


def test_the_same_seed_gives_the_same_records(command: Command, tiny: str, tmp_path: Path) -> None:
    ids = []
    for i, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{i}.jsonl"
        assert command("harden", "-o", path, "-m", tiny, "--seed", seed, *SMALL["harden"]).code == 0
        ids.append([r.id for r in read_records(path).records])
    assert ids[0] == ids[1] != ids[2]


def test_a_mechanism_that_was_cut_off_goes_on_where_it_was(
    command: Command, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.models.local import LocalModel

    asked: list[int] = []
    answer = LocalModel.generate

    def counting(self: LocalModel, prompts: Any, **settings: Any) -> Any:
        asked.append(len(prompts))
        return answer(self, prompts, **settings)

    monkeypatch.setattr(LocalModel, "generate", counting)
    sizes = ("-m", tiny, "--harmful", 40)
    assert command("harden", "-o", tmp_path / "whole.jsonl", *sizes).code == 0
    unbroken, last = len(asked), asked[-1]
    asked.clear()

    def cut(self: LocalModel, prompts: Any, **settings: Any) -> Any:
        if len(asked) == unbroken - 1:
            raise KeyboardInterrupt
        return counting(self, prompts, **settings)

    monkeypatch.setattr(LocalModel, "generate", cut)
    ended = command("harden", "-o", tmp_path / "parts.jsonl", *sizes)
    assert (ended.code, "the same command goes on there" in ended.err) == (130, True)
    assert {p.name for p in tmp_path.iterdir()} == {"whole.jsonl", "parts.jsonl.parts"}
    asked.clear()
    monkeypatch.setattr(LocalModel, "generate", counting)
    assert command("harden", "-o", tmp_path / "parts.jsonl", *sizes).code == 0
    assert asked == [last], "only what was left is asked"
    assert {p.name for p in tmp_path.iterdir()} == {"whole.jsonl", "parts.jsonl"}
    whole, parts = ([r.id for r in read_records(tmp_path / f"{n}.jsonl").records] for n in ("whole", "parts"))
    assert whole == parts


def test_a_charter_of_ones_own_is_in_the_lineage(command: Command, tiny: str, tmp_path: Path) -> None:
    charter = tmp_path / "charter.toml"
    charter.write_text(
        'name = "c"\nversion = "1"\n[[principle]]\nid = "honesty"\nstatement = "S."\nrationale = "R."\n'
    )
    paths = tmp_path / "own.jsonl", tmp_path / "built-in.jsonl"
    base = ("reinforce", "-m", tiny, "--authored", 2, "--contrast", 0)
    assert command(*base, "-o", paths[0], "--charter", charter).code == 0
    assert command(*base, "-o", paths[1]).code == 0
    own, built_in = ({r.lineage.charter for r in read_records(p).records} for p in paths)
    assert len(own) == len(built_in) == 1
    assert own != built_in


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("output", "code"),
    [("records.txt", "write.format"), ("file/records.jsonl", "write.failed"), (".", "write.format"),
     ("folder.jsonl", "write.is-folder")],
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    command: Command, tmp_path: Path, name: str, output: str, code: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.jsonl").mkdir()
    ended = command(name, "-o", tmp_path / output, "-m", "no such model")
    assert ended.code == 2
    assert f"[{code}]" in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.jsonl"]


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "write.no-space"), (errno.EACCES, "write.no-permission")]
)
def test_a_disk_that_refuses_is_named_before_the_work(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("trimtab.records.write.tempfile.TemporaryFile", refuse)
    ended = command("harden", "-o", tmp_path / "records.jsonl", "-m", "no such model")
    assert (ended.code, f"[{code}]" in ended.err) == (2, True)


def test_an_unknown_engine_is_refused(command: Command, tmp_path: Path) -> None:
    for name in SMALL:
        ended = command(name, "-o", tmp_path / "r.jsonl", "-m", "no such model", "--engine", "spark")
        assert (ended.code, "[engine.unknown]" in ended.err) == (2, True)


def test_no_record_is_an_error_and_not_an_empty_file(
    command: Command, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.mechanisms.made import Made

    def none(*_: object, **__: object) -> Made:
        made = Made()
        made.dropped["no good\x1b[2J"] += 3
        return made

    monkeypatch.setattr("trimtab.mechanisms.adversarial.records.make_adversarial", none)
    code, out, err = command("harden", "-o", tmp_path / "r.jsonl", "-m", tiny)
    assert code == 2
    assert out == "     3 dropped: no good\\x1b[2J\n"
    assert "[make.nothing]" in err
    assert not list(tmp_path.iterdir())


ROWS: dict[str, dict[str, Any]] = {
    "sft": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
    "document": {"text": "The sea is calm today."},
    "preference": {"prompt": "Hi", "chosen": "Hello.", "rejected": "Go."},
}


def data(folder: Path, *rows: object) -> Path:
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "data.jsonl"


@pytest.mark.parametrize("kind", ROWS)
def test_train_writes_an_adapter_by_the_kind_of_the_records(
    command: Command, tiny: str, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / "deep" / "adapter"
    code, out, err = command("train", data(tmp_path, *[ROWS[kind]] * 2), "-o", output, "-m", tiny)
    assert code == 0, err
    assert f"2 {kind} records" in out
    assert (output / "adapter_model.safetensors").exists()
    assert f"next: trimtab probe -m {tiny} --adapter {output} -s " in err


def test_what_was_trained_is_probed_and_asked_as_another_system(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    assert command("train", data(tmp_path, *[ROWS["sft"]] * 40), "-o", tmp_path / "ad", "-m", tiny).code == 0
    (tmp_path / "s.jsonl").write_text('{"kind": "text", "text": "The sea."}\n')
    found = []
    for adapter in ((), ("--adapter", tmp_path / "ad"), ("--adapter", f"{tmp_path / 'ad'}=40")):
        ended = command("probe", "-m", tiny, *adapter, "-s", tmp_path / "s.jsonl", "--json")
        assert ended.code == 0, ended.err
        row = json.loads(ended.out.splitlines()[0])
        found.append((row["model"], row["value"]))
    assert len({model for model, _ in found}) == 3
    assert found[0][1] != found[2][1]
    assert command("ask", tiny, "Hello?", "--tokens", 2, "--adapter", tmp_path / "ad").code == 0
    for wrong in (tmp_path / "none", f"{tmp_path / 'ad'}=x", f"{tmp_path / 'ad'}=-1"):
        ended = command("ask", tiny, "Hello?", "--adapter", wrong)
        assert (ended.code, "[system.adapter]" in ended.err) == (2, True)


def test_a_cap_on_cost_without_prices_is_refused_before_anything_is_asked(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    for name in ("harden", "debias", "reinforce"):
        ended = command(name, "-o", tmp_path / "r.jsonl", "-m", "openai/m", "--max-cost-usd", 1)
        assert (ended.code, "[endpoint.no-price]" in ended.err) == (2, True)


def test_what_teaches_the_reason_is_trained_on_and_measured(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    made = tmp_path / "values.parquet"
    asked = ("--authored", 12, "--contrast", 0, "--documents", 12, "--demonstrations", 24)
    code, out, err = command("reinforce", "-o", made, "-m", tiny, *asked)
    assert (code, "short of the plan" in out) == (0, False)
    for kind, n in (("document", 12), ("sft", 24)):
        path, adapter = tmp_path / f"values.{kind}.parquet", tmp_path / f"values_{kind}"
        assert f"also: trimtab train {path} -o adapters/values_{kind}" in err
        ended = command("train", path, "-o", adapter, "-m", tiny)
        assert (ended.code, f"{n} {kind} records" in ended.out) == (0, True), ended.err
        merged = tmp_path / f"merged_{kind}"
        merge(Path(tiny.removeprefix("dir/")), adapter, merged)
        suite = data(tmp_path, {"kind": "preference", **ROWS["preference"]})
        ended = command("probe", "-m", f"dir/{merged}", "-s", suite, "--json")
        assert (ended.code, '"name": "preference_accuracy"' in ended.out) == (0, True), ended.err


def merge(base: Path, adapter: Path, merged: Path) -> None:
    """As docs/consensus.md does it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model.merge_and_unload().save_pretrained(merged)
    AutoTokenizer.from_pretrained(base).save_pretrained(merged)


def test_train_on_pairs(command: Command, tiny: str, tmp_path: Path) -> None:
    assert command("debias", "-o", tmp_path / "pairs.jsonl", "-m", tiny, *SMALL["debias"]).code == 0
    ended = command("train", tmp_path / "pairs.jsonl", "-o", tmp_path / "adapter", "-m", tiny)
    assert ended.code == 0, ended.err
    assert " pair records" in ended.out


def test_rows_that_are_not_learned_from_are_told_before_training(
    command: Command, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimtab.training.sft.train_sft", stop)
    path = data(tmp_path, {**ROWS["sft"], "sco\x1bre": 3}, {"what": "?"})
    code, _, err = command("train", path, "-o", tmp_path / "adapter", "-m", tiny)
    assert code == 130
    assert f"{path}: rejected row: line 2: " in err
    assert "ignored: 1 values of the key 'sco\\x1bre'" in err


def test_conversations_without_a_reply_are_told_and_not_learned(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    turns = ROWS["sft"]["messages"]
    path = data(tmp_path, ROWS["sft"], {"messages": turns[:1]}, {"messages": turns[1:]})
    code, out, err = command("train", path, "-o", tmp_path / "adapter", "-m", tiny)
    assert code == 0
    assert out.startswith("1 sft records")
    assert err.count("[train.no-reply]") == 2
    path = data(tmp_path, {"messages": turns[:1]})
    code, _, err = command("train", path, "-o", tmp_path / "other", "-m", tiny)
    assert (code, "[train.no-valid-row]" in err) == (2, True)


LONG = "All the sea is calm today. " * 20  # more than 384 tokens of the tiny model, which are letters
LONGER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # kind → a reply, and a prompt, that is too long
    "sft": (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": LONG}]},
        {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}]},
    ),
    "preference": (
        {"prompt": "Hi", "chosen": LONG, "rejected": "Go."},
        {"prompt": LONG, "chosen": "Yes.", "rejected": "No."},
    ),
}


@pytest.mark.parametrize("kind", LONGER)
def test_what_is_too_long_to_be_learned_is_counted_and_said(
    command: Command, tiny: str, tmp_path: Path, kind: str
) -> None:
    cut, lost = LONGER[kind]
    path = data(tmp_path, ROWS[kind], cut, lost)
    code, out, err = command("train", path, "-o", tmp_path / "adapter", "-m", tiny)
    assert code == 0, err
    assert out.startswith(f"2 {kind} records")
    assert err.count("[train.no-room]") == 1
    assert f"{path}: 1 of 2 records are longer than 384 tokens" in err
    code, out, err = command("train", data(tmp_path, lost), "-o", tmp_path / "other", "-m", tiny)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "[train.no-room]" in err


def test_the_help_of_train_says_how_long_a_record_may_be(command: Command) -> None:
    from trimtab.training.rows import MAX_LENGTH

    assert f"the first {MAX_LENGTH} tokens are read" in " ".join(command("train", "--help").out.split())


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (data, "records.empty"),
        (lambda folder: data(folder, {"what": 1}), "records.no-valid-row"),
        (lambda folder: data(folder, ROWS["sft"], ROWS["preference"]), "records.mixed-kinds"),
        (lambda folder: folder / "none.jsonl", "records.missing"),
        (lambda folder: folder / "none", "records.missing"),
    ],
)
def test_bad_data_is_one_line_before_a_model_is_loaded(
    command: Command, tmp_path: Path, make: Callable[[Path], Path], code: str
) -> None:
    path = make(tmp_path)
    ended = command("train", path, "-o", tmp_path / "adapter", "-m", "no such model")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"trimtab: {path}")
    assert f"[{code}]" in ended.err
    assert ended.err.count("\n") == 1


def test_an_adapter_is_not_overwritten(command: Command, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    ended = command("train", data(tmp_path, ROWS["sft"]), "-o", tmp_path / "adapter")
    assert (ended.code, "[train.exists]" in ended.err) == (2, True)


def test_an_adapter_below_a_file_is_refused_before_the_work(command: Command, tmp_path: Path) -> None:
    path = data(tmp_path, ROWS["sft"])
    ended = command("train", path, "-o", path / "adapter", "-m", "no such model")
    assert (ended.code, "[write.failed]" in ended.err) == (2, True)


def test_a_run_is_no_base_model(command: Command, tmp_path: Path) -> None:
    ended = command("train", data(tmp_path, ROWS["sft"]), "-o", tmp_path / "adapter", "-m", tmp_path)
    assert (ended.code, "[model.is-folder]" in ended.err) == (2, True)


def test_what_cannot_be_trained_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.models.load.load_model", lambda name: object())
    ended = command("train", data(tmp_path, ROWS["sft"]), "-o", tmp_path / "adapter", "-m", "openai/m")
    assert (ended.code, "[train.model]" in ended.err) == (2, True)
