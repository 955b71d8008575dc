"""A run that is cut off goes on where it was, and ends like one that was not."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from trimtab import engine
from trimtab.errors import ConfigError
from trimtab.models.guard import REPLY, Guard
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Messages, Progress
from trimtab.records.record import Record
from trimtab.run.config import RunConfig, Sizes, Strengths
from trimtab.run.directory import STAGES, RunDirectory, open_run
from trimtab.run.stages import STAGES as stage_work
from trimtab.run.stages import Loop, run_loop

WORDS = (
    "the a nurse doctor teacher engineer said that he she his her him they went to work and was very kind tired "
    "because it is good bad day night friend people help with for of in on at from who had made some new old car "
    "house book time year first last great little long right big high small large next early young important few"
)
# More than one batch of everything that is asked, and as little as possible of it.
SIZES = Sizes(
    attacks=40, ordinary=4, role_pairs=12, trait_pairs=4, preferences=6, texts=16, associations=36,
    reattack_behaviours=10, reattack_attempts=4, writings=40, pair_records=8, trait_records=2,
    authored_preferences=4, contrast_prompts=20, anchors=2, tune_cases=4,
)  # fmt: skip
STRENGTHS = Strengths(bias=(1.0,), values=(1.0,))


class Died(BaseException):
    """What no code here catches, as nothing catches a kill."""


@pytest.fixture(scope="module")
def wordy_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """Return a model of random weights that writes words, so that its sentences become records."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("wordy")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*special, *dict.fromkeys(WORDS.split())])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {
        "bos_token": special[1],
        "eos_token": special[2],
        "pad_token": special[0],
        "unk_token": special[3],
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    tokenizer.chat_template = AutoTokenizer.from_pretrained(tiny_folder).chat_template
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(folder: Path, **changes: Any) -> RunConfig:
    base = {"model": f"dir/{folder}", "seed": 5, "mechanisms": ("bias", "values"), "evidential": False}
    return RunConfig(**{**base, "sizes": SIZES, "strengths": STRENGTHS, **changes})


def advance(root: Path, config: RunConfig, bar: Callable[[str, int], Progress]) -> RunDirectory:
    """Do what `trimtab run` does up to the report: open or resume the run, load the model anew, run the loop."""
    run = open_run(root, config)
    run_loop(Loop(run, config, LocalModel(Path(config.model[4:]), name=config.model), bar))
    return run


def silent(name: str, total: int) -> Progress:
    return lambda done: None


def records(run: RunDirectory) -> dict[str, list[Record]]:
    return {m: run.stage("screen").records(m) for m in ("bias", "values")}


def results(run: RunDirectory) -> dict[str, Any]:
    """Return everything that a run came to and that does not depend on the clock."""
    trained = run.stage("train").done or {}
    return {
        "records": {m: [r.id for r in rows] for m, rows in records(run).items()},
        "outcomes": {
            (stage, name): run.stage(stage).outcomes(name)
            for stage, name in [
                ("before", "outcomes"),
                ("after", "outcomes"),
                ("after", "without_guard"),
                ("after", "guard_alone"),
                ("reattack", "outcomes"),
            ]
        },
        "adapters": {m: trained[m]["digest"] for m in ("bias", "values")},
        "trim": (run.stage("trim").done or {})["points"],
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, wordy_folder: Path) -> RunDirectory:
    return advance(tmp_path_factory.mktemp("unbroken"), settings(wordy_folder), silent)


def test_the_models_own_words_are_in_the_records(unbroken: RunDirectory) -> None:
    # Otherwise the comparisons below would compare seeds only.
    found = records(unbroken)
    assert sum(r.cell == "own-writing" for r in found["bias"]) > 5
    assert found["values"]


def test_the_same_seed_gives_the_same(unbroken: RunDirectory, wordy_folder: Path, tmp_path: Path) -> None:
    again = advance(tmp_path, settings(wordy_folder), silent)
    assert results(again) == results(unbroken)


