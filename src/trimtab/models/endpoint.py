"""A model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, hosted), asked with the `openai` client.

Only the address that the user named is contacted; redirects are not followed, and the headers in which
the client describes this machine are left out. The event loop is private: one per call.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from trimtab.errors import ModelError, Problem
from trimtab.models._settings import Settings, address, check_settings
from trimtab.models._wire import (
    Body,
    FailedError,
    Meter,
    json_object,
    no_answer,
    pause,
    read_answer,
    read_scores,
    request,
    said_of,
)
from trimtab.models.protocol import Answer, Capabilities, Likelihood, Messages, Progress, Question
from trimtab.records.record import digest, sha256

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")

CHAT, SCORE = "/chat/completions", "/completions"
TEST_TEXT = "The quick brown fox jumps over the lazy dog."
FIRST_CONTACT_TRIES, FIRST_CONTACT_SECONDS = 2, 15.0


@dataclass(frozen=True)
class Usage:
    """What was asked and used so far; `usd` at the prices given. `estimated`: some reply had no usage figures.

    `requests` counts what was sent for rows, retries included; of the start-up test only the tokens count.
    A request without a reply (an error status, a time-out) costs nothing here.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    estimated: bool


class EndpointModel:
    """A model that an OpenAI-compatible endpoint serves under `name`.

    The endpoint's weights cannot be hashed: `digest` is the SHA-256 of the canonical JSON of the host, the
    model's name and what `/models` says of it (times and permissions left out, they change by themselves).
    The same digest therefore does not prove the same weights.

    `capabilities.loglikelihood` is measured at the start: `/completions` must return the prompt's own
    token log-probabilities (`echo`). It means raw text only, the chat template being unknown here;
    `scoring_note` says what the test found.

    Raises `ConfigError` for unusable arguments, `ModelError` when the endpoint cannot be reached
    (`endpoint.unreachable`), refuses the key (`endpoint.unauthorised`) or lacks the model (`endpoint.no-model`).
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        concurrency: int = 8,
        max_requests: int | None = None,
        max_cost_usd: float | None = None,
        usd_per_million_input: float = 0,
        usd_per_million_output: float = 0,
        timeout: float = 60,
        retries: int = 5,
    ) -> None:
        """Meet the endpoint; `base_url` and `api_key` default to OPENAI_BASE_URL and OPENAI_API_KEY.

        `timeout` is in seconds for a whole reply, the caps are over the life of this object, prices in USD.
        """
        self.name = name
        self._url, self._key = address(base_url, api_key)
        self._concurrency, self._timeout, self._retries = concurrency, timeout, retries
        prices = (usd_per_million_input, usd_per_million_output)
        caps = (concurrency, max_requests, max_cost_usd, prices, timeout, retries)
        settings = Settings(self._url, self._key, *caps)
        check_settings(name, settings)
        self._place = settings.place
        self._meter = Meter(max_requests, max_cost_usd, prices[0] / 1e6, prices[1] / 1e6)
        self._worked: set[str] = set()
        self._gone = False
        self._limit = "max_tokens"
        self._listed: list[str] = []
        self._echo: int | None = None
        self.scoring_note = ""
        self.digest: str = _run(self._first_contact())
        self.capabilities = Capabilities(
            loglikelihood=self._echo is not None, trainable=False, template=False
        )

    @property
    def usage(self) -> Usage:
        """What was asked and used over the life of this object."""
        m = self._meter
        return Usage(m.requests, m.input_tokens, m.output_tokens, m.usd, m.estimated)

    @property
    def stopped(self) -> str:
        """The cap that has held back a request; empty while none has."""
        return self._meter.stopped

    def generate(
        self, prompts: Sequence[Messages], *, max_tokens: int, temperature: float = 0.0, seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Answer each conversation, in order; a row without a usable reply is an answer with `error`.

        The seed is sent modulo 2**31; the second and later repeats of a prompt in one call get seeds of
        their own, or they would all be the same sample. Raises `ModelError` when the key or the model is
        refused before anything was answered.
        """
        asked = {"model": self.name, "max_tokens": max_tokens, "temperature": temperature}
        seeds = _seeds(prompts, seed)
        bodies = [{**asked, "messages": list(p), "seed": s} for p, s in zip(prompts, seeds, strict=True)]
        return self._each(bodies, self._answer, progress)

    def loglikelihood(
        self, questions: Sequence[Question], *, progress: Progress | None = None
    ) -> list[Likelihood]:
        """Score each raw text, in order; a first token that the endpoint gives no figure for is not counted.

        Raises `ModelError` when the endpoint cannot score (`endpoint.no-likelihood`), when a question has
        messages (`endpoint.no-template`), and when texts were not scored (`endpoint.not-scored`, each named).
        """
        self._refuse_unscorable(questions)
        bodies = [self._scoring_body(q.text, self._echo or 0) for q in questions]
        scores = self._each(bodies, self._score, progress)
        fix = "Ask again, raise the cap, or leave these texts out."
        bad = [(i, s) for i, s in enumerate(scores) if isinstance(s, str)]
        if bad:
            raise ModelError([Problem("endpoint.not-scored", f"text {i}", s, fix) for i, s in bad])
        return [s for s in scores if isinstance(s, Likelihood)]

    def _refuse_unscorable(self, questions: Sequence[Question]) -> None:
        problems = []
        if not self.capabilities.loglikelihood:
            fix = "Use an endpoint whose /completions knows `echo` (vLLM does), or a model on this machine."
            problems.append(Problem("endpoint.no-likelihood", self._place, self.scoring_note, fix))
        if chats := [i for i, q in enumerate(questions) if q.messages]:
            what = f"{len(chats)} texts follow messages (first text {chats[0]}), whose template is unknown"
            fix = "Score raw texts only, or use a model on this machine."
            problems.append(Problem("endpoint.no-template", self._place, what, fix))
        if problems:
            raise ModelError(problems)

    # One call: a private loop, one client, one task for each row.

    def _each(
        self, bodies: list[Body], job: Callable[[AsyncOpenAI, Body], Awaitable[T]], progress: Progress | None
    ) -> list[T]:
        return _run(self._all(bodies, job, progress)) if bodies else []

    async def _all(
        self, bodies: list[Body], job: Callable[[AsyncOpenAI, Body], Awaitable[T]], progress: Progress | None
    ) -> list[T]:
        slots = asyncio.Semaphore(self._concurrency)
        async with self._session() as client:

            async def row(body: Body) -> T:
                async with slots:
                    result = await job(client, body)
                if progress:
                    progress(1)
                return result

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(row(body)) for body in bodies]
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncOpenAI]:
        from openai import AsyncOpenAI

        self._meter.start()
        async with AsyncOpenAI(
            base_url=self._url, api_key=self._key, max_retries=0, timeout=self._timeout
        ) as client:
            yield client

    async def _answer(self, client: AsyncOpenAI, body: Body) -> Answer:
        try:
            reply, tokens = await self._chat(client, body)
        except FailedError as failed:
            if failed.code == "content_filter":  # some hosts block a prompt with status 400
                return Answer("", 0, finished=False, blocked=True)
            self._stop_if_refused(failed, CHAT)
            return no_answer(str(failed))
        return read_answer(reply, tokens)

    async def _chat(self, client: AsyncOpenAI, body: Body) -> tuple[Body, int]:
        if self._limit not in body:
            body = _renamed(body, self._limit)
        try:
            return await self._send(client, CHAT, body, self._retries + 1)
        except FailedError as failed:
            new = "max_completion_tokens"  # the newer name, which some models insist on
            if failed.status != 400 or new in body or new not in str(failed):
                raise
            self._limit = new
        return await self._send(client, CHAT, _renamed(body, new), self._retries + 1)

    async def _score(self, client: AsyncOpenAI, body: Body) -> Likelihood | str:
        if not body["prompt"]:
            return Likelihood(0.0, 0)
        try:
            reply, _ = await self._send(client, SCORE, body, self._retries + 1)
        except FailedError as failed:
            self._stop_if_refused(failed, SCORE)
            return str(failed)
        return read_scores(reply, body["prompt"])

    async def _send(
        self, client: AsyncOpenAI, path: str, body: Body, tries: int, *, counted: bool = True
    ) -> tuple[Body, int]:
        """Post until there is a reply; return it with the number of tokens written."""
        earlier = ""
        for attempt in itertools.count(1):
            try:
                return await self._post(client, path, body, counted)
            except FailedError as failed:
                # A server that is gone is not waited for again by every row that is left.
                last = attempt >= tries or (self._gone and failed.lost)
                self._gone = failed.lost and last
                if last or not failed.again:
                    raise failed.after(attempt, earlier) from failed.__cause__
                earlier = str(failed)
                await asyncio.sleep(pause(attempt, failed.wait))
        raise AssertionError("the loop above has no end")

    async def _post(self, client: AsyncOpenAI, path: str, body: Body, counted: bool) -> tuple[Body, int]:
        async with self._meter.room(body, counted=counted):
            reply = json_object(await request(client, path, body, self._timeout))
            tokens = self._meter.count(body, reply or {})
        if reply is None:
            raise FailedError("the reply is not a JSON object")
        self._gone = False
        self._worked.add(path)
        return reply, tokens

    # First contact.

    async def _first_contact(self) -> str:
        async with self._session() as client:
            listing = await self._models(client)
            await self._test_scoring(client, forbidden=listing is None)
        self._gone = False
        found = (listing or {}).get("data")
        models = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
        self._listed = [str(m.get("id")) for m in models]
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        # The text and not the values: a listing may hold numbers that canonical JSON refuses.
        text = json.dumps(said_of(self.name, models), sort_keys=True)
        return digest({"host": host, "model": self.name, "listed": text})

    async def _models(self, client: AsyncOpenAI) -> Body | None:
        """Return what GET /models says: {} when nothing usable, None when this key may not ask."""
        for attempt in itertools.count(1):
            try:
                seconds = min(self._timeout, FIRST_CONTACT_SECONDS)
                return json_object(await request(client, "/models", None, seconds)) or {}
            except FailedError as failed:
                if failed.status == 401:
                    raise self._refusal(failed) from failed
                if not failed.again:
                    return None if failed.status == 403 else {}
                if attempt == FIRST_CONTACT_TRIES:
                    fix = "Start the server, or correct OPENAI_BASE_URL (it usually ends with /v1)."
                    raise ModelError(
                        Problem("endpoint.unreachable", self._place, str(failed), fix)
                    ) from failed
                await asyncio.sleep(pause(attempt, failed.wait))
        raise AssertionError("the loop above has no end")

    async def _test_scoring(self, client: AsyncOpenAI, *, forbidden: bool) -> None:
        """Find out whether /completions returns a prompt's log-probabilities, writing 0 tokens or 1."""
        for written in (0, 1):
            body = self._scoring_body(TEST_TEXT, written)
            try:
                reply, _ = await self._send(client, SCORE, body, FIRST_CONTACT_TRIES, counted=False)
            except FailedError as failed:
                # A key that may not list models may still ask them; refused twice, it is wrong.
                if forbidden and failed.status in (401, 403):
                    raise self._refusal(failed) from failed
                self.scoring_note = f"the start-up test of {SCORE} failed: {failed}"
                if failed.status in (400, 422):  # some servers refuse to write 0 tokens
                    continue
                return
            score = read_scores(reply, TEST_TEXT, strict=True)
            if isinstance(score, Likelihood):
                self._echo, self.scoring_note = written, f"{SCORE} returns a prompt's log-probabilities"
                return
            self.scoring_note = f"the start-up test of {SCORE} returned no prompt log-probabilities: {score}"

    def _scoring_body(self, text: str, written: int) -> Body:
        body = {"model": self.name, "prompt": text, "max_tokens": written, "temperature": 0}
        return {**body, "echo": True, "logprobs": 1}

    def _stop_if_refused(self, failed: FailedError, path: str) -> None:
        # Once it has worked, a refusal is about one row (some hosts answer 403 to a prompt they dislike), but of the key.
        if failed.status == 401 or (failed.status in (403, 404) and path not in self._worked):
            raise self._refusal(failed) from failed

    def _refusal(self, failed: FailedError) -> ModelError:
        if failed.status == 404:
            listed = f"It lists: {', '.join(self._listed[:10])}. " if self._listed else ""
            fix = f"{listed}Correct the model's name or OPENAI_BASE_URL (it usually ends with /v1)."
            return ModelError(Problem("endpoint.no-model", f"{self._place} {self.name}", str(failed), fix))
        fix = "Set OPENAI_API_KEY to a key that may use this model."
        return ModelError(Problem("endpoint.unauthorised", self._place, str(failed), fix))


def _run(job: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(job)
    with ThreadPoolExecutor(1) as pool:  # a notebook has a running loop of its own
        return pool.submit(asyncio.run, job).result()


def _seeds(prompts: Sequence[Messages], seed: int) -> Iterator[int]:
    seen: Counter[str] = Counter()
    for prompt in prompts:
        key = json.dumps(prompt, sort_keys=True)
        yield seed % 2**31 if not seen[key] else int(sha256(f"{seed}:{seen[key]}".encode())[:8], 16) % 2**31
        seen[key] += 1


def _renamed(body: Body, limit: str) -> Body:
    names = ("max_tokens", "max_completion_tokens")
    return {limit if key in names else key: value for key, value in body.items()}
