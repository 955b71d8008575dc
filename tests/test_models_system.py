"""A system: which parts it has, what its digest depends on, what the guard decides, and damaged files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab.errors import ConfigError, ModelError
from trimtab.models.guard import REPLY, Guard
from trimtab.models.load import load_model, load_system
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Progress, Question, user
from trimtab.models.system import System, adapter_folder, read_system, write_system


class Echo:
    """A model that repeats the last turn, and counts what it was asked."""

    name, digest = "echo", "d" * 64
    capabilities = Capabilities(loglikelihood=False, trainable=False)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(
        self, prompts: Sequence[Messages], *, progress: Progress | None = None, **_: Any
    ) -> list[Answer]:
        said = [p[-1]["content"] for p in prompts]
        self.asked += said
        if progress:
            progress(len(said))
        return [Answer(s, 1, finished=True) for s in said]

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        return [Likelihood(-1.0, 1) for _ in questions]


class WordGuard(Guard):
    """A guard whose score is whether a prompt has the word, so that no embedder is needed."""

    def scores(self, prompts: Any) -> Any:
        return np.array([float("forbidden" in p) for p in prompts], dtype=np.float32)


def small_guard() -> Guard:
    random = np.random.default_rng(0)
    shapes = [(384, 4), (4, 1)]
    layers = [
        (random.normal(size=s).astype(np.float32), random.normal(size=s[1]).astype(np.float32))
        for s in shapes
    ]
    return Guard(layers, threshold=0.25, about={"seed": 3})


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's system on the tiny model: one adapter and a guard."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    run = tmp_path_factory.mktemp("run")
    torch.manual_seed(2)
    shape = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_folder), shape).save_pretrained(
        adapter_folder(run, "bias")
    )
    small_guard().save(run / "guard")
    base = f"dir/{tiny_folder}"
    write_system(run, base=base, base_digest=load_model(base).digest, strengths={"bias": 1.5}, guard=True)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def open_system(run: Path, *without: str) -> System:
    system = load_system(str(run), without=without)
    assert isinstance(system, System)
    return system


def test_what_the_guard_blocks_is_not_passed_on_and_keeps_its_place() -> None:
    echo, seen = Echo(), list[float]()
    system = System(echo, WordGuard([], threshold=0.5))
    prompts = [user("a"), user("forbidden"), [*user("forbidden"), *user("b")], user("c")]
    answers = system.generate(prompts, max_tokens=3, progress=seen.append)
    assert [a.text for a in answers] == ["a", REPLY, REPLY, "c"]
    assert [a.blocked for a in answers] == [False, True, True, False]
    assert echo.asked == ["a", "c"]
    assert sum(seen) == 4
    assert system.generate([user("forbidden")], max_tokens=1)[0].blocked
    assert echo.asked == ["a", "c"]
    assert system.loglikelihood([Question("forbidden")])[0].total == -1.0


def test_a_score_at_the_threshold_blocks_and_a_system_turn_does_not() -> None:
    guard = WordGuard([], threshold=1.0)
    system_turn: Messages = [{"role": "system", "content": "forbidden"}, *user("a")]
    assert guard.blocks([user("forbidden"), system_turn, []]) == [True, False, False]


def test_a_system_has_the_parts_that_are_not_left_out(run: Path, tiny_folder: Path) -> None:
    whole, bare = open_system(run), load_model(f"dir/{tiny_folder}")
    assert whole.name == f"dir/{tiny_folder} + bias×1.5 + guard"
    assert whole.guard is not None
    question = [Question("hello", user("a"))]
    assert whole.loglikelihood(question) != bare.loglikelihood(question)
    nothing = open_system(run, "guard", "bias")
    assert nothing.loglikelihood(question) == bare.loglikelihood(question)
    assert nothing.digest == bare.digest
    assert open_system(run, "guard").guard is None


def test_the_digest_changes_with_every_part(run: Path) -> None:
    found = {open_system(run, *parts).digest for parts in ([], ["guard"], ["bias"], ["guard", "bias"])}
    assert open_system(run).digest in found
    about = read_system(run)
    again = {k: about[k] for k in ("base", "base_digest", "guard")}
    write_system(run, **again, strengths={"bias": 1.0})
    found.add(open_system(run).digest)
    weights = adapter_folder(run, "bias") / "adapter_model.safetensors"
    save_file({k: v + 1 for k, v in load_file(weights).items()}, weights)
    write_system(run, **again, strengths={"bias": 1.0})
    found.add(open_system(run).digest)
    assert len(found) == 6


def test_a_part_that_is_not_the_runs_is_refused(run: Path) -> None:
    encoder = run / "guard" / "encoder"
    encoder.mkdir()
    (encoder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"guard is not what the run made.*system\.part-changed"):
        open_system(run)
    shutil.rmtree(encoder)
    other = small_guard()
    other.threshold = 0.5
    other.save(run / "guard")
    with pytest.raises(ModelError, match=r"guard is not what the run made.*system\.part-changed"):
        open_system(run)
    assert open_system(run, "guard").strengths == {"bias": 1.5}
    shutil.rmtree(adapter_folder(run, "bias"))
    with pytest.raises(ModelError, match=r"bias is not what.*system\.part-changed"):
        open_system(run, "guard")


def test_unknown_parts_and_another_base_are_refused(run: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--without judge.*system\.part"):
        open_system(run, "judge")
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    (base / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    about = json.loads((run / "system.json").read_text()) | {"base": f"dir/{base}"}
    (run / "system.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"system\.base-changed"):
        open_system(run)


@pytest.mark.parametrize(
    "change",
    [
        {"base": 3},
        {"strengths": {"../../elsewhere": 1.0}},
        {"strengths": {"bias": "1"}},
        {"strengths": []},
        {"guard": "yes"},
        {"more": 1},
    ],
)
def test_a_damaged_system_file_is_one_clear_error(run: Path, change: dict[str, Any]) -> None:
    path = run / "system.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=rf"system\.json: {next(iter(change))}.*system\.damaged"):
        open_system(run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b'{"base": NaN}'])
def test_a_system_file_that_is_no_object_is_one_clear_error(run: Path, content: bytes) -> None:
    (run / "system.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"system\.damaged"):
        open_system(run)


def test_adapters_on_a_model_that_takes_none_are_refused(run: Path) -> None:
    from trimtab.models.system import assemble

    path = run / "system.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_digest": Echo.digest}))
    with pytest.raises(ModelError, match=r"echo takes no adapters.*system\.no-adapters"):
        assemble(run, Echo())
    assert assemble(run, Echo(), ["bias"]).guard is not None
