"""Language: told by frequent words, or by script; the rows in another one than most are for the whole dataset to say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.screens.batch import arrow
from trimtab.screens.patterns import read_patterns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = "?"
_LEAST = 8
_TOLD = 240  # characters by which a language is told: about forty words
_LETTERS = {
    "Cyrillic": "\u0400-\u04ff",
    "Han or kana": "\u3040-\u30ff\u4e00-\u9fff",
    "Hangul": "\uac00-\ud7af",
    "Arabic": "\u0600-\u06ff",
    "Devanagari": "\u0900-\u097f",
    "Greek": "\u0370-\u03ff",
    "Hebrew": "\u0590-\u05ff",
    "Thai": "\u0e00-\u0e7f",
}
_SCRIPTS = {name: re.compile(f"[{letters}]") for name, letters in _LETTERS.items()}
_ANY_SCRIPT = re.compile(f"[{''.join(_LETTERS.values())}]")


class Languages:
    """Tells the languages of rows from their words."""

    def __init__(self) -> None:
        known = read_patterns("forms")["languages"]
        self._names = [*known, UNKNOWN]
        self._words = [word for words in known.values() for word in words]
        self._of = [i for i, words in enumerate(known.values()) for _ in words]

    def tell(self, plain: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Return the language or script of each row, its text in plain words and as it is; `?` where too little speaks for one."""
        scripts = ["" if text.isascii() else _script(text) for text in texts]
        spoken = map(self._names.__getitem__, self._told(plain))
        return [script or name for script, name in zip(scripts, spoken, strict=True)]

    def _told(self, plain: Sequence[str]) -> list[int]:
        """Return, by its number, the language that has two words or more, and twice as many as all others have."""
        import numpy as np

        lengths, counts = self._counted(plain)
        best = counts.max(axis=1)
        sure = (lengths >= _LEAST) & (best >= 2) & (best > 2 * (counts.sum(axis=1) - best))
        return list(np.where(sure, counts.argmax(axis=1), len(self._names) - 1).tolist())

    def _counted(self, plain: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the words at the start of each text, shape (n,), and of these the ones of each language, shape (n, languages)."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        n, names = len(plain), len(self._names) - 1
        split = pc.split_pattern(arrow([text[:_TOLD].rstrip() for text in plain]), " ")
        lengths = pc.list_value_length(split).to_numpy()
        found = pc.index_in(split.values, value_set=pa.array(self._words, split.values.type))
        places = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        rows = np.repeat(np.arange(n), lengths)[places]
        spoken = np.array(self._of)[found.drop_null().to_numpy()]
        return lengths, np.bincount(rows * names + spoken, minlength=n * names).reshape(n, names)


def _script(text: str) -> str:
    beginning = text[:2000]
    if not _ANY_SCRIPT.search(beginning):  # each of the patterns is a part of this one
        return ""
    letters = sum(map(str.isalpha, beginning)) or 1
    for name, pattern in _SCRIPTS.items():
        if len(pattern.findall(beginning)) > letters / 2:
            return name
    return ""
