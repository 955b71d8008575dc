"""What a trainer learns of a record, and that it learns the same however it is computed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.models import local
from trimtab.models.guard import Layers, logits
from trimtab.models.local import LocalModel
from trimtab.models.protocol import Question, user
from trimtab.records.record import Lineage, Record, conversation
from trimtab.training import adapter, dpo, retention
from trimtab.training.adapter import public_name
from trimtab.training.anchor import own_answers, refusals
from trimtab.training.dpo import train_dpo
from trimtab.training.guard import mean_network
from trimtab.training.rows import MAX_LENGTH, row
from trimtab.training.sft import train_sft

ASKED = "Why is the sky blue?"
RECORDS = [
    Record(kind="sft", messages=conversation(f"{ASKED} {i}", "Air scatters blue light.")) for i in range(8)
]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name="tiny")


@pytest.fixture(params=["GPT2", "GPTNeoX", "Phi3", "Mamba"])
def other(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LocalModel:
    """Return a model whose layers are named, and stored, otherwise than Llama's."""
    import torch
    import transformers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    if request.param == "Mamba":
        size = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, **size, **ends}
    torch.manual_seed(7)
    config = getattr(transformers, f"{request.param}Config")(**shape)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    return LocalModel(tmp_path / "other", name="other")


def learned(model: LocalModel, *turns: str) -> str:
    made = row(model, Record(kind="sft", messages=conversation(*turns)))
    assert len(made["input_ids"]) == len(made["labels"])
    tokens = [t for t in made["labels"] if t != -100]
    assert made["labels"][-len(tokens) :] == tokens == made["input_ids"][-len(tokens) :]
    return str(model.tokenizer.decode(tokens))


def test_the_last_turn_and_its_end_are_learned(model: LocalModel) -> None:
    end = model.tokenizer.eos_token
    assert learned(model, ASKED, "Air scatters blue light.").strip() == f"Air scatters blue light.{end}"
    talk = (ASKED, "Air does it.", "And why is it red at dusk?", "The way through the air is longer.")
    assert learned(model, *talk).strip() == f"{talk[-1]}{end}"


def test_a_reply_that_was_cut_does_not_teach_to_stop(model: LocalModel) -> None:
    assert (
        learned(model, ASKED, "Air scatters blue light more than").strip()
        == "Air scatters blue light more than"
    )


