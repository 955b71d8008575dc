"""A local model: the same answers for the same input and seed, likelihoods as transformers computes them."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab.errors import ConfigError, ModelError
from trimtab.models import local
from trimtab.models.local import LocalModel
from trimtab.models.prefill import padded
from trimtab.models.protocol import Question, user

TEXTS = ["hi", "a longer question about the weather", "?", "and one more, of another length than the rest"]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(tiny_folder, name="dir/tiny")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def change(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_same_input_and_seed_give_the_same_answers(model: LocalModel) -> None:
    prompts = [user(t) for t in TEXTS * 10]  # more than one batch
    first = model.generate(prompts, max_tokens=6, temperature=1.0, seed=3)
    assert model.generate(prompts, max_tokens=6, temperature=1.0, seed=3) == first
    assert model.generate(prompts, max_tokens=6, temperature=1.0, seed=4) != first


def test_answers_come_in_the_order_asked(model: LocalModel) -> None:
    prompts = [user(t) for t in TEXTS]
    forward = model.generate(prompts, max_tokens=6)
    assert model.generate(prompts[::-1], max_tokens=6) == forward[::-1]
    assert len({a.text for a in forward}) > 1


def test_a_sampled_answer_says_how_undecided_it_was(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[torch.Tensor] = []

    def kept(*args: Any, **kwargs: Any) -> torch.Tensor:
        written.append(type(model.network).generate(model.network, *args, **kwargs))
        return written[-1]

    monkeypatch.setattr(model.network, "generate", kept)
    # Cut to half of its probability, what is sampled would look less undecided than the model is.
    (answer,) = model.generate([user(TEXTS[1])], max_tokens=5, temperature=0.5, seed=1)
    (row,) = written
    steps = answer.tokens + answer.finished
    with torch.inference_mode():
        shares = model.network(row).logits[0, -1 - steps : -1].double().softmax(-1)
    assert answer.entropy == pytest.approx(float(-(shares * shares.log()).sum(-1).mean()), rel=1e-4)
    assert model.generate([user(TEXTS[1])], max_tokens=5)[0].entropy is None  # nothing was drawn


def test_progress_counts_every_row_once(model: LocalModel) -> None:
    seen: list[float] = []
    model.generate([user(t) for t in TEXTS * 20], max_tokens=1, progress=seen.append)
    assert sum(seen) == 80
    assert len(seen) > 1
    seen.clear()
    model.loglikelihood([Question(t) for t in TEXTS], progress=seen.append)
    assert sum(seen) == len(TEXTS)


def plain_total(model: LocalModel, before: list[int], text: list[int]) -> float:
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([before + text])).logits[0].float()
    steps = range(len(before) - 1, len(before) + len(text) - 1)
    return sum(float(logits[i].log_softmax(-1)[token]) for i, token in zip(steps, text, strict=True))


def test_likelihood_equals_a_plain_computation_row_by_row(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    model = LocalModel(tiny_folder, name="dir/tiny")
    questions = [Question(t) for t in TEXTS] + [Question(t, user("Say something.")) for t in TEXTS]
    for question, found in zip(questions, model.loglikelihood(questions), strict=True):
        text = model.tokenizer(question.text, add_special_tokens=False)["input_ids"]
        before = [model.tokenizer.bos_token_id]
        if question.messages:
            before = model.tokenizer.apply_chat_template(
                question.messages, add_generation_prompt=True, return_dict=False
            )
        assert found.tokens == len(text)
        assert not found.truncated
        assert found.total == pytest.approx(plain_total(model, before, text), abs=1e-3)
        assert found.mean == pytest.approx(found.total / len(text))


@pytest.mark.parametrize(("plain", "rows"), [(True, 3), (False, 7)], ids=["forked", "apart"])
def test_what_follows_one_prompt_is_scored_in_one_row(
    plain: bool, rows: int, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "pick_device", lambda: ("cpu", torch.float32))
    monkeypatch.setattr(local, "caches_plainly", lambda _: plain)
    model = LocalModel(tiny_folder, name="dir/tiny")
    texts = ("A", "B", "xy", "xz", "xy", "no, not at all", "")
    prompts = ("Is it so?", "Or not, as many more words than the other say?")
    questions = [*(Question(t, user(p)) for t in texts for p in prompts), Question("and a text alone")]
    alone = [model.loglikelihood([q])[0] for q in questions]
    read: list[int] = []

    def counted(rows: list[list[int]], *about: Any) -> tuple[torch.Tensor, torch.Tensor]:
        read.append(len(rows))
        return padded(rows, *about)

    monkeypatch.setattr("trimtab.models.forks.padded", counted)
    seen: list[float] = []
    together = model.loglikelihood(questions, progress=seen.append)
    assert [s.total for s in together] == pytest.approx([s.total for s in alone], abs=1e-4)
    assert [s.tokens for s in together] == [s.tokens for s in alone]
    assert together[4] == together[8]
    assert sum(read) == rows, "two prompts and a text, or one letter, one pair and a sentence for each"
    assert sum(seen) == len(questions)
    assert sorted(i for batch in model.scoring_batches(questions) for i in batch) == list(range(15))


def test_an_empty_text_scores_nothing(model: LocalModel) -> None:
    empty, full = model.loglikelihood([Question(""), Question("a")])
    assert (empty.total, empty.tokens, empty.mean, empty.truncated) == (0.0, 0, 0.0, False)
    assert full.total < 0
    assert model.loglikelihood([Question("")])[0].tokens == 0
    assert model.generate([], max_tokens=1) == []
    assert model.generate([user("")], max_tokens=1)[0].error is None


def test_what_is_cut_to_the_context_is_reported(model: LocalModel) -> None:
    long = "x" * (model.context + 1)
    text, prompt, both = model.loglikelihood(
        [Question(long), Question("a", user(long)), Question("a", user("b"))]
    )
    assert text.truncated
    assert text.tokens < model.context
    assert (prompt.truncated, prompt.tokens) == (True, 1)
    assert not both.truncated
    cut, whole = model.generate([user(long), user("b")], max_tokens=2)
    assert (cut.truncated, whole.truncated) == (True, False)


def test_more_tokens_than_the_context_are_refused(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match=r"model\.max-tokens"):
        model.generate([user("a")], max_tokens=model.context)


def test_a_prompt_that_is_no_text_is_an_error_of_its_row_only(model: LocalModel) -> None:
    good, bad = model.generate([user("a"), user("\ud800")], max_tokens=2)
    assert good.error is None
    assert bad.error
    assert bad.text == ""
    with pytest.raises(ModelError, match=r"text 1: .*model\.not-text"):
        model.loglikelihood([Question("a"), Question("\ud800")])


def test_a_template_that_refuses_a_role_is_an_error_of_its_row(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (copy / "chat_template.jinja").write_text(refusal + template)
    model = LocalModel(copy, name="x")
    rows = model.generate([[{"role": "system", "content": "a"}, *user("b")], user("b")], max_tokens=1)
    assert "no system role" in (rows[0].error or "")
    assert rows[1].error is None


def test_the_digest_is_of_all_that_decides_an_answer(copy: Path, model: LocalModel) -> None:
    change(copy / "config.json", transformers_version="0.0")
    (copy / "README.md").write_text("another description")
    assert LocalModel(copy, name="x").digest == model.digest
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert LocalModel(copy, name="x").digest != model.digest


def test_nothing_goes_over_the_network(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something asked for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = LocalModel(tiny_folder, name="x")
    assert model.generate([user("hello")], max_tokens=2)[0].tokens
    assert model.loglikelihood([Question("hello")])[0].tokens == 5


# ---- folders that are refused


def problems_of(folder: Path) -> dict[str, str]:
    with pytest.raises(ModelError) as caught:
        LocalModel(folder, name="x")
    assert all(p.fix and str(folder) in p.place for p in caught.value.problems)
    return {p.code: p.message for p in caught.value.problems}


def test_every_missing_part_is_named_at_once(tmp_path: Path) -> None:
    assert set(problems_of(tmp_path / "none")) == {"model.missing"}
    assert set(problems_of(tmp_path)) == {"model.no-weights", "model.no-config", "model.no-tokenizer"}


def test_a_folder_without_tokenizer_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert set(problems_of(copy)) == {"model.no-tokenizer"}


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "weights.pkl", "model.ckpt"])
def test_pickled_weights_are_refused(copy: Path, pickle: str) -> None:
    (copy / "model.safetensors").rename(copy / pickle)
    assert pickle in problems_of(copy)["model.pickle"]


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("pytorch_model-00001.bin", "model.pickle"),
        ("../model.safetensors", "model.elsewhere"),
        ("sub/model.safetensors", "model.elsewhere"),
    ],
)
def test_an_index_may_name_safetensors_of_its_own_folder_alone(copy: Path, named: str, code: str) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": named}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert named in problems_of(copy)[code]
    (copy / "model.safetensors.index.json").write_text("[" * 100_000)
    assert set(problems_of(copy)) == {"model.damaged"}


def test_a_pickle_beside_safetensors_of_another_name_is_not_loaded(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    (copy / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert set(problems_of(copy)) == {"model.pickle"}


def test_a_pickle_beside_the_safetensors_is_never_opened(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was opened")

    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    assert LocalModel(copy, name="x").generate([user("a")], max_tokens=1)[0].error is None


def test_an_adapter_in_a_model_folder_is_refused(copy: Path) -> None:
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "some/model"}')
    assert set(problems_of(copy)) == {"model.adapter"}


def test_code_that_comes_with_a_model_is_not_run(copy: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('the code ran')")
    change(copy / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C"})
    assert set(problems_of(copy)) == {"model.remote-code"}


@pytest.mark.parametrize("named", ["some/kernel", {"": "some/kernel"}])
def test_compiled_code_from_the_hub_is_refused(copy: Path, named: Any) -> None:
    change(copy / "config.json", text_config={"attn_implementation": named})
    assert "some/kernel" in problems_of(copy)["model.remote-code"]


def test_missing_weights_are_not_filled_with_random_numbers(copy: Path) -> None:
    change(copy / "config.json", num_hidden_layers=3)
    assert "model.layers.2" in problems_of(copy)["model.no-weights"]


def test_damaged_files_give_one_clear_error(copy: Path) -> None:
    whole = {
        n: (copy / n).read_bytes() for n in ("model.safetensors", "tokenizer.json", "generation_config.json")
    }
    for name, content in whole.items():
        (copy / name).write_bytes(content[: len(content) // 2])
        assert set(problems_of(copy)) == {"model.damaged"}
        (copy / name).write_bytes(content)
    for text in ("{", "[]", "\x00"):
        (copy / "config.json").write_text(text)
        assert set(problems_of(copy)) == {"model.damaged"}


def test_a_tokenizer_of_another_model_is_refused(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["one too many"] = max(tokenizer["model"]["vocab"].values()) + 1
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert set(problems_of(copy)) == {"model.other-tokenizer"}


def test_a_tokenizer_without_an_end_and_a_broken_template_are_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{% for")
    assert set(problems_of(copy)) == {"model.template"}
    (copy / "tokenizer_config.json").unlink()
    assert set(problems_of(copy)) == {"model.no-end"}
