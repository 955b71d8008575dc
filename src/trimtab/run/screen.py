"""Screens the records of a run before training, with the checks of `trimtab.screens`: no row leaves without a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab.records.record import Record
from trimtab.screens.batch import texts_of
from trimtab.screens.contamination import Contamination, case_texts, split
from trimtab.screens.form import is_empty, is_long, is_same
from trimtab.suites.case import Case

GRAM = 8  # words in a row that a record may not share with a held-out case
LONGEST = 8000  # characters


def screen(
    records: Sequence[Record], held_out: Iterable[Case]
) -> tuple[list[Record], list[tuple[Record, str]]]:
    """Return the records that are kept, and the others with the reason of each."""
    leaks = Contamination((case_texts(case) for case in held_out), gram=GRAM, near=False)
    texts = [texts_of(record) for record in records]
    kept: list[Record] = []
    dropped: list[tuple[Record, str]] = []
    seen: set[str] = set()
    for record, parts, words in zip(records, texts, split(texts), strict=True):
        leaked = record.source != "human" and any(map(leaks.shares, words))
        reason = "the same record is there already" if record.id in seen else _why_not(record, parts, leaked)
        seen.add(record.id)
        if reason:
            dropped.append((record, reason))
        else:
            kept.append(record)
    return kept, dropped


def _why_not(record: Record, texts: Sequence[str], leaked: bool) -> str:
    if is_empty(texts):
        return "a text is empty"
    if is_long(texts, LONGEST):
        return f"longer than {LONGEST} characters"
    if is_same(record, texts):
        return "both texts are the same" if record.kind == "pair" else "chosen and rejected are the same"
    return "shares eight words in a row with a held-out case" if leaked else ""
