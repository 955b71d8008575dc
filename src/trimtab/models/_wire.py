"""What goes over the wire to an endpoint: one request, what it costs, and what its reply says."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from trimtab.models.protocol import Answer, Likelihood

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

Body = dict[str, Any]

BACKOFF, LONGEST_BACKOFF, LONGEST_RETRY_AFTER = 0.5, 30.0, 120.0  # seconds
# What the client would tell of this machine, in headers named X-Stainless-…
_UNASKED = [
    "Lang",
    "Package-Version",
    "OS",
    "Arch",
    "Runtime",
    "Runtime-Version",
    "Async",
    "Retry-Count",
    "Read-Timeout",
]


class FailedError(Exception):
    """Why a request brought no reply. `again`: worth another try; `lost`: nothing came back at all."""

    def __init__(
        self, why: str, *, status: int = 0, code: str = "", wait: float = 0.0, again: bool = False,
        lost: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(why)
        self.status, self.code, self.wait, self.again, self.lost = status, code, wait, again, lost

    def after(self, tries: int, earlier: str) -> FailedError:
        """Say in the message at which try this was, and what the one before failed with."""
        if tries > 1:
            before = f"; before: {earlier}" if earlier != str(self) else ""
            self.args = (f"{self} (try {tries}{before})",)
        return self


@dataclass
class Meter:
    """Counts requests, tokens and money, and holds back what could pass a cap."""

    max_requests: int | None
    max_usd: float | None
    usd_input: float  # per token, as is usd_output
    usd_output: float
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    in_flight: int = 0
    held: float = 0.0
    stopped: str = ""  # why a request was held back for good
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def usd(self) -> float:
        """Spent so far, in USD at the prices given."""
        return self.input_tokens * self.usd_input + self.output_tokens * self.usd_output

    def start(self) -> None:
        """Forget what an interrupted call held; an event belongs to one loop."""
        self.in_flight, self.held, self.freed = 0, 0.0, asyncio.Event()

    @asynccontextmanager
    async def room(self, body: Body, *, counted: bool = True) -> AsyncIterator[None]:
        """Hold the most that this request can cost while it runs; raise `FailedError` at a cap.

        Waits while only the requests under way, which hold more than they will cost, stand in the way.
        """
        cost = _input_most(body) * self.usd_input + _output_limit(body) * self.usd_output
        while self.in_flight and self._full(cost) and not (counted and self._used_up()):
            self.freed.clear()
            await self.freed.wait()
        if why := (self._used_up() if counted else "") or self._full(cost):
            self.stopped = why
            raise FailedError(why)
        self.requests += counted
        self.in_flight += 1
        self.held += cost
        try:
            yield
        finally:
            self.in_flight -= 1
            self.held = self.held - cost if self.in_flight else 0.0
            self.freed.set()

    def _used_up(self) -> str:
        if self.max_requests is None or self.requests < self.max_requests:
            return ""
        return f"the request cap (max_requests={self.max_requests}) is reached"

    def _full(self, cost: float) -> str:
        if self.max_usd is None or self.usd + self.held + cost <= self.max_usd:
            return ""
        spent = f"{self.usd:.6g} USD spent, the next request may cost {cost:.6g}"
        return f"the cost cap (max_cost_usd={self.max_usd:g}) is reached: {spent}"

    def count(self, body: Body, reply: Body) -> int:
        """Add a reply's usage, estimated from characters / 4 where missing; return the tokens written."""
        usage = reply.get("usage")
        read, wrote = (_whole(usage, key) for key in ("prompt_tokens", "completion_tokens"))
        self.estimated |= read is None or wrote is None
        wrote = _quarter(_written(body, reply)) if wrote is None else wrote
        self.input_tokens += _input_estimate(body) if read is None else read
        self.output_tokens += wrote
        return wrote


