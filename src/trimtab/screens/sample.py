"""A sample of the rows of a scan, in memory, for checks that compare rows with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.screens.grams import Tokens

COLUMNS = ("row", "place", "kind", "messages", "chosen", "rejected", "text_a", "text_b")


@dataclass(frozen=True)
class Choice:
    """A preference: what was asked, and both replies."""

    place: str
    prompt: str
    chosen: str
    rejected: str


@dataclass
class Sample:
    """Rows in the order of the input: number, place, what each asks and what it answers; and the preferences.

    `of` is the number of records that the sample was drawn from.
    """

    of: int = 0
    rows: list[int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def drawn_from(self) -> int:
        """The number of records where only some of them are here, else 0."""
        return self.of if self.of > len(self) else 0

    @cached_property
    def asked(self) -> Tokens:
        """The words of the requests, split once for all checks."""
        return Tokens(self.prompts)

    @cached_property
    def answered(self) -> Tokens:
        """The words of the replies."""
        return Tokens(self.replies)

    def texts(self) -> list[str]:
        """Return all words of each row."""
        return [f"{p}\n{r}".strip() for p, r in zip(self.prompts, self.replies, strict=True)]

    def add(self, row: dict[str, Any]) -> None:
        """Take one row of a part."""
        prompt, reply = asked_and_answered(row)
        self.rows.append(row["row"])
        self.places.append(row["place"])
        self.prompts.append(prompt)
        self.replies.append(reply)
        if row["kind"] == "preference":
            self.choices.append(Choice(row["place"], prompt, reply, row["rejected"][-1]["content"]))


def draw(parts: Sequence[Path], records: int, size: int, seed: int) -> Sample:
    """Return `size` records drawn at random from the parts of a scan, all of them where there are no more."""
    import numpy as np

    sample = Sample(of=records)
    if size >= records:
        wanted = np.ones(records, bool)
    else:
        wanted = np.zeros(records, bool)
        wanted[np.random.default_rng(seed).choice(records, size, replace=False)] = True
    seen = 0
    for table in _records(parts):
        chosen = wanted[seen : seen + len(table)]
        seen += len(table)
        for row in table.filter(chosen).to_pylist():
            sample.add(row)
    return sample


def _records(parts: Sequence[Path]) -> Iterator[Any]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for part in parts:
        table = pq.read_table(part, columns=list(COLUMNS))
        yield table.filter(pc.is_valid(table["kind"]))


def all_texts(row: dict[str, Any]) -> list[str]:
    """Return the texts of a row of a part, as `batch.texts_of` those of a record."""
    if row["kind"] == "pair":
        return [row["text_a"], row["text_b"]]
    turns = [*row["chosen"], row["rejected"][-1]] if row["kind"] == "preference" else row["messages"]
    return [turn["content"] for turn in turns]


def answer(row: dict[str, Any]) -> str:
    """Return what a row of a part answers, as `Batch.replies` does: of a preference or pair both texts."""
    return "\n".join(all_texts(row)[-_answers(row) :])


def asked_texts(row: dict[str, Any]) -> list[str]:
    """Return the texts of a row of a part that come before its answer; a pair and a document have none."""
    return all_texts(row)[: -_answers(row)]


def _answers(row: dict[str, Any]) -> int:
    return 2 if row["kind"] in ("preference", "pair") else 1


def asked_and_answered(row: dict[str, Any]) -> tuple[str, str]:
    """Return what a row of a part asks and what it answers; a pair asks nothing."""
    if row["kind"] == "pair":
        return "", f"{row['text_a']}\n{row['text_b']}"
    turns = row["chosen"] if row["kind"] == "preference" else row["messages"]
    return "\n".join(turn["content"] for turn in turns[:-1]), turns[-1]["content"]
