"""An endpoint's settings, and what is wrong with them before anything is asked of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trimtab.errors import ConfigError, Problem


@dataclass(frozen=True)
class Settings:
    """Address and key of an endpoint, caps (None where there is none) and prices in USD for a million tokens, read and written."""

    url: str
    key: str = field(repr=False)
    concurrency: int = 8
    max_requests: int | None = None
    max_cost_usd: float | None = None
    prices: tuple[float, float] = (0.0, 0.0)
    timeout: float = 60
    retries: int = 5

    @property
    def place(self) -> str:
        """The address without a user name, a password or a query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def address(base_url: str | None = None, api_key: str | None = None) -> tuple[str, str]:
    """Return the address and the key as given, or as OPENAI_BASE_URL and OPENAI_API_KEY have them."""
    url = (base_url or os.environ.get("OPENAI_BASE_URL", "")).strip().rstrip("/")
    # Local servers want no key, but the client insists on one.
    return url, (api_key or os.environ.get("OPENAI_API_KEY", "")).strip() or "none"


def check_settings(name: str, settings: Settings) -> None:
    """Raise `ConfigError` with everything that is wrong; nothing is asked."""
    place = f"endpoint model {name!r}"
    found = [*_names(name, place, settings), *_numbers(place, settings)]
    if problem := no_price(name, settings.max_cost_usd, settings.prices):
        found.append(problem)
    if found:
        raise ConfigError(found)


def _names(name: str, place: str, settings: Settings) -> Iterator[Problem]:
    if not name.strip():
        yield Problem("endpoint.no-name", place, "the name is empty", "Name the model, as in openai/NAME.")
    if not settings.url:
        fix = "Set OPENAI_BASE_URL, for example http://127.0.0.1:8000/v1, and OPENAI_API_KEY where it asks for a key."
        yield Problem("endpoint.no-url", place, "OPENAI_BASE_URL is not set", fix)
    elif not _usable(settings.url):
        fix = "Write it as http://HOST:PORT/v1 or https://HOST/v1."
        yield Problem("endpoint.bad-url", place, "the address is not an HTTP URL", fix)
    if not (settings.key.isascii() and settings.key.isprintable()):
        # The client would quote it, as the header that it cannot send.
        fix = "Set OPENAI_API_KEY to the key as it was given, in one line."
        yield Problem("endpoint.bad-key", place, "the key has characters that no key has", fix)


def _numbers(place: str, settings: Settings) -> Iterator[Problem]:
    least: Mapping[str, tuple[float | None, float]] = {
        "concurrency": (settings.concurrency, 1),
        "retries": (settings.retries, 0),
        "max_requests": (settings.max_requests, 0),
        "max_cost_usd": (settings.max_cost_usd, 0),
        "usd_per_million_input": (settings.prices[0], 0),
        "usd_per_million_output": (settings.prices[1], 0),
        "timeout": (settings.timeout, 0),
    }
    for argument, (value, low) in least.items():
        if value is not None and not (low <= value < math.inf and (value or argument != "timeout")):
            fix = f"Give a number {'above' if argument == 'timeout' else 'of at least'} {low}."
            yield Problem("endpoint.bad-argument", place, f"{argument} is {value}", fix)


def no_price(name: str, max_cost_usd: float | None, prices: Sequence[float]) -> Problem | None:
    """Return what is wrong with a cost cap without prices (USD for a million tokens)."""
    if max_cost_usd is None or any(prices):
        return None
    fix = "Give usd_per_million_input and usd_per_million_output; `trimtab probe` takes them as --prices."
    return Problem("endpoint.no-price", f"endpoint model {name!r}", "a cost cap needs prices", fix)


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
