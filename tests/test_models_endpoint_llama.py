"""The endpoint against a real server: llama.cpp's, serving the embedded weights on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from trimtab.errors import ModelError
from trimtab.models.embedded import gguf_path
from trimtab.models.endpoint import EndpointModel
from trimtab.models.load import load_model
from trimtab.models.protocol import Question, user

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Start one server for the session and return its address."""
    import xllamacpp

    params: Any = xllamacpp.CommonParams()
    params.model.path = str(gguf_path())
    params.n_parallel, params.n_ctx, params.warmup = 2, 1024, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def model(address: str, monkeypatch: pytest.MonkeyPatch) -> EndpointModel:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed-here")
    loaded = load_model("openai/smollm2")
    assert isinstance(loaded, EndpointModel)
    return loaded


def test_a_real_server_answers_every_row_and_counts_its_tokens(model: EndpointModel) -> None:
    prompts = [user(f"Name a {thing}.") for thing in ("fruit", "city", "river", "colour")]
    before = model.usage.output_tokens
    answers = model.generate(prompts, max_tokens=8)
    assert [a.error for a in answers] == [None] * 4
    assert all(a.text and 0 < a.tokens <= 8 for a in answers)
    assert model.usage.requests == 4
    assert not model.usage.estimated
    assert model.usage.output_tokens - before == sum(a.tokens for a in answers)


def test_greedy_answers_repeat(model: EndpointModel) -> None:
    first = model.generate([user("Say hello.")], max_tokens=6)[0].text
    assert model.generate([user("Say hello.")], max_tokens=6)[0].text == first


def test_an_answer_that_was_cut_is_not_finished(model: EndpointModel) -> None:
    assert not model.generate([user("Tell me a long story.")], max_tokens=2)[0].finished


def test_a_prompt_beyond_the_context_is_an_error_of_its_row(model: EndpointModel) -> None:
    long, short = model.generate([user("word " * 3000), user("Hi.")], max_tokens=2)
    assert long.error
    assert long.text == ""
    assert short.error is None


def test_a_server_that_ignores_echo_gives_no_likelihoods(model: EndpointModel) -> None:
    assert not model.capabilities.loglikelihood
    assert "no prompt log-probabilities" in model.scoring_note
    with pytest.raises(ModelError, match=r"endpoint\.no-likelihood"):
        model.loglikelihood([Question("a")])


def test_the_digest_is_that_of_the_served_model(model: EndpointModel) -> None:
    assert model.digest == load_model("openai/smollm2").digest
    assert len(model.digest) == 64
