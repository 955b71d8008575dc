"""What the guard learns from: requests bare and wrapped, their benign twins, and ordinary prompts."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.mechanisms.adversarial.cases import attack_cases, hazards, ordinary, twin_cases
from trimtab.mechanisms.adversarial.operators import PLAIN, families, wrap
from trimtab.suites.case import Split

WRAPPINGS = 2  # of each request


def learn_prompts() -> tuple[list[str], list[str], list[str]]:
    """Return harmful requests, the same wrapped, and benign prompts, all from `learn`."""
    rows = [r for r in hazards() if r["split"] == "learn"]
    harmful, benign = [r["harmful"] for r in rows], [r["benign"] for r in rows]
    plain = [r["prompt"] for r in ordinary() if r["split"] == "learn"]
    return (
        harmful,
        list(_wrapped(harmful)),
        [*benign, *_wrapped(benign), *plain, *list(_wrapped(plain))[::WRAPPINGS]],
    )


def tune_prompts() -> tuple[list[str], list[str]]:
    """Return attacks and benign prompts of `tune`; a fifth of the benign ones are wrapped."""
    split: Split = "tune"
    attacks = [c.text for attempt in range(3) for c in attack_cases(split, attempt)]
    plain = [r["prompt"] for r in ordinary() if r["split"] == split]
    return attacks, [*plain, *(c.text for c in twin_cases(split)), *list(_wrapped(plain))[:: 2 * WRAPPINGS]]


def _wrapped(requests: list[str]) -> Iterator[str]:
    names = [f for f in families(trained_only=True) if f != PLAIN]
    for i, request in enumerate(requests):
        for j in range(WRAPPINGS):
            yield wrap(request, names[(i + j * 4) % len(names)], i // len(names) + j, trained_only=True)
