"""Form: rows that are empty, cut off, out of order, or hold what a template or a model left behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import dropwhile, pairwise

from trimtab.records.record import Message, Record
from trimtab.records.shapes import short
from trimtab.screens.batch import (
    OF_TWO,
    Batch,
    any_of,
    arrow,
    first_match,
    matching,
    matching_each,
)
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

LONGEST = 100_000
"""Characters of all texts of a row, unless the policy says otherwise."""
_LETTER = re.compile(r"[^\W\d_]")
# Fenced or quoted code, and lines that are code without a fence: HTML, LaTeX, YAML with a quoted slot, statements.
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_CODE_LINE = re.compile(
    r"^.*(?:</?[a-zA-Z][\w-]*[ >/]|\\[a-zA-Z]+\{|[\"']\{\{|\}\}[\"']|\{%|(?:;|[^{]\{|[^}]\})\s*$).*$",
    re.MULTILINE,
)
_OPEN = (",", "\u2013", "\u2014")
_LEAST_WORDS = 15
_SHOWN = 8  # turns
# What nearly all replies end in: no word, and nothing of _OPEN.
_CLOSED = frozenset(".!?:;)]}>\"'`*|")
_SYSTEM = ("system", "developer")
# Whose turn may follow whose: tools, one or several, answer what the assistant called, and it goes on from there.
_NEXT = {"": ("user",), "user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}


class Form(RowScreen):
    """What can be told from one row alone."""

    codes = (
        "form.empty", "form.placeholder", "form.same", "form.roles", "form.long", "form.truncated",
        "form.template", "form.boilerplate",
    )  # fmt: skip

    def __init__(self, longest: int = LONGEST) -> None:
        self.longest = longest
        known = read_patterns("forms")
        self._placeholder, self._joined = any_of(known["placeholder"]), any_of(known["joined"])
        self._anywhere = {
            "template": any_of(known["template"]),
            "slot": any_of([known["braces"], *known["slot"]]),
        }
        # Where a text of a row begins or ends, so does a line of them all.
        self._anywhere["placeholder"] = f"(?m:{self._placeholder}|{self._joined})"
        self._in_replies = {name: any_of(known[name]) for name in ("no_reply", "boilerplate")} | {
            "runaway": any_of([known["runaway"]]),
            "dummy": any_of([known["dummy"]]),
        }
        self._braces, self._brackets = (re.compile(any_of(p)) for p in ([known["braces"]], known["slot"]))
        self._dummy, self._dummy_asked = (
            re.compile(any_of([known["dummy"]])),
            re.compile(any_of(known["dummy_asked"])),
        )
        self._unfinished = frozenset(known["unfinished"])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each fault."""
        anywhere = matching_each(batch.column, self._anywhere)
        in_replies = matching_each(batch.reply_column, self._in_replies)
        slots = [i for i in anywhere["slot"] if self._unfilled(batch.texts[i])]
        dummies = [i for i in in_replies["dummy"] if self._unasked(batch.prompt(i), batch.replies[i])]
        return {
            "form.empty": [
                i
                for i, parts in enumerate(batch.parts)
                if is_empty(parts) and is_empty(spoken(batch.records[i], parts))
            ],
            "form.placeholder": sorted(
                {*self._placeholders(batch, anywhere["placeholder"]), *in_replies["no_reply"]}
            ),
            "form.same": [
                i
                for i, k in enumerate(batch.kinds)
                if k in OF_TWO and is_same(batch.records[i], batch.parts[i])
            ],
            "form.roles": [i for i, r in enumerate(batch.records) if not in_order(r)],
            "form.long": self._too_long(batch),
            "form.truncated": [
                i for i, r in enumerate(batch.replies) if r[-1:] not in _CLOSED and self._cut_off(r)
            ],
            "form.template": sorted({*anywhere["template"], *slots, *dummies, *in_replies["runaway"]}),
            "form.boilerplate": in_replies["boilerplate"],
        }

    def applies(self, batch: Batch) -> dict[str, int]:
        """Only preferences and pairs have two texts that could be the same."""
        two = sum(map(batch.kinds.count, OF_TWO))
        return {**super().applies(batch), "form.same": two}

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return what a template or a model left behind, how long a row is, or whose turns it has."""
        if code == "form.long":
            return f"{sum(map(len, batch.parts[row])):,} characters"
        if code == "form.roles":
            record = batch.records[row]
            return " ".join(short(m.role) for m in (record.messages or record.chosen or ())[:_SHOWN])
        found = (first_match(text, pattern) for text, pattern in self._looked_for(code, batch, row))
        return next((short(match) for match in found if match), "")

    def _looked_for(self, code: str, batch: Batch, row: int) -> list[tuple[str, str]]:
        """Return the texts of a row in which a code is looked for, each with its pattern."""
        text, reply, replies = batch.texts[row], batch.replies[row], self._in_replies
        if code == "form.placeholder":
            asked = [(part, self._placeholder) for part in batch.parts[row][:-1]]
            return [*asked, (batch.prompt(row), self._joined), (reply, replies["no_reply"])]
        if code == "form.template":
            prose = _CODE.sub(" ", text)
            left = [(text, self._anywhere["template"]), (prose, self._anywhere["slot"])]
            return [*left, (prose, replies["dummy"]), (reply, replies["runaway"])]
        return [(reply, replies["boilerplate"])] if code == "form.boilerplate" else []

    def _too_long(self, batch: Batch) -> list[int]:
        # A row with the breaks between its texts is no shorter than without.
        could = [i for i, text in enumerate(batch.texts) if len(text) > self.longest]
        return [i for i in could if is_long(batch.parts[i], self.longest)]

    def _placeholders(self, batch: Batch, rows: Sequence[int]) -> set[int]:
        # One reply such as "None." is an answer: what counts is a request, or a request's input.
        asked = [(row, text) for row in rows for text in batch.parts[row][:-1]]
        whole = {asked[k][0] for k in matching(arrow([text for _, text in asked]), self._placeholder)}
        joined = matching(arrow([batch.prompt(row) for row in rows]), self._joined)
        return whole | {rows[k] for k in joined}

    def _unfilled(self, text: str) -> bool:
        """Whether a text has a slot outside of code."""
        prose = _CODE.sub(" ", text)
        return bool(self._brackets.search(prose) or self._braces.search(_CODE_LINE.sub("", prose)))

    def _unasked(self, prompt: str, reply: str) -> bool:
        """Whether a reply has dummy text outside of code, and its request neither has nor wants any."""
        return not self._dummy_asked.search(prompt) and self._dummy.search(_CODE.sub(" ", reply)) is not None

    def _cut_off(self, reply: str) -> bool:
        """Whether a reply of some length ends in a word that ends no sentence, or in a comma or dash after a letter."""
        end = reply[-60:].rstrip()
        if end[-1:].isalnum():
            opened = end.rsplit(None, 1)[-1] in self._unfinished
        else:
            opened = end.endswith(_OPEN) and _LETTER.match(end, len(end) - 2) is not None
        return opened and reply.count(" ") >= _LEAST_WORDS


def is_empty(parts: Sequence[str]) -> bool:
    """Whether any text of a row has nothing but white space."""
    return "" in parts or any(map(str.isspace, parts))


def spoken(record: Record, parts: Sequence[str]) -> Sequence[str]:
    """Return the texts of a row but for a system turn that it begins with: many exports have one, if only an empty one."""
    talk = record.messages or record.chosen or ()
    return parts[1:] if len(talk) > 1 and talk[0].role in _SYSTEM else parts


def is_long(parts: Sequence[str], longest: int) -> bool:
    """Whether the texts of a row have more than `longest` characters together."""
    return sum(map(len, parts)) > longest


def is_same(record: Record, parts: Sequence[str]) -> bool:
    """Whether chosen and rejected, or both texts of a pair, are the same but for spacing."""
    return record.kind in OF_TWO and parts[-1].split() == parts[-2].split()


def in_order(record: Record) -> bool:
    """Whether user and assistant take turns, after the system's words, tools only within those of the assistant, who has the last."""
    if record.kind in ("pair", "document"):
        return True
    if record.kind == "preference":
        return _take_turns(record.chosen or ()) and _take_turns(record.rejected or ())
    return _take_turns(record.messages or ())


def _take_turns(messages: Sequence[Message]) -> bool:
    roles = [message.role for message in messages]
    if roles == ["user", "assistant"]:  # as nearly all are
        return True
    talk = list(dropwhile(_SYSTEM.__contains__, roles))
    turns = pairwise(["", *talk])
    return talk[-1:] == ["assistant"] and all(role in _NEXT.get(before, ()) for before, role in turns)
