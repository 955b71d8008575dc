"""The endpoint against a server that fails in every way: no row gets an answer that the server did not give."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import ConfigError, ModelError
from trimtab.models import _wire, endpoint
from trimtab.models.batched import Batched
from trimtab.models.endpoint import EndpointModel
from trimtab.models.load import EndpointLimits, load_model
from trimtab.models.protocol import Question, user

KEY = "sk-a-secret-key-of-the-user"
Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


def said(text: Any, why: str = "stop", **more: Any) -> Reply:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": why}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 2}, **more}


@dataclass
class Script:
    """What the server says: `chat` of the body and the number of the try for this prompt."""

    chat: Callable[[dict[str, Any], int], Reply] = lambda body, _: said(
        f"to {body['messages'][-1]['content']}"
    )
    complete: Callable[[dict[str, Any]], Reply] = lambda _: (404, {"error": {"message": "no such path"}})
    models: Reply = (200, {"data": [{"id": "m", "created": 5}]})
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, body: dict[str, Any] | None) -> Reply:
        if body is None:
            return self.models
        if path.endswith("/chat/completions"):
            key = body["messages"][-1]["content"]
            with self.lock:
                self.bodies.append(body)
                self.tries[key] = self.tries.get(key, 0) + 1
            return self.chat(body, self.tries[key])
        return self.complete(body)


class Handler(BaseHTTPRequestHandler):
    script: Script

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _reply(self, body: dict[str, Any] | None) -> None:
        self.script.headers.append({k.lower(): v for k, v in self.headers.items()})
        status, content, *more = self.script.answer(self.path, body)
        if status == 0:  # hang up without a word
            self.close_connection = True
            return
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(more[0] if more else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()
    handler = type("OneHandler", (Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        script.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", script.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield script
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made between tries, none of which is."""
    made: list[float] = []
    real = _wire.pause

    def none(attempt: int, wait: float) -> float:
        made.append(real(attempt, wait))
        return 0.0

    monkeypatch.setattr(endpoint, "pause", none)
    return made


def ask(model: EndpointModel, *texts: str, **settings: Any) -> list[Any]:
    return model.generate([user(t) for t in texts], max_tokens=5, **settings)


def test_rows_come_back_in_order_with_what_was_asked_for(server: Script) -> None:
    seen: list[float] = []
    model = EndpointModel("m")
    answers = ask(model, *(f"q{i}" for i in range(20)), temperature=0.5, seed=2**31 + 4, progress=seen.append)
    assert [a.text for a in answers] == [f"to q{i}" for i in range(20)]
    assert all(a.finished and a.tokens == 2 and a.error is None for a in answers)
    assert sum(seen) == 20
    body = server.bodies[0]
    assert {k: body[k] for k in ("model", "max_tokens", "temperature", "seed")} == {
        "model": "m", "max_tokens": 5, "temperature": 0.5, "seed": 4,
    }  # fmt: skip
    assert (model.usage.requests, model.usage.input_tokens, model.usage.estimated) == (20, 200, False)


def test_repeats_of_a_prompt_get_seeds_of_their_own_and_the_same_ones_again(server: Script) -> None:
    model = EndpointModel("m", concurrency=1)
    ask(model, "a", "a", "b", seed=3)
    ask(model, "a", "a", "b", seed=3)
    seeds = [b["seed"] for b in server.bodies]
    assert seeds[:3] == seeds[3:]
    assert seeds[0] == seeds[2] == 3 != seeds[1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_passing_failure_is_tried_again_with_growing_pauses(
    server: Script, pauses: list[float], status: int
) -> None:
    server.chat = lambda _, n: said("at last") if n == 4 else (status, {"error": {"message": "busy"}})
    assert ask(EndpointModel("m"), "a")[0].text == "at last"
    assert server.tries == {"a": 4}
    assert [0.25 * 2**i <= p <= 0.5 * 2**i for i, p in enumerate(pauses)] == [True] * 3


def test_what_the_server_asks_to_wait_is_waited(server: Script, pauses: list[float]) -> None:
    limited: Reply = (429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})
    server.chat = lambda _, n: said("now") if n == 2 else limited
    assert ask(EndpointModel("m"), "a")[0].text == "now"
    assert 7.25 <= pauses[0] <= 7.5


def test_a_wait_that_is_too_long_and_a_used_up_account_are_errors_at_once(
    server: Script, pauses: list[float]
) -> None:
    replies: dict[str, Reply] = {
        "long": (429, {"error": {"message": "later"}}, {"Retry-After": "86400"}),
        "spent": (429, {"error": {"message": "no money", "code": "insufficient_quota"}}),
    }
    server.chat = lambda body, _: replies[body["messages"][0]["content"]]
    long, spent = ask(EndpointModel("m"), "long", "spent")
    assert "86400 s" in long.error
    assert "no money" in spent.error
    assert pauses == []


