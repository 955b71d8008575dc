"""Merges the dataset card of a bundle into a README that people wrote, whose words are never changed.

What is generated stands between two marks and is written anew there. Metadata is joined: keys that are missing are
added, tags too; where both have a key, the reader's own stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest

from trimtab.errors import InputError, Problem

BEGIN = "<!-- trimtab: begin. Generated from the evidence of a release; edits in here are lost. -->"
END = "<!-- trimtab: end -->"
_KEY = re.compile(r"([A-Za-z_][\w-]*):")


@dataclass(frozen=True)
class Merged:
    """The README with the card in it, and the keys of metadata in which it keeps another value than the card's."""

    text: str
    kept: tuple[str, ...]


def merge(readme: str, card: str, place: str) -> Merged:
    """Return a README (empty for none) with the card in it; raises InputError where its marks or metadata are broken."""
    ending = "\r\n" if "\r\n" in readme else "\n"
    front, body = _front(readme.replace("\r\n", "\n"), place)
    ours, _ = _front(card, "the card")
    metadata, kept = _joined(_blocks(front), _blocks(ours))
    before, old, after = _around(body, place)
    if old is None:
        before, after = f"{before.rstrip()}\n\n" if before.strip() else "", "\n"
    text = (
        f"---\n{metadata}---\n{'' if before.startswith(chr(10)) else chr(10)}{before}{section(card)}{after}"
    )
    return Merged(text.replace("\n", ending), kept)


def section(card: str) -> str:
    """Return what stands between the marks, marks included: the card's text, its headings one level deeper."""
    _, body = _front(card, "the card")
    lines = [f"#{line}" if line.startswith("#") else line for line in body.strip().split("\n")]
    return "\n".join([BEGIN, *lines, END])


def differs(readme: str, card: str, place: str) -> str:
    """Return the first line in which a README's section is not the card's; empty where it is."""
    _, body = _front(readme.replace("\r\n", "\n"), place)
    _, told, _ = _around(body, place)
    if told is None:
        return "holds no card"
    first = len(readme.replace("\r\n", "\n").split(BEGIN)[0].split("\n"))
    pairs = zip_longest(told.split("\n"), section(card).split("\n"))
    number = next((i for i, (a, b) in enumerate(pairs, start=first) if a != b), 0)
    return f"line {number} does not follow from the bundle" if number else ""


def _front(text: str, place: str) -> tuple[str, str]:
    """Return the metadata, without its fences, and the rest."""
    if not text.startswith("---\n"):
        return "", text
    front, found, rest = text.removeprefix("---\n").partition("\n---\n")
    if not found:
        fix = "End it with a line of three dashes."
        raise InputError(Problem("card.metadata", place, "its metadata has no end", fix))
    return f"{front}\n", rest


def _blocks(front: str) -> dict[str, str]:
    """Return each key at the left margin with all its lines; what comes before the first is under an empty key."""
    blocks, key = dict[str, str](), ""
    for line in front.splitlines(keepends=True):
        found = _KEY.match(line)
        key = found[1] if found else key
        blocks[key] = blocks.get(key, "") + line
    return blocks


def _joined(theirs: dict[str, str], ours: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    joined, kept = dict(theirs), []
    for key, block in ours.items():
        if key not in theirs:
            joined[key] = block
        elif key == "tags" and (tags := _with_tags(theirs[key], block)):
            joined[key] = tags
        elif theirs[key].strip() != block.strip():
            kept.append(key)
    return "".join(joined.values()), tuple(kept)


def _with_tags(theirs: str, ours: str) -> str:
    """Return a list of tags with ours added, in the form that it has; empty where it has neither form of a list."""
    wanted = re.findall(r"^\s*- (\S+)$", ours, re.MULTILINE)
    if flow := re.fullmatch(r"tags:\s*\[(.*)\]\s*\n", theirs):
        have = [t.strip().strip("'\"") for t in flow[1].split(",") if t.strip()]
        return f"tags: [{', '.join([*have, *(t for t in wanted if t not in have)])}]\n"
    rows = re.findall(r"^(\s*)- (.*?)\s*$", theirs, re.MULTILINE)
    if not rows:
        return ""
    have = [text.strip("'\"") for _, text in rows]
    return theirs + "".join(f"{rows[0][0]}- {t}\n" for t in wanted if t not in have)


def _around(body: str, place: str) -> tuple[str, str | None, str]:
    """Return what is before the section, the section with its marks (None where there is none), and what is after."""
    if BEGIN not in body and END not in body:
        return body, None, ""
    before, _, rest = body.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not end or BEGIN in inside + after or END in before + after:
        fix = "Remove the marks of trimtab, and what is between them."
        raise InputError(Problem("card.marks", place, "its marks of a card are not one pair", fix))
    return before, f"{BEGIN}{inside}{END}", after
