"""Hidden text: characters that nobody sees, and words of letters that only look alike."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

from trimtab.records.shapes import short
from trimtab.screens.batch import Batch, matching, matching_each
from trimtab.screens.screen import Hits, RowScreen

_CONTROLS = r"\x00-\x08\x0b\x0e-\x1b\x7f-\x84\x86-\x9f"
_INVISIBLE = (
    r"\x{AD}\x{61C}\x{115F}\x{1160}\x{180E}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{206F}\x{3164}\x{FEFF}\x{FFA0}"
    r"\x{FFF9}-\x{FFFB}\x{E0000}-\x{E007F}\x{E0100}-\x{E01EF}"
)
_ANY = f"[{_CONTROLS}{_INVISIBLE}]"
_PYTHON_ANY = re.compile(re.sub(r"\\x\{(\w+)\}", lambda code: chr(int(code[1], 16)), _ANY))
_SEEN_BYTES = bytes(i for i in range(256) if i > 127 or not _PYTHON_ANY.match(chr(i)))
_MIXED = r"\p{Latin}[\p{Cyrillic}\p{Greek}]|[\p{Cyrillic}\p{Greek}]\p{Latin}"
_WORD = re.compile(r"[^\W\d_]{3,}")
# What each invisible character may be there for: what it stands in or beside.
_JOINERS = "\u200c\u200d"
_MARKS = "\u061c\u200e\u200f"
_FILLERS = "\u115f\u1160\u3164\uffa0"
_OPENING, _CLOSING = (
    "\u202a\u202b\u2066\u2067\u2068",
    {"\u202c": "\u202a\u202b", "\u2069": "\u2066\u2067\u2068"},
)
# The flags of England, Scotland, Wales and others of their kind are spelled in tags.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_HYPHENATED = re.compile(r"[^\W\d_]{2}\Z"), re.compile(r"[^\W\d_]{2}")
# Thai, Lao, Tibetan, Burmese and Khmer put no space between words; a line may break at a zero-width one.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f]")
_GREEK_TWINS, _GREEK_INSIDE = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"), frozenset("ανορυι")
_CYRILLIC_TWINS = frozenset("асеорхуіјѕԁһӏԛԝкАВСЕНІЈКМОРЅТХУЗ")
_LATIN_TWINS = frozenset("aceopxyijsdhlqwkABCEHIJKMOPSTXY")
_LEAST_LATIN = 4
_SHOWN = 3
_SIGNS = {"LATIN", "CYRILLIC", "GREEK"}
_NO_JOINING = {*_SIGNS, "ARMENIAN", "GEORGIAN", "COMBINING"}


class Hidden(RowScreen):
    """Invisible and look-alike characters."""

    codes = ("hidden.invisible", "hidden.lookalike")

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with either; what emoji or a script need to be written right is no finding."""
        import numpy as np

        others = np.flatnonzero(~batch.ascii)
        hits = matching_each(batch.column.take(others), {"mixed": _MIXED, "any": _ANY})
        mixed, unseen = (others[hits[name]].tolist() for name in ("mixed", "any"))
        if _has_controls(batch.column):  # which may be in any text
            unseen = matching(batch.column, _ANY)
        mixed = [i for i in mixed if lookalikes(batch.texts[i])]
        unseen = [i for i in unseen if invisible(batch.texts[i])]
        return {"hidden.invisible": unseen, "hidden.lookalike": mixed}

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return the invisible characters and how many there are of each, or the words of two scripts."""
        text = batch.texts[row]
        if code == "hidden.lookalike":
            return ", ".join(short(word) for word in list(dict.fromkeys(lookalikes(text)))[:_SHOWN])
        counted = Counter(invisible(text)).most_common(_SHOWN)
        return ", ".join(f"{n} x {char} {_called(char)}".rstrip() for char, n in counted)


def _called(char: str) -> str:
    """Return the name of a character given as U+XXXX; controls have none."""
    return unicodedata.name(chr(int(char[2:], 16)), "")


def _has_controls(column: Any) -> bool:
    """Whether any text has one of the invisible characters that are in ASCII."""
    return bool(bytes(column.buffers()[2] or b"").translate(None, _SEEN_BYTES))


def invisible(text: str) -> list[str]:
    """Return the invisible characters in `text` that its script does not need, as U+XXXX, in order."""
    first = 1 if text.startswith("\ufeff") else 0
    text = _FLAG.sub("", text)
    found = [(m.start(), m[0]) for m in _PYTHON_ANY.finditer(text, first) if not _needed(text, m.start())]
    if any(char in _MARKS or char in _OPENING or char in _CLOSING for _, char in found) and _leftward(text):
        paired = _paired(text)
        found = [(i, char) for i, char in found if char not in _MARKS and i not in paired]
    return [f"U+{ord(char):04X}" for _, char in found]


def _needed(text: str, i: int) -> bool:
    """Whether the script of either neighbour needs the invisible character at `i`."""
    char, before, after = text[i], text[max(0, i - 1) : i], text[i + 1 : i + 2]
    if char in _JOINERS:
        return _joins(before) or _joins(after)
    if char == "\u200b":
        return any(map(_UNSPACED.match, (before, after)))
    if char == "\xad":  # where a long word may be divided
        return bool(_HYPHENATED[0].search(text, max(0, i - 2), i) and _HYPHENATED[1].match(text, i + 1))
    if char in _FILLERS:
        return any(c and c not in _FILLERS and _script(c) == "HANGUL" for c in (before, after))
    return char >= "\U000e0100" and _script(before) == "CJK"  # variants of one ideograph


def _script(char: str) -> str:
    return unicodedata.name(char, "?").split()[0] if char else ""


def _joins(char: str) -> bool:
    """Whether a joiner may stand beside a character: letters and vowels of many scripts, and emoji; not Latin and its like."""
    if not char or char.isascii():
        return False
    kind = unicodedata.category(char)
    return (kind[0] in "LM" or kind in ("So", "Sk")) and _script(char) not in _NO_JOINING


def _leftward(text: str) -> bool:
    # The marks themselves count as such letters in Unicode.
    return any(c.isalpha() and unicodedata.bidirectional(c) in ("R", "AL") for c in text)


def _paired(text: str) -> set[int]:
    """Return where the embeddings and isolates stand that are closed on their line; overrides are nobody's spelling."""
    paired, opened = set[int](), list[int]()
    for i, char in enumerate(text):
        if char == "\n":
            opened.clear()
        elif char in _OPENING:
            opened.append(i)
        elif char in _CLOSING and opened and text[opened[-1]] in _CLOSING[char]:
            paired |= {i, opened.pop()}
    return paired