def test_another_seed_gives_other_records(
    unbroken: RunDirectory, wordy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {name: stage_work[name] for name in ("before", "records", "screen")}
    monkeypatch.setattr("trimtab.run.stages.STAGES", stages)
    other = advance(tmp_path, settings(wordy_folder, seed=6), silent)
    assert {r.id for r in records(other)["bias"]} != {r.id for r in records(unbroken)["bias"]}
    assert other.stage("before").outcomes() == unbroken.stage("before").outcomes()


def test_a_run_that_dies_after_every_batch_ends_like_an_unbroken_one(
    unbroken: RunDirectory, wordy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = settings(wordy_folder), None
    die = Dying(monkeypatch)
    while run is None:
        with suppress(Died):
            run = advance(tmp_path, config, die.bar)
        assert die.deaths < 100, "the same is done again and again"
    assert die.deaths > 15
    assert len(list(tmp_path.glob("*_loop_*"))) == 1, "the run was resumed, and not started anew"
    assert results(run) == results(unbroken)


class Dying:
    """Dies after every second part that is written, and once amid the training of each adapter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deaths, self.parts, self.trained = 0, 0, set[str]()
        self.write = engine._write_part
        monkeypatch.setattr(engine, "_write_part", self.write_and_die)

    def write_and_die(self, path: Path, *rest: Any) -> None:
        assert not path.exists(), f"{path} is done twice"
        self.write(path, *rest)
        self.parts += 1
        if self.parts % 2 == 0:
            self.die()

    def bar(self, name: str, total: int) -> Progress:
        return lambda done: self.train(name) if name.startswith("train") else None

    def train(self, name: str) -> None:
        if name not in self.trained:
            self.trained.add(name)
            self.die()

    def die(self) -> NoReturn:
        self.deaths += 1
        raise Died


def test_what_is_finished_is_not_done_again(
    unbroken: RunDirectory, wordy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(LocalModel, "_generate_batch", refuse)
    monkeypatch.setattr(LocalModel, "_score", refuse)
    before = {p: p.stat().st_mtime_ns for p in unbroken.folder.rglob("*") if p.is_file()}
    assert advance(unbroken.folder.parent, settings(wordy_folder), silent).folder == unbroken.folder
    # A stage that lost its mark is begun again, and finds its batches and adapters.
    for name in STAGES:
        (unbroken.stage(name).folder / "done.json").unlink()
    advance(unbroken.folder.parent, settings(wordy_folder), silent)
    after = {p: p.stat().st_mtime_ns for p in unbroken.folder.rglob("*.safetensors")}
    assert {p: t for p, t in before.items() if p.suffix == ".safetensors"} == after


class EverySecond(Guard):
    """Blocks every second prompt of a call, without an embedder."""

    def blocks(self, conversations: Sequence[Messages]) -> list[bool]:
        return [bool(i % 2) for i in range(len(conversations))]


def test_the_guard_stands_before_the_batches(
    unbroken: RunDirectory, wordy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unbroken.folder, tmp_path / unbroken.folder.name)
    run = RunDirectory(tmp_path / unbroken.folder.name)
    (run.folder / "guard").mkdir()
    for name in ("after", "reattack"):
        shutil.rmtree(run.stage(name).folder)
    monkeypatch.setattr("trimtab.run.stages.load_guard", lambda folder: EverySecond([], 0.0, digest="g"))
    advance(tmp_path, settings(wordy_folder), silent)
    for name, suites in (("after", ("attack", "twins")), ("reattack", ("attack",))):
        bare, guarded = ([o for o in r.stage(name).outcomes() if o.suite in suites] for r in (unbroken, run))
        assert len(bare) == len(guarded)
        assert {o.response for o in guarded[1::2]} == {REPLY}
        # Fewer rows are other batches; greedy answers of this model are the same in each.
        assert [o.response for o in guarded[::2]] == [o.response for o in bare[::2]]
    passed = len(run.stage("reattack").outcomes()[::2])
    parts = (run.stage("reattack").folder / "answers").glob("part-*.parquet")
    assert sum(pq.read_metadata(p).num_rows for p in parts) == passed


def test_other_weights_under_the_same_name_are_refused(
    wordy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.run.stages.STAGES", {"before": stage_work["before"]})
    model = tmp_path / "model"
    shutil.copytree(wordy_folder, model)
    advance(tmp_path / "runs", settings(model), silent)
    weights = load_file(model / "model.safetensors")
    save_file({k: t + 0.01 for k, t in weights.items()}, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"other weights.*run\.model-changed"):
        advance(tmp_path / "runs", settings(model), silent)


@pytest.mark.slow
def test_interrupted_then_killed_then_resumed(
    unbroken: RunDirectory, wordy_folder: Path, tmp_path: Path
) -> None:
    config = settings(wordy_folder)
    toml = tmp_path / "trimtab.toml"
    toml.write_text(as_toml(config), encoding="utf-8")
    command = [sys.executable, "-m", "trimtab", "run", "-c", str(toml), "-o", str(tmp_path / "runs")]

    code, shown = run_until(command, "before: ordinary", signal.SIGINT)
    lines = [line for line in shown.split("\n") if "trimtab:" in line]
    assert code == 130
    assert len(lines) == 1, shown
    assert "interrupted" in lines[0]
    assert "Traceback" not in shown
    (run,) = (tmp_path / "runs").glob("*_loop_*")
    assert list(run.glob("stages/01_before/answers/attack/part-*.parquet")), "finished parts are kept"

    code, shown = run_until(command, "train: values", signal.SIGKILL)
    assert "Warning" not in shown
    assert code == -signal.SIGKILL
    assert RunDirectory(run).stage("screen").done
    assert not RunDirectory(run).stage("train").done

    resumed = advance(tmp_path / "runs", config, silent)
    assert resumed.folder == run
    assert results(resumed) == results(unbroken)


def as_toml(config: RunConfig) -> str:
    tables = config.model_dump(mode="json", include={"sizes", "strengths"})
    lines = [
        f"{k} = {json.dumps(v)}"
        for k, v in config.model_dump(
            mode="json", include={"model", "seed", "mechanisms", "evidential"}
        ).items()
    ]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines)


def run_until(command: list[str], text: str, number: int) -> tuple[int, str]:
    """Start a command on a terminal, send it a signal once it shows `text`; return its code and what it showed."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, sent = "", False
    for chunk in chunks(terminal):
        shown += chunk
        if text in shown and not sent:
            process.send_signal(number)
            sent = True
    os.close(terminal)
    return process.wait(), shown.replace("\r", "\n")


def chunks(terminal: int) -> Iterator[str]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is closed
            return
        if not data:
            return
        yield data.decode(errors="replace")
