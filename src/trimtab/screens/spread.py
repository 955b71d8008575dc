"""Spread: every row of a dataset that shows what a sample of its rows was found to hold.

A poison is looked for in a sample, which is as large as memory allows; its rows are everywhere. Here the parts of a
scan are read once more, one after another and only if something was found, for rows that have the same signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.screens.batch import plain_words
from trimtab.screens.grams import spelled
from trimtab.screens.sample import COLUMNS, asked_and_answered

_PLAIN = re.compile("[a-z0-9]+")


@dataclass(frozen=True)
class Sign:
    """What tells a row that has what was found.

    `asked` is a run of tokens of its request, `answered` one of its reply, or all of it if `whole`; empty ones tell
    nothing. `reply` is the whole reply in plain words. `why` is the reason of such a row, in words.
    """

    code: str
    why: str
    asked: str = ""
    answered: str = ""
    whole: bool = False
    reply: str = ""

    @property
    def pieces(self) -> list[str]:
        """Runs of ASCII letters and digits that the plain words of such a row hold, whatever is between them."""
        return _PLAIN.findall(f"{self.asked} {self.answered} {self.reply}")

    def shows(self, row: _Row) -> bool:
        """Whether a row has it."""
        if self.whole and row.answered != self.answered:
            return False
        if self.reply and not (row.asked and row.reply == self.reply):
            return False
        return _within(self.asked, row.asked) and _within(self.answered, row.answered)


@dataclass(frozen=True)
class _Row:
    """The tokens of a row's request and reply, and the reply in plain words."""

    number: int
    asked: str
    answered: str
    reply: str


def _within(run: str, tokens: str) -> bool:
    return f" {run} " in f" {tokens} " if run else True


def spread(parts: Iterable[Path], signs: Sequence[Sign]) -> dict[str, dict[int, str]]:
    """Return, for each code of `signs`, the rows (numbers) of all parts that show one, and why.

    Parts are read one at a time: the memory that this takes is that of one part, and of the rows that are named.
    """
    found: dict[str, dict[int, str]] = {}
    for part in parts if signs else ():
        for row, sign in _shown(part, signs):
            found.setdefault(sign.code, {}).setdefault(row, sign.why)
    return found


def _shown(part: Path, signs: Sequence[Sign]) -> Iterator[tuple[int, Sign]]:
    import numpy as np
    import pyarrow.parquet as pq

    likely = _likely(pq.read_table(part, columns=["plain"])["plain"].combine_chunks(), signs)
    chosen = np.logical_or.reduce(likely)
    if not chosen.any():
        return
    rows = _rows(pq.read_table(part, columns=list(COLUMNS)).filter(chosen).to_pylist())
    for sign, mask in zip(signs, likely, strict=True):
        yield from ((rows[i].number, sign) for i in np.flatnonzero(mask[chosen]) if sign.shows(rows[i]))


def _likely(plain: Any, signs: Sequence[Sign]) -> list[Any]:
    """Return for each sign which rows hold all its pieces: few, found without splitting any text."""
    import pyarrow.compute as pc

    likely = []
    for sign in signs:
        mask = pc.is_valid(plain)
        for piece in dict.fromkeys(sign.pieces):
            mask = pc.and_kleene(mask, pc.match_substring(plain, piece))
        likely.append(mask.to_numpy(zero_copy_only=False))
    return likely


def _rows(rows: Sequence[dict[str, Any]]) -> list[_Row]:
    texts = [asked_and_answered(row) for row in rows]
    asked, answered = spelled([a for a, _ in texts]), spelled([b for _, b in texts])
    replies = plain_words([b for _, b in texts])
    told = zip(rows, asked, answered, replies, strict=True)
    return [_Row(row["row"], a, b, reply) for row, a, b, reply in told]
