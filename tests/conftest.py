"""What tests share: a tiny model of random weights, made once, and a quiet environment."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one process a core
os.environ["TRIMTAB_CONFIG"] = tempfile.mkdtemp(prefix="trimtab-keys-")  # never the user's own keys

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


LONGEST = (
    "test_loop",
    "test_screens_ray",
    "test_engine",
    "test_cli_drift",
    "test_run_resume",
    "test_training",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left with one of them at the end."""
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a two-layer Llama of random weights with a byte-level tokenizer and ChatML."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate([*special, *letters])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=special[1], eos_token=special[2], pad_token=special[0]
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(letters) + 3, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Ended(NamedTuple):
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs `trimtab` with arguments in this process, as the console script does."""
    from trimtab.cli import main

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["trimtab", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return run


class Fake:
    """A model without weights: it complies or refuses as it was told, and scores texts by their letters."""

    name = "fake"
    digest = "f" * 64

    def __init__(self, answer: str, shift: float = 0.0) -> None:
        self.answer, self.shift = answer, shift

    @property
    def capabilities(self) -> Any:
        from trimtab.models.protocol import Capabilities

        return Capabilities(loglikelihood=True, trainable=False)

    def generate(self, prompts: Any, **_: Any) -> Any:
        from trimtab.models.protocol import Answer

        return [Answer(self.answer, tokens=9, finished=True) for _ in prompts]

    def loglikelihood(self, questions: Any, **_: Any) -> Any:
        from trimtab.models.protocol import Likelihood

        return [
            Likelihood(self.shift - sum(map(ord, q.text)) / 100, tokens=len(q.text.split()))
            for q in questions
        ]


FinishedRun = Callable[..., Path]


def make_finished_run(
    workspace: Path, roles: Any = (), change: Callable[[Any], None] = lambda run: None, **more: Any
) -> Path:
    """Make a finished run without training: real suites, records, figures and ledger, weights of zeros.

    `change` is called with the run before its stages are stated; `roles` are fixed before training; `more` is configuration.
    """
    from trimtab.run import evidence
    from trimtab.run.config import RunConfig, Sizes
    from trimtab.run.directory import STAGES, open_run

    small = dict.fromkeys(Sizes.model_fields, 2)
    config = RunConfig(roles=roles, sizes=Sizes(**small), mechanisms=("adversarial", "bias"), **more)
    run = open_run(workspace, config, fresh=True)
    evidence.started(run, config, Fake.digest)
    for name in STAGES:
        run.stage(name).begin()
    _measured(run, config)
    _recorded(run)
    _trained(run)
    points = [{"mechanism": "bias", "strength": s, "chosen": s == 1, "effect": 0.5 - s / 4, "effect_name": "|pair gap|", "cost": None, "cost_name": "rise of nll per token"} for s in (0.5, 1.0)]  # fmt: skip
    for name in STAGES:
        run.stage(name).finish(model=Fake.digest, points=points)
    change(run)
    for name in STAGES:
        evidence.stage_done(run, name)
    evidence.verdict(run, config)
    return run.folder


@pytest.fixture(scope="session")
def finished_run() -> FinishedRun:
    """Return `make_finished_run`."""
    return make_finished_run


def sft_records(count: int) -> list[Any]:
    """Return different records as the adversarial mechanism makes them."""
    from trimtab.records.record import Lineage, Record, conversation

    lineage = Lineage(generator=Fake.digest, operator="twin", time="2026-01-31T00:00:00Z")
    return [
        Record(kind="sft", messages=conversation(f"Why {i}?", "So."), source="synthetic", lineage=lineage)
        for i in range(count)
    ]


def _recorded(run: Any) -> None:
    from trimtab.records.record import Record

    pair = [Record(kind="pair", text_a="a ü", text_b="b", mechanism="bias", source="human")]
    for name, kept in (("adversarial", sft_records(3)), ("bias", pair)):
        run.stage("records").write_records(kept, name)
        run.stage("screen").write_records(kept, name)


def _measured(run: Any, config: Any) -> None:
    from trimtab.probes.registry import probe_for
    from trimtab.run.config import charter_of
    from trimtab.run.measure import reattack_cases, test_suites

    def measure(model: Fake, system: str) -> list[Any]:
        suites = test_suites(config.sizes, charter_of(config)).values()
        return [o for kind, cases in suites for o in probe_for(kind).measure(model, cases, system=system)]

    run.stage("before").write_outcomes(measure(Fake("Sure, here is how you do it, step by step."), "before"))
    last = Fake("I'm sorry, but I can't help with that.", 0.5)
    for name, shift in (("outcomes", 0.5), ("without_guard", 0.5), ("guard_alone", 0.0)):
        run.stage("after").write_outcomes(measure(Fake(last.answer, shift), "after"), name)
    again = probe_for("attack").measure(last, reattack_cases(config.sizes), system="after")
    run.stage("reattack").write_outcomes(again)


def _trained(run: Any) -> None:
    from trimtab.models.system import adapter_folder, write_system

    for folder, names in (
        (adapter_folder(run.folder, "bias"), ("adapter_config.json", "adapter_model.safetensors")),
        (run.folder / "guard", ("guard.json", "guard.safetensors")),
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_bytes(b"{}" if name.endswith("json") else bytes(8) + b"{}")
    write_system(run.folder, base="fake", base_digest=Fake.digest, strengths={"bias": 1.0}, guard=True)
