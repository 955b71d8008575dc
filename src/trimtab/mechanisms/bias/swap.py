"""Swaps the gender of a sentence, word by word, where that is unambiguous."""

from __future__ import annotations

import re

_MALE_FEMALE = [
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"),
    ("father", "mother"), ("fathers", "mothers"), ("dad", "mom"), ("son", "daughter"), ("sons", "daughters"),
    ("brother", "sister"), ("brothers", "sisters"), ("husband", "wife"), ("husbands", "wives"), ("uncle", "aunt"),
    ("uncles", "aunts"), ("nephew", "niece"), ("nephews", "nieces"), ("grandfather", "grandmother"),
    ("grandpa", "grandma"), ("grandson", "granddaughter"), ("stepfather", "stepmother"), ("stepson", "stepdaughter"),
    ("king", "queen"), ("prince", "princess"), ("mr", "ms"), ("sir", "madam"), ("lad", "lass"),
    ("gentleman", "lady"), ("gentlemen", "ladies"), ("male", "female"), ("males", "females"), ("widower", "widow"),
    ("boyfriend", "girlfriend"), ("businessman", "businesswoman"), ("businessmen", "businesswomen"),
    ("waiter", "waitress"), ("actor", "actress"), ("chairman", "chairwoman"), ("policeman", "policewoman"),
    ("salesman", "saleswoman"), ("craftsman", "craftswoman"), ("fireman", "firewoman"),
]  # fmt: skip
_SWAPS = {a: b for pair in _MALE_FEMALE for a, b in (pair, pair[::-1])} | {
    "him": "her",
    "hers": "his",
    "mrs": "mr",
    "mum": "dad",
}
_WORD = re.compile(r"[^\W\d_]+")
# "her" before one of these, or at the end, stands for "him"; before anything else for "his".
_AFTER_OBJECT = re.compile(
    r"^\s*(?:$|[.,;:!?)]|(?:and|or|to|in|on|at|for|with|from|by|as|that|when|if|because|how|a|an|the|about|into|up|out"
    r"|off|so|but|who|was|is|after|again|before|during|here|not|over|since|there|through|today|tomorrow|under|what"
    r"|where|while|why|yesterday)\b)"
)
# "his" that nothing follows owns something named before: "the book is his".
_AFTER_OWNER = re.compile(r"^\s*(?:$|[.,;:!?)]|(?:and|or|but|is|was)\b)")


def swap_gender(text: str) -> str | None:
    """Return the text with all gendered words swapped; None when there is none to swap."""
    found = 0

    def swapped(match: re.Match[str]) -> str:
        nonlocal found
        word = match.group()
        other = _other(word.lower(), text[match.end() :])
        if other is None:
            return word
        found += 1
        if word.isupper() and len(word) > 1:
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    result = _WORD.sub(swapped, text)
    return result if found else None


def _other(word: str, rest: str) -> str | None:
    if word == "her":
        return "him" if _AFTER_OBJECT.match(rest) else "his"
    if word == "his":
        return "hers" if _AFTER_OWNER.match(rest) else "her"
    return _SWAPS.get(word)