def test_a_failure_that_stays_is_an_error_of_its_row_only(server: Script) -> None:
    server.chat = lambda body, _: (
        (500, {"error": {"message": "broken"}}) if body["messages"][0]["content"] == "bad" else said("fine")
    )
    good, bad = ask(EndpointModel("m", retries=2), "good", "bad")
    assert (good.text, good.error) == ("fine", None)
    assert (bad.text, bad.finished, server.tries["bad"]) == ("", False, 3)
    assert "HTTP 500: broken (try 3)" in bad.error


def test_a_server_that_hangs_up_or_says_nothing_in_time_is_an_error(server: Script) -> None:
    release = threading.Event()

    def chat(body: dict[str, Any], _: int) -> Reply:
        if body["messages"][0]["content"] == "slow":
            release.wait(10)
        return 0, None

    server.chat = chat
    hung = ask(EndpointModel("m", retries=1), "a")[0]
    assert "the connection failed" in hung.error
    model = EndpointModel("m", retries=0)
    model._timeout = 0.05  # after the first contact, which needs a little longer on a busy machine
    slow = ask(model, "slow")[0]
    release.set()
    assert "no reply within 0.05 s" in slow.error


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"{not json", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        ([1], "not a JSON object"),
        ({}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": "text"}, "no choices"),
        ({"choices": [{"index": 0}]}, "no message"),
        ({"choices": [{"message": "text"}]}, "no message"),
        ({"choices": [{"message": {}}]}, "content is null"),
        ({"choices": [{"message": {"content": None}}]}, "content is null"),
        ({"choices": [{"message": {"content": ["text"]}}]}, "content is list"),
        ({"choices": [{"message": {"content": "\ud800"}}]}, "lone surrogates"),
        ({"error": {"message": "overloaded"}}, "overloaded"),
    ],
)
def test_a_reply_of_another_shape_is_an_error_and_never_an_answer(
    server: Script, reply: Any, why: str
) -> None:
    server.chat = lambda *_: (200, reply)
    answer = ask(EndpointModel("m", retries=0), "a")[0]
    assert why in answer.error
    assert (answer.text, answer.tokens, answer.finished, answer.blocked) == ("", 0, False, False)


def test_an_answer_that_ran_out_of_tokens_is_not_finished_and_a_filter_is_a_block(server: Script) -> None:
    replies = {"long": said("and so on", "length"), "stopped": said(None, "content_filter"),
               "refused": (400, {"error": {"message": "filtered", "code": "content_filter"}})}  # fmt: skip
    server.chat = lambda body, _: replies[body["messages"][0]["content"]]
    long, stopped, refused = ask(EndpointModel("m"), *replies)
    assert (long.text, long.finished) == ("and so on", False)
    assert (stopped.blocked, stopped.error, refused.blocked, refused.error) == (True, None, True, None)


def test_the_cap_on_requests_counts_retries_and_lasts(server: Script) -> None:
    server.chat = lambda body, n: said("ok") if n == 2 else (500, {})
    model = EndpointModel("m", concurrency=1, max_requests=5)
    answers = ask(model, "a", "b", "c", "d")
    assert [a.text for a in answers] == ["ok", "ok", "", ""]
    assert all("max_requests=5" in a.error for a in answers[2:])
    assert len(server.bodies) == model.usage.requests == 5
    assert "max_requests=5" in ask(model, "e")[0].error
    assert len(server.bodies) == 5


def test_a_cap_ends_a_call_that_is_kept_and_the_next_one_goes_on(server: Script, tmp_path: Path) -> None:
    prompts = [user(f"q{i}") for i in range(40)]
    with pytest.raises(ModelError, match=r"max_requests=35\) is reached.*endpoint\.cap"):
        Batched(EndpointModel("m", max_requests=35), tmp_path).generate(prompts, max_tokens=5)
    assert len(server.bodies) == 35
    answers = Batched(EndpointModel("m", max_requests=8), tmp_path).generate(prompts, max_tokens=5)
    assert [a.text for a in answers] == [f"to q{i}" for i in range(40)]
    # The first 32 were a finished batch; the last eight are one, three of which had been answered in vain.
    assert len(server.bodies) == 35 + 8


