"""Language: told by frequent words, or by script; the rows in another one than most are for the whole dataset to say."""

from __future__ import annotations

import re

from trimtab.screens.patterns import read_patterns

UNKNOWN = "?"
_LEAST = 8
_SCRIPTS = {
    "Cyrillic": re.compile("[\u0400-\u04ff]"),
    "Han or kana": re.compile("[\u3040-\u30ff\u4e00-\u9fff]"),
    "Hangul": re.compile("[\uac00-\ud7af]"),
    "Arabic": re.compile("[\u0600-\u06ff]"),
    "Devanagari": re.compile("[\u0900-\u097f]"),
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Thai": re.compile("[\u0e00-\u0e7f]"),
}


class Languages:
    """Tells the language of a row from its words."""

    def __init__(self) -> None:
        known = read_patterns("forms")["languages"]
        self._of = {word: name for name, words in known.items() for word in words}

    def tell(self, words: list[str], text: str) -> str:
        """Return the language or script of a row; `?` where too little speaks for one."""
        if not text.isascii() and (script := _script(text)):
            return script
        names: list[str] = list(filter(None, map(self._of.get, words)))
        if len(names) < 2 or len(words) < _LEAST:
            return UNKNOWN
        if names.count(names[0]) == len(names):  # most rows
            return names[0]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        best = max(counts, key=lambda name: counts[name])
        others = sum(counts.values()) - counts[best]
        return best if counts[best] >= 2 and counts[best] > 2 * others else UNKNOWN


def _script(text: str) -> str:
    letters = sum(map(str.isalpha, text[:2000])) or 1
    for name, pattern in _SCRIPTS.items():
        if len(pattern.findall(text[:2000])) > letters / 2:
            return name
    return ""
