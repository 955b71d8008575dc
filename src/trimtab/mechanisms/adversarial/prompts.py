"""What the guard learns from: requests bare and wrapped, their benign twins, and ordinary prompts."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.mechanisms.adversarial.cases import attack_cases, hazards, narratives, ordinary, twin_cases
from trimtab.mechanisms.adversarial.operators import PLAIN, families, wrap
from trimtab.suites.case import Split
from trimtab.suites.splits import spread

ALL = 10_000


def learn_prompts(most: int = ALL) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return harmful requests, some wrapped, the benign twins of both, and other benign prompts, all from `learn`.

    Of requests and of ordinary prompts `most` at most, and a fifth as many stories.
    """
    rows = spread([r for r in hazards() if r["split"] == "learn"], most)
    harmful, twins = [r["harmful"] for r in rows], [r["benign"] for r in rows]
    plain = spread([r["prompt"] for r in ordinary() if r["split"] == "learn"], most)
    stories = spread(narratives(), max(1, most // 5))
    wrapped = [*in_wrappings(harmful[::8]), *(r["harmful"] for r in stories)]
    twins += [*in_wrappings(twins[::8]), *(r["benign"] for r in stories)]
    return harmful, wrapped, twins, [*plain, *in_wrappings(plain[::4])]


def tune_prompts(most: int = ALL) -> tuple[list[str], list[str], list[str]]:
    """Return attacks of `tune`, its ordinary prompts, half of them wrapped too, and benign twins wrapped like attacks.

    Of each `most` at most.
    """
    split: Split = "tune"
    attacks = spread([c.text for attempt in range(3) for c in attack_cases(split, attempt)], most)
    twins = spread([c.text for attempt in range(3) for c in twin_cases(split, attempt)], most)
    plain = spread([r["prompt"] for r in ordinary() if r["split"] == split], most)
    return attacks, [*plain, *in_wrappings(plain[::2])], twins


def in_wrappings(requests: list[str]) -> Iterator[str]:
    """Wrap each request once, the families and their templates in turn."""
    names = [f for f in families(trained_only=True) if f != PLAIN]
    for i, request in enumerate(requests):
        yield wrap(request, names[i % len(names)], i // len(names), trained_only=True)
