"""A batch: the rows of one unit, as records and as Arrow columns that every row check shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any
from unicodedata import normalize

from trimtab.records.record import Message, Record

# Marks belong to the letter before them: they are the vowels of many scripts. After a sign they are part of the sign.
_NOT_WORDS = r"(?:[^\pL\pM\pN]\pM*)+|^\pM+"
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\x{30FC}]"
_EACH = rf"({_UNSPACED}\pM*)"
_PUNCTUATION = frozenset(
    ".,;:!?'\"()[]\u2018\u2019\u201c\u201d\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
)
_LETTERS = bytes(ord(chr(i).lower()) if i < 128 and chr(i).isalnum() else 32 for i in range(256))


class Batch:
    """Records with the columns that checks read; each column is made once, when it is first asked for."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def parts(self) -> list[tuple[str, ...]]:
        """The texts of each record, the reply (or `rejected`, `text_b`) last."""
        return [texts_of(record) for record in self.records]

    @cached_property
    def texts(self) -> list[str]:
        """All words of each record, its texts on lines of their own."""
        return ["\n".join(parts) for parts in self.parts]

    @cached_property
    def prompts(self) -> list[str]:
        """What each record asks; empty for pairs and documents."""
        return ["\n".join(parts[: -_replies(r)]) for r, parts in zip(self.records, self.parts, strict=True)]

    @cached_property
    def replies(self) -> list[str]:
        """What each record answers: the last turn, both replies of a preference, both texts of a pair."""
        return ["\n".join(parts[-_replies(r) :]) for r, parts in zip(self.records, self.parts, strict=True)]

    @cached_property
    def column(self) -> Any:
        """`texts` as an Arrow column."""
        return arrow(self.texts)

    @cached_property
    def reply_column(self) -> Any:
        """`replies` as an Arrow column."""
        return arrow(self.replies)

    @cached_property
    def plain(self) -> list[str]:
        """`texts` in lower case, words apart by one space and nothing else left."""
        return plain_words(self.texts)

    @cached_property
    def words(self) -> list[list[str]]:
        """The words of `plain`."""
        return [text.split() for text in self.plain]

    @cached_property
    def ascii(self) -> bool:
        """Whether no text has a character beyond ASCII, where nothing can hide."""
        import pyarrow.compute as pc

        return bool(pc.all(pc.string_is_ascii(self.column)).as_py()) if len(self) else True


def texts_of(record: Record) -> tuple[str, ...]:
    """Return the texts of a record in order; a preference's two conversations share all turns but the last."""
    if record.kind == "pair":
        return (record.text_a or "", record.text_b or "")
    if record.kind == "preference":
        chosen, rejected = record.chosen or (), record.rejected or ()
        return (*_contents(chosen[:-1]), chosen[-1].content, rejected[-1].content)
    return tuple(_contents(record.messages or ()))


def _contents(messages: Iterable[Message]) -> list[str]:
    return [m.content for m in messages]


def _replies(record: Record) -> int:
    return 2 if record.kind in ("preference", "pair") else 1


def arrow(texts: Sequence[str]) -> Any:
    """Return texts as an Arrow column that may hold more than 2 GiB."""
    import pyarrow as pa

    return pa.array(texts, pa.large_string())


def plain_words(texts: Sequence[str]) -> list[str]:
    """Return texts in lower case, with one space for everything that is no letter or digit.

    Scripts that put no space between words (Chinese, Japanese, Thai and their neighbours) have one around each character.
    """
    found = [_ascii_words(text) if text.isascii() else "" for text in texts]
    others = [i for i, text in enumerate(texts) if not text.isascii()]
    for i, text in zip(others, _unicode_words(arrow([texts[i] for i in others])).to_pylist(), strict=True):
        found[i] = text
    return found


def _ascii_words(text: str) -> str:
    # Many times faster than a regular expression, and most texts are nothing but ASCII.
    return b" ".join(text.encode().translate(_LETTERS, b"'").split()).decode()


def _unicode_words(column: Any) -> Any:
    import pyarrow.compute as pc

    for sign in "'\u2019":  # don't is one word
        column = pc.replace_substring(column, sign, "")
    column = pc.replace_substring_regex(pc.utf8_lower(column), _NOT_WORDS, " ")
    unspaced = pc.match_substring_regex(column, _UNSPACED)
    if pc.any(unspaced).as_py():
        apart = pc.replace_substring_regex(column.filter(unspaced), _EACH, r" \1 ")
        column = pc.replace_with_mask(column, unspaced, pc.replace_substring_regex(apart, " +", " "))
    return pc.utf8_trim_whitespace(column)


def folded(text: str) -> str:
    """Return a text in lower case with one space for white space of any length, all signs left."""
    return " ".join(normalize("NFC", text).lower().split())


def signs(text: str) -> str:
    """Return what a text has beside words, spaces and the punctuation of sentences: operators, symbols, emoji."""
    return "".join(c for c in text if not (c.isalnum() or c.isspace() or c in _PUNCTUATION))


def matching(column: Any, pattern: str) -> list[int]:
    """Return the indices of the texts in which `pattern` (RE2) occurs; linear in the length of any text."""
    import numpy as np
    import pyarrow.compute as pc

    mask = pc.match_substring_regex(column, pattern)
    return [int(i) for i in np.flatnonzero(mask.to_numpy(zero_copy_only=False))]


def any_of(patterns: Iterable[str]) -> str:
    """Return one RE2 pattern that matches where any of `patterns` does, without regard to case."""
    return "(?i)(?:" + "|".join(f"(?:{p})" for p in patterns) + ")"


def whole_words(phrase: str) -> re.Pattern[str]:
    """Return what finds `phrase` (plain words) between the borders of words."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")
