"""Rows of any number for a benchmark of screens: those of a dataset, then others like them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from trimtab.records.read import Rejected, iter_rows
from trimtab.records.shapes import ShapeError, to_record
from trimtab.screens.batch import Batch

Rows = list[tuple[str, str]]


def rows_of(path: Path) -> Rows:
    """Return what each row of a file asks and what it answers; rows that are no record are left out."""
    records = []
    for place, row in iter_rows(str(path)):
        with suppress(ShapeError):
            records += [] if isinstance(row, Rejected) else [to_record(row, place=place, checked=True)]
    batch = Batch(records)
    return list(zip(batch.prompts, batch.replies, strict=True))


def made(rows: Rows, n: int) -> Iterator[tuple[str, str]]:
    """Yield `n` rows: those of `rows`, then others like them."""
    chance = random.Random(0)
    words = [word for _, reply in rows[:5000] for word in reply.split(" ")]
    yield from rows[:n]
    for i in range(n - len(rows)):
        yield tuple(varied(chance, text, words, 0.3) for text in rows[i % len(rows)])  # type: ignore[misc]


def varied(chance: random.Random, text: str, words: Sequence[str], share: float) -> str:
    return " ".join(chance.choice(words) if chance.random() < share else word for word in text.split(" "))


def write(rows: Iterator[tuple[str, str]] | Rows, path: Path) -> int:
    with path.open("w") as file:
        for prompt, reply in rows:
            file.write(json.dumps({"instruction": prompt, "output": reply}) + "\n")
    return path.stat().st_size
