"""Hidden text: characters that nobody sees, and words of letters that only look alike."""

from __future__ import annotations

import re
import unicodedata

from trimtab.screens.batch import Batch, matching
from trimtab.screens.screen import Hits, RowScreen

_CONTROLS = r"\x00-\x08\x0b\x0e-\x1b\x7f-\x84\x86-\x9f"
_INVISIBLE = (
    r"\x{AD}\x{180E}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{206F}\x{FEFF}\x{FFF9}-\x{FFFB}"
    r"\x{E0000}-\x{E007F}\x{E0100}-\x{E01EF}"
)
_ANY = f"[{_CONTROLS}{_INVISIBLE}]"
_MIXED = r"\p{Latin}[\p{Cyrillic}\p{Greek}]|[\p{Cyrillic}\p{Greek}]\p{Latin}"
_WORD = re.compile(r"[^\W\d_]{3,}")
_JOINERS = "\u200c\u200d"
_MARKS = "\u200e\u200f"
_GREEK_TWINS = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυικ")
_SIGNS = {"LATIN", "CYRILLIC", "GREEK"}


class Hidden(RowScreen):
    """Invisible and look-alike characters."""

    codes = ("hidden.invisible", "hidden.lookalike")

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with either; joiners inside emoji, Arabic or Indic words are no finding."""
        if batch.ascii:
            mixed: list[int] = []
        else:
            mixed = [i for i in matching(batch.column, _MIXED) if lookalikes(batch.texts[i])]
        unseen = [i for i in matching(batch.column, _ANY) if invisible(batch.texts[i])]
        return {"hidden.invisible": unseen, "hidden.lookalike": mixed}


def invisible(text: str) -> list[str]:
    """Return the invisible characters in `text` that its script does not need, as U+XXXX, in order."""
    found = []
    leftward: bool | None = None
    for i, char in ((match.start(), match[0]) for match in _PYTHON_ANY.finditer(text)):
        if char in _JOINERS and i and not _latin(text[i - 1]) and not _latin(text[i + 1 : i + 2]):
            continue
        if char in _MARKS:
            if leftward is None:  # the whole text is looked through, and once
                leftward = any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)
            if leftward:
                continue
        if not (char == "\ufeff" and i == 0):
            found.append(f"U+{ord(char):04X}")
    return found


def _latin(char: str) -> bool:
    # At the border of a word, a joiner joins nothing: a space counts as Latin here.
    return (
        char == ""
        or char.isspace()
        or (char.isalnum() and "LATIN" in unicodedata.name(char, ""))
        or char.isascii()
    )


def lookalikes(text: str) -> list[str]:
    """Return the words of `text` that mix Latin with Cyrillic or Greek letters; one sign such as µ or Δ is no word."""
    return [word for word in _WORD.findall(text) if _mixes(word)]


def _mixes(word: str) -> bool:
    if word.isascii():
        return False
    scripts = [unicodedata.name(c, "?").split()[0] for c in word]
    kinds = set(scripts) & _SIGNS
    if len(kinds) < 2:
        return False
    # Greek letters at an end are signs of science (Δt, 5µm, sinθ), and most look like no Latin letter (σxσy).
    return "CYRILLIC" in kinds or any(c in _GREEK_TWINS for c in word[1:-1])


_PYTHON_ANY = re.compile(
    "[\x00-\x08\x0b\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
