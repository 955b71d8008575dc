"""What a guard reads of a prompt: overlapping windows, the pieces in them, and plain text behind simple codes.

A request that hides in a long wrapping fills a piece of its own; a request in base64, spelled with hyphens or cut
into parts is read as what it says.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_SENTENCE = re.compile(r"(?<=[.!?:])[\"')\]]*\s+|\n+")
_QUOTED = re.compile(r"\"([^\"\n]{3,200})\"|(?<!\w)'((?:[^'\n]|'(?=\w)){3,200})'(?!\w)")
_LABELLED = re.compile(
    # Blanks are taken whole (`++`): shared out in every way, a line of them would take minutes.
    r"(?i)\b(?:part|piece|chunk|fragment|segment|half|string)\s++\w{1,6}\s*+(?::|=|is)\s*+([^\n]{3,200}?)"
    r"(?=[^\S\n]*+(?:\n|$)|[.;,]?\s++(?:part|piece|chunk|fragment|segment|half|string|and|put|join)\b)"
)
LEAST_WORDS, EDGE, TOGETHER = 4, 16, 3


def pieces(text: str) -> list[str]:
    """Return the sentences and lines of a text, short ones joined to the next; none when there is only one."""
    found: list[str] = []
    rest = ""
    for part in _SENTENCE.split(text):
        rest = f"{rest} {part.strip()}".strip()
        if len(rest.split()) >= LEAST_WORDS:
            found.append(rest)
            rest = ""
    if rest and found:
        found[-1] = f"{found[-1]} {rest}"
    if len(found) < 2:
        return []
    return found if len(found) <= 3 * EDGE else _fewer(found)


def _fewer(found: list[str]) -> list[str]:
    # Requests stand at the start or the end of a very long prompt: what is between is read by threes, or it takes too long.
    middle = found[EDGE:-EDGE]
    joined = [" ".join(middle[i : i + TOGETHER]) for i in range(0, len(middle), TOGETHER)]
    return [*found[:EDGE], *joined, *found[-EDGE:]]


def decoded(text: str) -> list[str]:
    """Return what base64, spelled-out runs and parts to be joined say in a text, where that is readable text."""
    return [*_from_base64(text), *_from_spelled(text), *_from_parts(text)]


def _from_base64(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        run = match.group().rstrip("=")
        try:
            plain = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
        # Lines and tabs are text too; other control characters say that these are bytes of something else.
        if " " in plain and re.sub(r"[\n\r\t]", "", plain).isprintable():
            yield plain


def _from_spelled(text: str) -> Iterator[str]:
    # "h-o-w- -t-o": every character is followed by a hyphen, and a space is one of the characters.
    for match in re.finditer(r"(?:[^-\n]-){8,}[^-\n]", text):
        plain = match.group()[::2].strip()
        if len(plain.split()) > 1:
            yield plain


def _from_parts(text: str) -> Iterator[str]:
    # x = "how do I", y = "bake bread": what is quoted, or named as a part, joined in its order.
    for pattern in (_QUOTED, _LABELLED):
        parts = ["".join(found).strip() for found in pattern.findall(text)]
        if len(parts) > 1 and len(plain := " ".join(parts)) <= 400:
            yield plain