def lookalikes(text: str) -> list[str]:
    """Return the words of `text` that mix Latin with Cyrillic or Greek letters; one sign such as µ or Δ is no word."""
    return [word for word in _WORD.findall(text) if _mixes(word)]


def _mixes(word: str) -> bool:
    if word.isascii():
        return False
    scripts = [_script(c) for c in word]
    kinds = set(scripts) & _SIGNS
    if len(kinds) < 2:
        return False
    of = {kind: [c for c, script in zip(word, scripts, strict=True) if script == kind] for kind in kinds}
    return _as_cyrillic(word, scripts, of) if "CYRILLIC" in kinds else _as_greek(word, of)


def _as_cyrillic(word: str, scripts: list[str], of: dict[str, list[str]]) -> bool:
    """Whether all letters of one script could be taken for the other's, and are no ending of an abbreviation (SMSка)."""
    latin = len(of.get("LATIN", ()))
    if latin > 1 and set(scripts[:latin]) == {"LATIN"} and word[:latin].isupper() and word[latin:].islower():
        return False
    foreign = _CYRILLIC_TWINS.issuperset(of["CYRILLIC"])
    return foreign or _LATIN_TWINS.issuperset(of.get("LATIN", ())) or "GREEK" in of


def _as_greek(word: str, of: dict[str, list[str]]) -> bool:
    # Greek letters are signs of science (Δt, 5µm, sinθ, hνc), and most look like no Latin letter (σxσy).
    latin, twins = len(of["LATIN"]), _GREEK_TWINS.intersection(of["GREEK"])
    return latin >= _LEAST_LATIN - 1 and (
        bool(twins) or (latin >= _LEAST_LATIN and any(c in _GREEK_INSIDE for c in word[1:-1]))
    )
