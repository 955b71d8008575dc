"""Swaps the gender of a sentence, word by word, where that is unambiguous."""

from __future__ import annotations

import re

_MALE_FEMALE = [
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"),
    ("father", "mother"), ("fathers", "mothers"), ("dad", "mom"), ("son", "daughter"), ("sons", "daughters"),
    ("brother", "sister"), ("brothers", "sisters"), ("husband", "wife"), ("husbands", "wives"), ("uncle", "aunt"),
    ("nephew", "niece"), ("grandfather", "grandmother"), ("grandson", "granddaughter"), ("king", "queen"),
    ("prince", "princess"), ("mr", "ms"), ("sir", "madam"), ("gentleman", "lady"), ("gentlemen", "ladies"),
    ("male", "female"), ("males", "females"), ("boyfriend", "girlfriend"), ("businessman", "businesswoman"),
    ("waiter", "waitress"), ("actor", "actress"), ("chairman", "chairwoman"), ("policeman", "policewoman"),
    ("salesman", "saleswoman"),
]  # fmt: skip
_SWAPS = {a: b for pair in _MALE_FEMALE for a, b in (pair, pair[::-1])} | {
    "him": "her",
    "his": "her",
    "mrs": "mr",
}
# "her" before one of these, or at the end, stands for "him"; before anything else for "his".
_AFTER_OBJECT = re.compile(
    r"^\s*(?:$|[.,;:!?)]|(?:and|or|to|in|on|at|for|with|from|by|as|that|when|if|because|how|a|an|the|about|into|up|out|off|so|but|who|was|is)\b)"
)


def swap_gender(text: str) -> str | None:
    """Return the text with all gendered words swapped; None when there is none to swap."""
    found = 0

    def swapped(match: re.Match[str]) -> str:
        nonlocal found
        word = match.group()
        other = _her(text[match.end() :]) if word.lower() == "her" else _SWAPS.get(word.lower())
        if other is None:
            return word
        found += 1
        return other.capitalize() if word[0].isupper() else other

    result = re.sub(r"[A-Za-z]+", swapped, text)
    return result if found else None


def _her(rest: str) -> str:
    return "him" if _AFTER_OBJECT.match(rest) else "his"