def _whole(usage: object, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _quarter(text: str) -> int:
    return math.ceil(len(text) / 4)


def _input_estimate(body: Body) -> int:
    return _quarter(body.get("prompt") or "".join(m.get("content", "") for m in body.get("messages", ())))


def _input_most(body: Body) -> int:
    """A token is seldom less than a byte; the template adds a few for each message (16 is generous)."""
    texts = [body.get("prompt", ""), *(m.get("content", "") for m in body.get("messages", ()))]
    return sum(len(t.encode("utf-8", "surrogatepass")) + 16 for t in texts)


def _output_limit(body: Body) -> int:
    return int(body["max_tokens"] if "max_tokens" in body else body["max_completion_tokens"])


def _written(body: Body, reply: Body) -> str:
    choice = _first_choice(reply) or {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    return text.removeprefix(body.get("prompt", "")) if isinstance(text, str) else ""


async def request(client: AsyncOpenAI, path: str, body: Body | None, seconds: float) -> bytes:
    """GET (no body) or POST once and return the reply; raise `FailedError` for anything else."""
    try:
        return await _request(client, path, body, seconds)
    except FailedError as failed:
        # Some servers repeat the key in their refusal, and messages end up in logs and reports.
        failed.args = (
            (str(failed).replace(client.api_key, "KEY"),) if len(client.api_key) > 7 else failed.args
        )
        raise


async def _request(client: AsyncOpenAI, path: str, body: Body | None, seconds: float) -> bytes:
    import openai

    options: Any = {"headers": {f"X-Stainless-{h}": openai.Omit() for h in _UNASKED}}
    options |= {"follow_redirects": False, "timeout": seconds}
    try:
        async with asyncio.timeout(seconds):  # the client's own limit starts anew with each byte
            if body is None:
                return await client.get(path, cast_to=bytes, options=options)
            return await client.post(path, cast_to=bytes, body=body, options=options)
    except openai.APIStatusError as error:
        raise _status_failure(error) from error
    except (openai.APITimeoutError, TimeoutError) as error:
        raise FailedError(f"no reply within {seconds:g} s", again=True, lost=True) from error
    except openai.APIConnectionError as error:
        why = f"the connection failed ({error.__cause__ or error})"
        raise FailedError(why, again=True, lost=True) from error
    except (openai.OpenAIError, ValueError) as error:
        raise FailedError(f"the request cannot be sent or its reply not read ({error})") from error


def _status_failure(error: APIStatusError) -> FailedError:
    status, code = error.status_code, error.code or ""
    said = error.body.get("message") if isinstance(error.body, dict) else error.body
    why = f"HTTP {status}: {_short(said)}" if said else f"HTTP {status}"
    # A used-up account answers 429 for ever.
    again = (status in (408, 409, 429) or status >= 500) and status != 501 and code != "insufficient_quota"
    wait = _retry_after(error.response.headers) if again else 0.0
    if wait > LONGEST_RETRY_AFTER:
        why, again = f"{why}; the server asks to wait {wait:.0f} s, longer than is waited here", False
    return FailedError(why, status=status, code=code, wait=wait, again=again)


def _short(value: object, limit: int = 200) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return text if len(text) <= limit else text[:limit] + "…"


def _retry_after(headers: Any) -> float:
    """Return the seconds that a server asks to wait: a number or a date (RFC 9110, 10.2.3), or milliseconds."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time()
            except ValueError:
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return 0.0


def pause(attempt: int, wait: float) -> float:
    """Return the seconds before the next try: what the server asks, and a doubling back-off with jitter."""
    backoff = min(LONGEST_BACKOFF, BACKOFF * 2.0 ** (attempt - 1))
    return wait + backoff * random.uniform(0.5, 1.0)


def json_object(reply: bytes) -> Body | None:
    """Return the JSON object in a reply, None when it is anything else (bytes that are no text, too)."""
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def said_of(name: str, models: list[Body]) -> Body | None:
    """Return the listing's entry of the model without what changes by itself."""
    aliases = {id(m): a for m in models if isinstance(a := m.get("aliases"), list)}
    named = [m for m in models if m.get("id") == name or name in aliases.get(id(m), ())]
    # A server of a single model serves it under any name.
    said = named[0] if named else models[0] if len(models) == 1 else None
    return said and {k: v for k, v in said.items() if k not in ("created", "permission")}


def _first_choice(reply: Body) -> Body | None:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def no_answer(why: str) -> Answer:
    """Return the answer of a row that has none."""
    return Answer("", 0, finished=False, error=why)


def read_answer(reply: Body, tokens: int) -> Answer:
    """Return the answer in a chat reply; anything of another shape is an answer with `error`.

    A reply that the host's content filter stopped is `blocked`; a refusal in its own field is the text.
    """
    choice = _first_choice(reply)
    message = choice.get("message") if choice else None
    if not choice or not isinstance(message, dict):
        said = f" ({_short(reply['error'])})" if reply.get("error") else ""
        return no_answer(f"the reply has no {'message' if choice else 'choices'}{said}")
    why, blocked = choice.get("finish_reason"), choice.get("finish_reason") == "content_filter"
    text = message.get("content")
    if text is None:
        text = message.get("refusal", "" if blocked else None)
    if not isinstance(text, str):
        return no_answer(
            f"the reply's content is {'null' if text is None else type(text).__name__}, not text"
        )
    if any("\ud800" <= c <= "\udfff" for c in text):
        return no_answer("the reply's content is not valid Unicode (lone surrogates)")
    return Answer(text, tokens, finished=why == "stop", blocked=blocked)


def read_scores(reply: Body, prompt: str, *, strict: bool = False) -> Likelihood | str:
    """Return the log-likelihood of `prompt` in an echoed completion, or why it is not there.

    The tokens, put together, must be the prompt, after a start token without a figure if there is one.
    Unless `strict`, an echo of exactly the prompt counts too: tokens that are parts of a character do
    not always add up as text. Only a first token may lack a figure, and is then not counted.
    """
    choice = _first_choice(reply) or {}
    found = choice.get("logprobs")
    found = found if isinstance(found, dict) else {}
    tokens, values = found.get("tokens"), found.get("token_logprobs")
    if (
        not isinstance(tokens, list)
        or not isinstance(values, list)
        or len(tokens) != len(values)
        or not tokens
    ):
        return "the reply has no token log-probabilities of the prompt"
    end = _prompt_end([str(t) for t in tokens], prompt, skip=values[0] is None)
    if end is None and not strict and choice.get("text") == prompt:
        end = len(tokens)
    if end is None:
        return "the reply's tokens do not add up to the prompt"
    scores = values[1:end] if values[0] is None else values[:end]
    if not all(isinstance(v, int | float) and math.isfinite(v) and v <= 0 for v in scores):
        return "the reply's log-probabilities are not all finite numbers of at most 0"
    if strict and not any(scores):
        return "the reply's log-probabilities are all 0"
    return Likelihood(float(sum(scores)), len(scores))


def _prompt_end(tokens: list[str], prompt: str, *, skip: bool) -> int | None:
    for start in (0, 1) if skip else (0,):
        text = ""
        for end in range(start, len(tokens)):
            text += tokens[end]
            if text == prompt:
                return end + 1
            if not prompt.startswith(text):
                break
    return None
