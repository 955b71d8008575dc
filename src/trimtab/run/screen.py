"""Screens the records of a run before training, with the checks of `trimtab.screens`: no row leaves without a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab.records.record import Record
from trimtab.screens.batch import arrow, plain_words, texts_of
from trimtab.screens.contamination import Contamination, case_texts
from trimtab.screens.form import is_empty, is_long, is_same
from trimtab.suites.case import Case

LONGEST = 8000  # characters


def screen(
    records: Sequence[Record], held_out: Iterable[Case]
) -> tuple[list[Record], list[tuple[Record, str]]]:
    """Return the records that are kept, and the others with the reason of each."""
    leaks = Contamination((case_texts(case) for case in held_out), near=False)
    kept: list[Record] = []
    dropped: list[tuple[Record, str]] = []
    seen: set[str] = set()
    for record in records:
        reason = "the same record is there already" if record.id in seen else _why_not(record, leaks)
        seen.add(record.id)
        if reason:
            dropped.append((record, reason))
        else:
            kept.append(record)
    return kept, dropped


def _why_not(record: Record, leaks: Contamination) -> str:
    texts = texts_of(record)
    if is_empty(texts):
        return "a text is empty"
    if is_long(texts, LONGEST):
        return f"longer than {LONGEST} characters"
    if is_same(record, texts):
        return "both texts are the same" if record.kind == "pair" else "chosen and rejected are the same"
    if record.source != "human" and any(map(leaks.shares, _words(texts))):
        return "shares eight words in a row with a held-out case"
    return ""


def _words(texts: Sequence[str]) -> list[list[str]]:
    return [plain.split() for plain in plain_words(arrow(texts)).to_pylist()]