def test_scoring_only_what_is_learned_changes_no_loss(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer import utils

    before = utils._use_triton
    fast = train_sft(model, RECORDS, tmp_path / "fast", seed=0)
    assert utils._use_triton is before
    monkeypatch.setattr(adapter, "_scoring_what_is_learned", nullcontext)
    whole = train_sft(model, RECORDS, tmp_path / "whole", seed=0)
    assert fast.first_loss == pytest.approx(whole.first_loss, rel=1e-5)
    assert fast.last_loss == pytest.approx(whole.last_loss, rel=1e-4)


def test_a_network_attends_as_before_when_it_was_trained(model: LocalModel, tmp_path: Path) -> None:
    seen: list[str] = []
    hook = model.network.register_forward_pre_hook(
        lambda net, _: seen.append(net.config._attn_implementation)
    )
    before = model.network.config._attn_implementation
    train_sft(model, RECORDS[:2], tmp_path / "adapter", seed=0)
    hook.remove()
    assert set(seen) == {"eager"}
    assert model.network.config._attn_implementation == before != "eager"


def test_a_mean_network_gives_the_mean_of_the_log_odds() -> None:
    draw = np.random.default_rng(0)

    def network() -> Layers:
        shapes = [((6, 4), (4,)), ((4, 1), (1,))]
        return [
            (draw.normal(size=w).astype(np.float32), draw.normal(size=b).astype(np.float32))
            for w, b in shapes
        ]

    networks, vectors = [network() for _ in range(3)], draw.normal(size=(5, 6)).astype(np.float32)
    mean = np.mean([logits(n, vectors) for n in networks], axis=0)
    np.testing.assert_allclose(logits(mean_network(networks), vectors), mean, rtol=1e-5)


def test_an_adapter_names_its_base_as_others_know_it_and_counts_its_tokens(
    model: LocalModel, tmp_path: Path
) -> None:
    trained = train_sft(model, RECORDS, tmp_path / "a", seed=0)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert trained.tokens == sum(len(row(model, r)["input_ids"]) for r in RECORDS)
    assert public_name("embedded") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert public_name("hf/org/name@abc") == "org/name"
    assert public_name("dir/home/me/model/") == "model"


def test_a_model_with_other_layers_is_trained_and_its_adapter_does_what_peft_says(
    other: LocalModel, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert other.capabilities.trainable
    before = [p.clone() for p in other.network.parameters()]
    train_sft(other, RECORDS, tmp_path / "a", seed=0, rate=0.02, epochs=4)
    assert all(torch.equal(p, q) for p, q in zip(before, other.network.parameters(), strict=True))
    ids = torch.tensor([[1, 20, 30, 40]])
    with torch.inference_mode():
        bare = other.network(input_ids=ids).logits
        other.set_adapters({tmp_path / "a": 1.0})
        ours = other.network(input_ids=ids).logits
        plain = AutoModelForCausalLM.from_pretrained(other.folder)
        theirs = PeftModel.from_pretrained(plain, tmp_path / "a").eval()(input_ids=ids).logits
    assert (ours - bare).abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_each_strength_is_scored_as_by_a_model_that_has_read_nothing_before(
    other: LocalModel, tmp_path: Path
) -> None:
    train_sft(other, RECORDS, tmp_path / "a", seed=0, rate=0.02, epochs=4)
    questions = [Question(t, user(ASKED)) for t in ("Air scatters blue light.", "Because.")]
    questions.append(Question("A text alone."))
    totals = []
    for strength in (0.0, 1.0, 0.5):
        fresh = LocalModel(other.folder, name="other")
        for model in (other, fresh):
            model.set_adapters({tmp_path / "a": strength})
        totals.append([s.total for s in other.loglikelihood(questions)])
        assert totals[-1] == [s.total for s in fresh.loglikelihood(questions)]
    assert totals[0] != totals[1] != totals[2]


def test_a_model_without_linear_layers_in_blocks_is_not_trained_and_the_loop_says_so(
    model: LocalModel, tiny_folder: Path, tmp_path: Path
) -> None:
    import shutil

    from transformers import AutoModelForCausalLM, LlamaConfig

    from trimtab.run.config import RunConfig
    from trimtab.run.directory import open_run
    from trimtab.run.stages import Loop, train, trim

    shutil.copytree(tiny_folder, tmp_path / "flat")
    config = LlamaConfig.from_pretrained(tiny_folder, num_hidden_layers=0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "flat")
    flat = LocalModel(tmp_path / "flat", name="flat")
    assert not flat.capabilities.trainable
    settings = RunConfig(mechanisms=("bias",))
    loop = Loop(open_run(tmp_path / "runs", settings), settings, flat, lambda *_: lambda _: None)
    stage = loop.run.stage("train")
    stage.begin()
    stage.finish(**train(loop, stage))
    assert (stage.done or {}).keys() == {"seconds", "guard"}
    assert trim(loop, loop.run.stage("trim"))["points"] == []


def test_what_a_trainer_reads_is_what_is_counted(model: LocalModel, tmp_path: Path) -> None:
    text = "Air scatters blue light. " * 20
    prompts = [ASKED, ASKED, text]
    rows = [
        Record(kind="sft", messages=conversation(prompt, reply))
        for prompt, reply in zip(prompts, ["Air.", text, "Air."], strict=True)
    ]
    trained = train_sft(model, rows, tmp_path / "a", seed=0)
    assert trained.tokens == len(row(model, rows[0])["input_ids"]) + MAX_LENGTH
    assert (trained.records, trained.cut, trained.left_out) == (2, 1, 1)
    assert trained.to_json()["left_out"] == 1
    assert "cut" not in train_sft(model, rows[:1], tmp_path / "b", seed=0).to_json()
    with pytest.raises(InputError, match=r"train\.no-room"):
        train_sft(model, rows[2:], tmp_path / "c", seed=0)


PAIRS = [
    Record(
        kind="preference",
        chosen=conversation(f"{ASKED} {i}", "Air scatters blue light."),
        rejected=conversation(f"{ASKED} {i}", "Nobody knows why."),
    )
    for i in range(8)
]
TEXTS = [
    Record(kind="sft", messages=conversation("Tell me of iron.", f"Iron is a metal {i}.")) for i in range(6)
]


def moved(model: LocalModel, folder: Path) -> float:
    """Return KL(bare ‖ trained) on `TEXTS`, the mean over texts of that over tokens, by another way: its definition."""
    import torch

    def predictions(text: Record) -> torch.Tensor:
        made = row(model, text)
        places = [i - 1 for i, label in enumerate(made["labels"]) if label != -100]
        with torch.inference_mode():
            logits = model.network(input_ids=torch.tensor([made["input_ids"]])).logits[0, places]
        return torch.as_tensor(logits.double().softmax(-1))

    model.set_adapters({})
    bare = [predictions(t) for t in TEXTS]
    model.set_adapters({folder: 1.0})
    trained = [predictions(t) for t in TEXTS]
    model.set_adapters({})
    kl = [float((p * (p / q).log()).sum(-1).mean()) for p, q in zip(bare, trained, strict=True)]
    return float(np.mean(kl))


def test_what_is_retained_moves_less_while_the_preference_is_learned(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        retention, "WEIGHT", 100.0
    )  # random weights predict next to nothing that could change
    free = train_dpo(model, PAIRS, tmp_path / "free", seed=0, rate=0.02, epochs=6)
    kept = train_dpo(model, PAIRS, tmp_path / "kept", seed=0, rate=0.02, epochs=6, texts=TEXTS)
    assert free.last_loss < free.first_loss
    assert kept.last_loss < kept.first_loss
    change = moved(model, tmp_path / "free")
    assert moved(model, tmp_path / "kept") < change / 2
    network = peft(model, tmp_path / "free")
    each = [reported(model, network, [text]) for text in TEXTS]
    assert float(np.mean(each)) == pytest.approx(change, rel=1e-3)
    more = Record(
        kind="sft", messages=conversation("Say more.", "It rained " * 30)
    )  # and longer than the others
    alone = [*each, reported(model, network, [more])]
    assert reported(model, network, [*TEXTS, more]) == pytest.approx(float(np.mean(alone)), rel=1e-3)


def peft(model: LocalModel, folder: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model.folder), folder).eval()


def reported(model: LocalModel, network: Any, texts: list[Record]) -> float:
    """Return the divergence of a batch, as training counts it."""
    import torch

    with torch.inference_mode():
        batch = retention._batch([row(model, t) for t in texts], model)
        return float(retention.divergence(network, *batch))


def test_without_a_text_that_can_be_read_nothing_is_retained(model: LocalModel) -> None:
    long = Record(kind="sft", messages=conversation("word " * 400, "Yes."))
    assert retention.retaining(dict, model, [], 0, 0.0) is dict
    assert retention.retaining(dict, model, [long], 0, 0.0) is dict
    assert retention.retaining(dict, model, [long, TEXTS[0]], 0, 0.0) is not dict


def test_what_is_retained_is_read_by_length_all_of_it_and_never_too_much_at_once() -> None:
    lengths = [160] * 9 + [20] * 70 + [25, 90, 7]
    rows = [{"input_ids": [n] * length} for n, length in enumerate(lengths)]
    groups = retention._grouped(rows, retention.AT_ONCE)
    sizes = [(len(g), max(len(r["input_ids"]) for r in g)) for g in groups]
    assert all(number * longest <= retention.AT_ONCE for number, longest in sizes)
    assert sorted(r["input_ids"][0] for g in groups for r in g) == list(range(len(rows)))
    assert sizes.count((4, 160)) == 2, "long texts stand together"
    assert len(groups) == 6, "and short ones are not padded to them"


def test_answers_of_the_model_itself_are_told_from_others() -> None:
    def made(generator: str | None) -> Record:
        return TEXTS[0].model_copy(update={"lineage": Lineage(generator=generator)})

    assert own_answers([made("m"), made("author"), made(None), PAIRS[0]], "m") == [made("m")]


def test_refusals_are_told_by_their_cell() -> None:
    cells = ["plain/harmful", "adversarial/harmful", "plain/benign", "ordinary", None]
    made = [TEXTS[0].model_copy(update={"cell": c}) for c in cells]
    assert refusals([*made, PAIRS[0].model_copy(update={"cell": "plain/harmful"})]) == made[:2]


FULL_DISK = """
import math, resource, sys
from pathlib import Path
from typing import Any
import numpy as np
from trimtab.errors import InputError
from trimtab.models.guard import Guard
from trimtab.models.local import LocalModel
from trimtab.records.record import Record, conversation
from trimtab.training.full import train_full
from trimtab.training.sft import train_sft

model, folder = LocalModel(Path(sys.argv[1]), name="tiny"), Path(sys.argv[2])
rows = [Record(kind="sft", messages=conversation("Why?", "Because."))]
guard = Guard([(np.zeros((384, 32), np.float32), np.zeros(32, np.float32))], threshold=0.5)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the system refuses what is longer
for name, work in {
    "adapter": lambda: train_sft(model, rows, folder / "adapter", seed=0),
    "full": lambda: train_full(model, rows, folder / "full", seed=0),
    "guard": lambda: guard.save(folder / "guard"),
}.items():
    try:
        work()
    except InputError as error:
        print(name, error.problems[0].code, (folder / name / "guard.json").exists())
"""


def test_a_disk_that_refuses_weights_is_one_clear_error(tiny_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tiny_folder), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    expected = [f"{name} {name}.not-written False" for name in ("adapter", "full", "guard")]
    assert ended.stdout.splitlines() == expected, ended.stderr
    assert {p.name for p in tmp_path.iterdir()} <= {"guard"}, "nothing half written is left"


def test_the_higher_rate_is_for_what_is_retained(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def seen(*_: object, rate: float, **__: object) -> object:
        rates.append(rate)
        raise InterruptedError

    monkeypatch.setattr(dpo, "arguments", seen)
    unread = Record(kind="sft", messages=conversation("word " * 400, "Yes."))
    for texts in ([], [unread], TEXTS):
        with pytest.raises(InterruptedError):
            dpo.train_dpo(model, PAIRS, tmp_path / "a", seed=0, texts=texts)
    assert rates == [dpo.RATE, dpo.RATE, dpo.RETAINING_RATE]
