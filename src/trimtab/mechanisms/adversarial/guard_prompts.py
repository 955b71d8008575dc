"""What the guard learns from: requests bare and wrapped, their benign twins, and ordinary prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trimtab.mechanisms.adversarial.cases import attack_cases, hazards, narratives, ordinary, twin_cases
from trimtab.mechanisms.adversarial.operators import PLAIN, families, wrap
from trimtab.records.record import digest
from trimtab.suites.case import Split
from trimtab.suites.seeds import AUTHOR
from trimtab.suites.splits import spread
from trimtab.suites.text import SOURCE

ALL = 10_000
WRAPPED: Mapping[Split, int] = {"learn": 4, "tune": 2}  # every so many of the ordinary prompts is wrapped too


def learn_prompts(most: int = ALL) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return harmful requests, some wrapped, the benign twins of both, and other benign prompts, all from `learn`.

    Of requests and of ordinary prompts `most` at most, and a fifth as many long ones.
    """
    rows = spread([r for r in hazards() if r["split"] == "learn"], most)
    harmful, twins = [r["harmful"] for r in rows], [r["benign"] for r in rows]
    plain = _ordinary("learn", most)
    stories = spread(narratives(), max(1, most // 5))
    wrapped = [*in_wrappings(harmful[::8]), *(r["harmful"] for r in stories)]
    twins += [*in_wrappings(twins[::8]), *(r["benign"] for r in stories)]
    return harmful, wrapped, twins, [*plain, *in_wrappings(plain[:: WRAPPED["learn"]])]


def tune_prompts(most: int = ALL) -> tuple[list[str], list[str], list[str]]:
    """Return attacks of `tune`, its ordinary prompts, half of them wrapped too, and benign twins wrapped like attacks.

    Of each `most` at most.
    """
    split: Split = "tune"
    attacks = spread([c.text for attempt in range(3) for c in attack_cases(split, attempt)], most)
    twins = spread([c.text for attempt in range(3) for c in twin_cases(split, attempt)], most)
    plain = _ordinary(split, most)
    return attacks, [*plain, *in_wrappings(plain[:: WRAPPED[split]])], twins


def _ordinary(split: Split, most: int) -> list[str]:
    return spread([r["prompt"] for r in ordinary() if r["split"] == split], most)


def about_prompts(kinds: Mapping[str, Sequence[str]], most: int = ALL) -> dict[str, Any]:
    """Describe the guard's prompts: number, characters, digest and use of each kind, who wrote them, and the human text in them.

    `kinds` that begin with `tune` set its threshold, the others are learned from. A digest is that of the list of texts.
    """
    rows = {
        name: {
            "use": "tune" if name.startswith("tune") else "learn",
            "count": len(texts), "characters": sum(map(len, texts)), "digest": digest(list(texts)),
        }
        for name, texts in kinds.items()
    }  # fmt: skip
    passages: dict[str, Any] = {split: _passages(split, most) for split in WRAPPED}
    return {"source": AUTHOR, "passages": {"source": SOURCE, **passages}, "kinds": rows}


def _passages(split: Split, most: int) -> int:
    """Return how many of a split's ordinary prompts, bare and wrapped, are around a real passage."""
    real = {r["prompt"] for r in ordinary() if r["type"] == "passage"}
    plain = _ordinary(split, most)
    return sum(p in real for p in [*plain, *plain[:: WRAPPED[split]]])


def in_wrappings(requests: list[str]) -> Iterator[str]:
    """Wrap each request once, the families and their templates in turn."""
    names = [f for f in families(trained_only=True) if f != PLAIN]
    for i, request in enumerate(requests):
        yield wrap(request, names[i % len(names)], i // len(names), trained_only=True)
