"""Screens the records of a run before training: no row leaves without a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from trimtab.records.record import Record
from trimtab.suites.case import Case

GRAM = 8  # words in a row that a record may not share with a held-out case
LONGEST = 8000  # characters


def screen(
    records: Sequence[Record], held_out: Iterable[Case]
) -> tuple[list[Record], list[tuple[Record, str]]]:
    """Return the records that are kept, and the others with the reason of each."""
    # Wrappings are shared by design: what is compared is what remains without text that many cases share.
    common = Counter(g for case in held_out for g in {g for text in _said(case) for g in _grams(text)})
    grams = {g for g, cases in common.items() if cases < 3}
    kept: list[Record] = []
    dropped: list[tuple[Record, str]] = []
    seen: set[str] = set()
    for record in records:
        reason = _why_not(record, grams, seen)
        seen.add(record.id)
        if reason:
            dropped.append((record, reason))
        else:
            kept.append(record)
    return kept, dropped


def _why_not(record: Record, grams: set[tuple[str, ...]], seen: set[str]) -> str:
    if record.id in seen:
        return "the same record is there already"
    texts = _texts(record)
    if any(not t.strip() for t in texts):
        return "a text is empty"
    if sum(map(len, texts)) > LONGEST:
        return f"longer than {LONGEST} characters"
    if record.kind in ("preference", "pair") and texts[-1] == texts[-2]:
        return "both texts are the same" if record.kind == "pair" else "chosen and rejected are the same"
    if record.source != "human" and any(g in grams for t in texts for g in _grams(t)):
        return "shares eight words in a row with a held-out case"
    return ""


def _said(case: Case) -> list[str]:
    """Return every text of a case that a record could give away."""
    more = (getattr(case, name, "") for name in ("text_b", "chosen", "rejected"))
    return [t for t in (case.text, *more) if t]


def _texts(record: Record) -> list[str]:
    if record.kind == "pair":
        return [record.text_a or "", record.text_b or ""]
    if record.kind == "preference":
        chosen, rejected = record.chosen or (), record.rejected or ()
        return [*(m.content for m in chosen[:-1]), chosen[-1].content, rejected[-1].content]
    return [m.content for m in record.messages or ()]


def _grams(text: str) -> list[tuple[str, ...]]:
    words = text.lower().split()
    return [tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)]