@pytest.mark.parametrize("reply", [(500, {}), (200, {"choices": []})])
def test_a_server_that_fails_most_of_a_batch_ends_a_call_that_is_kept(
    server: Script, tmp_path: Path, reply: Reply, pauses: list[float]
) -> None:
    prompts = [user(f"q{i}") for i in range(40)]
    server.chat = lambda body, n: reply if int(body["messages"][0]["content"][1:]) > 34 else said("fine")
    with pytest.raises(ModelError, match=r"5 of 8 requests got no answer.*endpoint\.failing"):
        Batched(EndpointModel("m"), tmp_path).generate(prompts, max_tokens=5)
    server.chat = lambda *_: said("fine")
    answers = Batched(EndpointModel("m"), tmp_path).generate(prompts, max_tokens=5)
    assert [a.error for a in answers] == [None] * 40


def test_a_key_that_is_refused_later_ends_a_call(server: Script, tmp_path: Path) -> None:
    server.chat = lambda body, n: (401, {}) if body["messages"][0]["content"] == "q9" else said("fine")
    with pytest.raises(ModelError, match=r"endpoint\.unauthorised"):
        Batched(EndpointModel("m"), tmp_path).generate([user(f"q{i}") for i in range(10)], max_tokens=5)


def test_the_cap_on_cost_is_never_passed_however_many_ask_at_once(server: Script) -> None:
    model = EndpointModel(
        "m", concurrency=8, max_cost_usd=0.001, usd_per_million_input=10, usd_per_million_output=50
    )
    answers = ask(model, *(f"question {i}" for i in range(40)))
    done = [a for a in answers if not a.error]
    assert done
    assert len(done) < 40
    assert model.usage.usd == pytest.approx(len(server.bodies) * (10 * 10e-6 + 2 * 50e-6))
    assert model.usage.usd <= 0.001
    assert all("max_cost_usd=0.001" in a.error for a in answers if a.error)


def test_missing_usage_is_estimated_and_says_so(server: Script) -> None:
    server.chat = lambda *_: (200, {"choices": [{"message": {"content": "x" * 8}, "finish_reason": "stop"}]})
    model = EndpointModel("m")
    assert ask(model, "y" * 40)[0].tokens == 2
    assert (model.usage.input_tokens, model.usage.output_tokens, model.usage.estimated) == (10, 2, True)


# ---- keys and addresses


def test_the_key_of_the_environment_is_sent_and_this_machine_is_not_described(server: Script) -> None:
    ask(EndpointModel("m"), "a")
    assert {h["authorization"] for h in server.headers} == {f"Bearer {KEY}"}
    assert not [n for h in server.headers for n in h if n.startswith("x-stainless")]
    server.headers.clear()
    EndpointModel("m", api_key="another-key")
    assert server.headers[0]["authorization"] == "Bearer another-key"


