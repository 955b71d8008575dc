"""What the guard learns from: requests bare and wrapped, their benign twins, and ordinary prompts."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.mechanisms.adversarial.cases import attack_cases, hazards, narratives, ordinary, twin_cases
from trimtab.mechanisms.adversarial.operators import PLAIN, families, wrap
from trimtab.suites.case import Split


def learn_prompts() -> tuple[list[str], list[str], list[str], list[str]]:
    """Return harmful requests, the same wrapped, their benign twins, and other benign prompts, all from `learn`."""
    rows = [r for r in hazards() if r["split"] == "learn"]
    harmful, twins = [r["harmful"] for r in rows], [r["benign"] for r in rows]
    plain = [r["prompt"] for r in ordinary() if r["split"] == "learn"]
    stories = narratives()
    benign = [*_wrapped(twins[::5]), *plain, *_wrapped(plain[::4]), *(r["benign"] for r in stories)]
    return harmful, [*_wrapped(harmful[::5]), *(r["harmful"] for r in stories)], twins, benign


def tune_prompts() -> tuple[list[str], list[str], list[str]]:
    """Return attacks of `tune`, its ordinary prompts, half of them wrapped too, and benign twins wrapped like attacks."""
    split: Split = "tune"
    attacks = [c.text for attempt in range(3) for c in attack_cases(split, attempt)]
    twins = [c.text for attempt in range(3) for c in twin_cases(split, attempt)]
    plain = [r["prompt"] for r in ordinary() if r["split"] == split]
    return attacks, [*plain, *_wrapped(plain[::2])], twins


def _wrapped(requests: list[str]) -> Iterator[str]:
    """Wrap each request once, the families and their templates in turn."""
    names = [f for f in families(trained_only=True) if f != PLAIN]
    for i, request in enumerate(requests):
        yield wrap(request, names[i % len(names)], i // len(names), trained_only=True)
