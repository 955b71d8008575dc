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
AT_ONCE = 100  # signs; a search for many more words would need more memory than RE2 gives itself


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
        """What the plain words of such a row hold: runs of ASCII letters and digits, and the whole reply."""
        return [*_PLAIN.findall(f"{self.asked} {self.answered}"), *filter(None, [self.reply])]

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

    plain = pq.read_table(part, columns=["plain"])["plain"].combine_chunks()
    likely = _likely(plain, signs)
    chosen = np.unique(np.concatenate(likely))
    if not len(chosen):
        return
    rows = _rows(pq.read_table(part, columns=list(COLUMNS)).take(chosen).to_pylist())
    read = dict(zip(chosen.tolist(), rows, strict=True))
    for sign, found in zip(signs, likely, strict=True):
        yield from ((read[i].number, sign) for i in found.tolist() if sign.shows(read[i]))


def _likely(plain: Any, signs: Sequence[Sign]) -> list[Any]:
    """Return for each sign which rows hold all its pieces: few, found without splitting any text.

    One search for the longest pieces of many signs costs about as much as one for the piece of a single sign. Signs
    with short pieces, which many rows hold, go together, so that the others look at few rows.
    """
    import numpy as np
    import pyarrow.compute as pc

    pieces = [sorted(set(sign.pieces), key=lambda p: (-len(p), p)) for sign in signs]
    order = sorted(range(len(signs)), key=lambda i: -len("".join(pieces[i][:1])))
    found: dict[int, Any] = {}
    for start in range(0, len(order), AT_ONCE):
        group = order[start : start + AT_ONCE]
        words = {"".join(pieces[i][:1]) for i in group}
        mask = pc.is_valid(plain) if "" in words else pc.match_substring_regex(plain, "|".join(sorted(words)))
        rows = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
        texts = plain.take(rows)
        found |= {i: rows[_holding(texts, pieces[i])] for i in group}
    return [found[i] for i in range(len(signs))]


def _holding(texts: Any, pieces: Sequence[str]) -> Any:
    """Return the indices of the texts that hold all pieces."""
    import numpy as np
    import pyarrow.compute as pc

    left = np.arange(len(texts))
    for piece in pieces:
        mask = pc.match_substring(texts, piece).to_numpy(zero_copy_only=False)
        left, texts = left[mask], texts.filter(mask)
    return left


def _rows(rows: Sequence[dict[str, Any]]) -> list[_Row]:
    texts = [asked_and_answered(row) for row in rows]
    asked, answered = spelled([a for a, _ in texts]), spelled([b for _, b in texts])
    replies = plain_words([b for _, b in texts])
    told = zip(rows, asked, answered, replies, strict=True)
    return [_Row(row["row"], a, b, reply) for row, a, b, reply in told]