def test_without_a_key_a_local_server_is_still_asked(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(EndpointModel("m"), "a")[0].text == "to a"


def test_a_key_that_the_server_repeats_is_never_shown(
    server: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    server.chat = lambda *_: (500, {"error": {"message": f"bad key {KEY}"}})
    model = EndpointModel("m", retries=1)
    assert "bad key KEY" in ask(model, "a")[0].error
    server.chat = lambda *_: (401, {"error": {"message": f"bad key {KEY}"}})
    with pytest.raises(ModelError, match=r"OPENAI_API_KEY.*endpoint\.unauthorised") as caught:
        ask(model, "a")
    server.models = 401, {"error": {"message": f"bad key {KEY}"}}
    with pytest.raises(ModelError, match=r"endpoint\.unauthorised") as second:
        EndpointModel("m")
    shown = "".join(capfd.readouterr()) + repr(model) + str(caught.value) + str(second.value)
    assert KEY not in shown + json.dumps(model.__dict__.get("scoring_note"))


@pytest.mark.parametrize("key", ["sk-secret\nHost: x", "sk-secret’s", "sk-secret\x00end"])
def test_a_key_that_cannot_be_sent_is_not_shown_either(server: Script, key: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoint\.bad-key") as caught:
        EndpointModel("m", api_key=key)
    assert "sk-secret" not in str(caught.value)
    assert server.headers == []


def test_a_user_name_and_password_in_the_address_are_not_shown(server: Script) -> None:
    server.models = 401, {}
    with pytest.raises(ModelError) as caught:
        EndpointModel("m", base_url=server.url.replace("//", "//me:word@"))
    assert "word" not in str(caught.value)


def test_a_redirect_to_another_address_is_not_followed(server: Script) -> None:
    server.chat = lambda *_: (307, {}, {"Location": "http://192.0.2.1/"})
    assert "HTTP 307" in ask(EndpointModel("m"), "a")[0].error


def test_an_unreachable_endpoint_is_one_clear_error(pauses: list[float]) -> None:
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:1/v1: .*endpoint\.unreachable") as caught:
        EndpointModel("m", base_url="http://127.0.0.1:1/v1")
    assert len(caught.value.problems) == 1
    assert caught.value.exit_code == 2
    assert len(pauses) == 1


def test_a_server_that_goes_away_is_not_waited_for_by_every_row(server: Script, pauses: list[float]) -> None:
    server.chat = lambda *_: (0, None)
    answers = ask(EndpointModel("m", concurrency=1, retries=3), *map(str, range(10)))
    assert all(a.error for a in answers)
    assert len(pauses) == 3
    assert server.tries == {"0": 4} | {str(i): 1 for i in range(1, 10)}


def test_a_model_that_the_server_lacks_is_named_with_those_it_has(server: Script) -> None:
    server.chat = lambda *_: (404, {"error": {"message": "no such model"}})
    with pytest.raises(ModelError, match=r"It lists: m\..*endpoint\.no-model"):
        ask(EndpointModel("other"), "a")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"base_url": "ftp://host"}, "endpoint.bad-url"),
        ({"base_url": "http://[::1"}, "endpoint.bad-url"),
        ({"concurrency": 0}, "endpoint.bad-argument"),
        ({"timeout": 0}, "endpoint.bad-argument"),
        ({"max_requests": -1}, "endpoint.bad-argument"),
        ({"max_cost_usd": 1.0}, "endpoint.no-price"),
        ({"max_cost_usd": float("nan"), "usd_per_million_input": 1}, "endpoint.bad-argument"),
    ],
)
def test_unusable_arguments_are_refused_before_anything_is_sent(
    server: Script, settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(ConfigError, match=code):
        EndpointModel("m", **settings)
    assert server.headers == []


def test_a_model_name_loads_an_endpoint_with_its_limits(server: Script) -> None:
    model = load_model("openai/m", EndpointLimits(max_requests=1))
    assert model.name == "m"
    assert not model.capabilities.trainable
    assert "max_requests=1" in [a.error or "" for a in model.generate([user("a")] * 2, max_tokens=1)][1]


def test_the_digest_is_of_what_the_server_says_of_the_model_and_not_of_the_time(server: Script) -> None:
    first = EndpointModel("m").digest
    server.models = 200, {"data": [{"id": "m", "created": 6}, {"id": "n"}]}
    assert EndpointModel("m").digest == first
    assert EndpointModel("n").digest != first


def test_asking_for_an_answer_that_does_not_come_judges_nothing(
    server: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    from trimtab.cli.ask import ask as command

    server.chat = lambda *_: (200, {"choices": []})
    with pytest.raises(ModelError, match=r"no choices.*model\.no-answer"):
        command("openai/m", "hello", tokens=5, without=[], adapter=[], json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["text"], told["label"], told["error"]) == ("", None, "the reply has no choices")


# ---- log-likelihoods


def echoed(body: dict[str, Any], *, first: float | None = None) -> Reply:
    tokens = [body["prompt"][i : i + 4] for i in range(0, len(body["prompt"]), 4)]
    scores = [first, *(-0.5 for _ in tokens[1:])]
    found = {"tokens": tokens, "token_logprobs": scores}
    return 200, {"choices": [{"text": body["prompt"], "logprobs": found}], "usage": {}}


def test_an_endpoint_that_echoes_scores_raw_texts(server: Script) -> None:
    server.complete = echoed
    model = EndpointModel("m")
    assert model.capabilities.loglikelihood
    found = model.loglikelihood([Question("12345678abcd"), Question("")])
    assert [(s.total, s.tokens) for s in found] == [(-1.0, 2), (0.0, 0)]
    with pytest.raises(ModelError, match=r"endpoint\.no-template"):
        model.loglikelihood([Question("a", user("b"))])


@pytest.mark.parametrize("value", [0.5, float("nan"), "x", None])
def test_scores_that_are_no_log_probabilities_are_not_believed(server: Script, value: Any) -> None:
    def complete(body: dict[str, Any]) -> Reply:
        status, reply = echoed(body)[:2]
        if body["prompt"].startswith("bad"):
            reply["choices"][0]["logprobs"]["token_logprobs"][1] = value
        return status, reply

    server.complete = complete
    model = EndpointModel("m")
    with pytest.raises(ModelError, match=r"text 1: .*endpoint\.not-scored"):
        model.loglikelihood([Question("good text"), Question("bad text")])


def test_an_endpoint_without_scores_says_so(server: Script) -> None:
    model = EndpointModel("m")
    assert not model.capabilities.loglikelihood
    assert "HTTP 404" in model.scoring_note
    with pytest.raises(ModelError, match=r"endpoint\.no-likelihood"):
        model.loglikelihood([Question("a")])
