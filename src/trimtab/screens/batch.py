"""A batch: the rows of one unit, as records and as Arrow columns that every row check shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from trimtab.records.record import Message, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Marks belong to the letter before them: they are the vowels of many scripts. After a sign they are part of the sign.
_NOT_WORDS = r"(?:[^\pL\pM\pN]\pM*)+|^\pM+"
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\x{30FC}]"
_EACH = rf"({_UNSPACED}\pM*)"
_PUNCTUATION = frozenset(
    ".,;:!?'\"()[]\u2018\u2019\u201c\u201d\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
)
_LETTERS = bytes(ord(chr(i).lower()) if chr(i).isalnum() else 32 for i in range(256))
# What is no letter outside of Latin-1 and stands in most texts that are not in it; the apostrophe is left out as in "don't".
_USUAL_SIGNS = {**dict.fromkeys("\u2013\u2014\u2018\u201c\u201d\u2022\u2026\u20ac", " "), "\u2019": ""}

# Kinds with two replies; all others have one.
OF_TWO = ("preference", "pair")


class Batch:
    """Records with the columns that checks read; each column is made once, when it is first asked for."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def kinds(self) -> list[str]:
        """The kind of each record."""
        return [record.kind for record in self.records]

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
        return list(map(self.prompt, range(len(self))))

    def prompt(self, row: int) -> str:
        """What one record asks, where few are looked at."""
        return "\n".join(self.parts[row][: -2 if self.records[row].kind in OF_TWO else -1])

    @cached_property
    def replies(self) -> list[str]:
        """What each record answers: the last turn, both replies of a preference, both texts of a pair."""
        return [
            "\n".join(parts[-2:]) if kind in OF_TWO else parts[-1]
            for kind, parts in zip(self.kinds, self.parts, strict=True)
        ]

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
    def ascii(self) -> NDArray[np.bool_]:
        """Which texts have no character beyond ASCII, shape (n,)."""
        import numpy as np

        return np.array([text.isascii() for text in self.texts], bool)


def texts_of(record: Record) -> tuple[str, ...]:
    """Return the texts of a record in order; a preference's two conversations share all turns but the last."""
    if record.kind == "pair":
        return (record.text_a or "", record.text_b or "")
    if record.kind == "preference":
        chosen, rejected = record.chosen or (), record.rejected or ()
        return (*_contents(chosen[:-1]), chosen[-1].content, rejected[-1].content)
    return tuple([m.content for m in record.messages or ()])


def _contents(messages: Iterable[Message]) -> list[str]:
    return [m.content for m in messages]


def arrow(texts: Sequence[str]) -> Any:
    """Return texts as an Arrow column that may hold more than 2 GiB."""
    import pyarrow as pa

    return pa.array(texts, pa.large_string())


def plain_words(texts: Sequence[str]) -> list[str]:
    """Return texts in lower case, with one space for everything that is no letter or digit.

    Scripts that put no space between words (Chinese, Japanese, Thai and their neighbours) have one around each character.
    """
    found = [_latin_words(text) for text in texts]
    others = [i for i, words in enumerate(found) if words is None]
    left = iter(_unicode_words(arrow([texts[i] for i in others])).to_pylist() if others else ())
    return [next(left) if words is None else words for words in found]


def _latin_words(text: str) -> str | None:
    """Return the words of a text in Latin-1, which has no marks and no case of two letters; None for any other.

    Many times faster than a regular expression, and most texts are nothing else but for a few signs.
    """
    if not text.isascii():
        for sign, words in _USUAL_SIGNS.items():
            text = text.replace(sign, words)
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    # Few words are apart by more than one space: to split at these only is faster than to make each word.
    runs = map(bytes.strip, data.translate(_LETTERS, b"'").split(b"  "))
    return b" ".join(filter(None, runs)).decode("latin-1")


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
    return list(_found(column, pattern).tolist())


def matching_each(column: Any, patterns: Mapping[str, str], guard: str = "") -> dict[str, list[int]]:
    """Return what `matching` does for each of `patterns`; that most texts have none of them is seen in one look.

    `guard` matches wherever one of them does, and faster than all of them side by side.
    """
    some = _found(column, guard or "|".join(f"(?:{pattern})" for pattern in patterns.values()))
    if not len(some):
        return {name: [] for name in patterns}
    few = column.take(some)
    return {name: some[_found(few, pattern)].tolist() for name, pattern in patterns.items()}


def _found(column: Any, pattern: str) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow.compute as pc

    return np.flatnonzero(pc.match_substring_regex(column, pattern).to_numpy(zero_copy_only=False))


def first_match(text: str, pattern: str) -> str:
    """Return what `pattern` (RE2, its groups without capture) matches first in a text, on one line; empty where it does not."""
    import pyarrow.compute as pc

    found = pc.extract_regex(arrow([text]), f"(?P<seen>{pattern})")[0].as_py()
    return " ".join(found["seen"].split()) if found else ""


def open_ended(pattern: str) -> str:
    """Return a guard for `pattern`: what repeats m to n times repeats m times or more, and 4 if m is more.

    RE2 has states for each of n times, and is faster the fewer it has.
    """
    return re.sub(r"\{(\d+)(?:,\d*)?\}", lambda times: f"{{{min(int(times[1]), 4)},}}", pattern)


def any_of(patterns: Iterable[str]) -> str:
    """Return one RE2 pattern that matches where any of `patterns` does, without regard to case."""
    return "(?i)(?:" + "|".join(f"(?:{p})" for p in patterns) + ")"


def whole_words(phrase: str) -> re.Pattern[str]:
    """Return what finds `phrase` (plain words) between the borders of words."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")
