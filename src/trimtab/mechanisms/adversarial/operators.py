"""Attack operators: they wrap a request, harmful or benign, so that it slips past a refusal."""

from __future__ import annotations

import base64
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PLAIN = "plain"
HELD_OUT = "fiction"  # this family is never trained on: test cases use it, records do not


@dataclass(frozen=True)
class Operator:
    """A family of wrappings. The last template is kept for test cases."""

    name: str
    templates: tuple[str, ...]
    transform: str = ""

    def apply(self, request: str, variant: int) -> str:
        """Return the request, wrapped in template number `variant`, counted round."""
        fields = self._fields(request)
        # In one pass, so that braces in the request stay what they are.
        return re.sub(r"\{(\w+)\}", lambda m: fields.get(m[1], m[0]), self.template(variant))

    def template(self, variant: int) -> str:
        """Return template number `variant`, counted round."""
        return self.templates[variant % len(self.templates)]

    def _fields(self, request: str) -> dict[str, str]:
        if self.transform == "base64":
            return {"coded": base64.b64encode(request.encode()).decode()}
        if self.transform == "spaced":
            return {"coded": "-".join(request)}
        if self.transform == "parts":
            words = request.split()
            third = max(1, len(words) // 3)
            parts = words[:third], words[third : 2 * third], words[2 * third :]
            return {key: " ".join(part) for key, part in zip("abc", parts, strict=True)}
        return {"request": request}

    @property
    def trained(self) -> Operator:
        """The operator with the templates that records may use."""
        return Operator(self.name, self.templates[:-1], self.transform)


@cache
def operators() -> dict[str, Operator]:
    """Return all operators by name."""
    text = files(__package__).joinpath("operators.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["operator"]
    return {r["name"]: Operator(r["name"], tuple(r["templates"]), r.get("transform", "")) for r in rows}


def families(*, trained_only: bool = False) -> list[str]:
    """Return the names of the attack families, `plain` first."""
    return [PLAIN, *(n for n in operators() if not (trained_only and n == HELD_OUT))]


def template(family: str, variant: int, *, trained_only: bool = False) -> str:
    """Return the text around the request that `wrap` uses; `plain` has nothing around it."""
    if family == PLAIN:
        return "{request}"
    operator = operators()[family]
    return (operator.trained if trained_only else operator).template(variant)


def wrap(request: str, family: str, variant: int, *, trained_only: bool = False) -> str:
    """Return `request` in the wrapping of `family`; `plain` leaves it as it is."""
    if family == PLAIN:
        return request
    operator = operators()[family]
    return (operator.trained if trained_only else operator).apply(request, variant)
