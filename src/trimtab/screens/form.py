"""Form: rows that are empty, cut off, out of order, or hold what a template or a model left behind."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate, dropwhile, pairwise

from trimtab.records.record import Message, Record
from trimtab.screens.batch import Batch, any_of, arrow, matching
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

LONGEST = 100_000
"""Characters of all texts of a row, unless the policy says otherwise."""
_OPEN_END = re.compile(r"(?<=[^\W\d_])[,\u2013\u2014]\s*$|(?:^|\s)(\w+)\s*$")
# Fenced or quoted code, and lines that are code without a fence: HTML, LaTeX, YAML with a quoted slot, statements.
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_CODE_LINE = re.compile(
    r"^.*(?:</?[a-zA-Z][\w-]*[ >/]|\\[a-zA-Z]+\{|[\"']\{\{|\}\}[\"']|\{%|(?:;|[^{]\{|[^}]\})\s*$).*$",
    re.MULTILINE,
)
_OPEN = "_,\u2013\u2014"
_LEAST_WORDS = 15
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
        self._no_reply = any_of(known["no_reply"])
        self._template, self._boilerplate = any_of(known["template"]), any_of(known["boilerplate"])
        self._slot, self._runaway = any_of([known["braces"], *known["slot"]]), any_of([known["runaway"]])
        self._braces, self._brackets = (re.compile(any_of(p)) for p in ([known["braces"]], known["slot"]))
        self._unfinished = frozenset(known["unfinished"])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each fault."""
        return {
            "form.empty": [i for i, parts in enumerate(batch.parts) if is_empty(parts)],
            "form.placeholder": self._placeholders(batch),
            "form.same": [i for i, r in enumerate(batch.records) if is_same(r, batch.parts[i])],
            "form.roles": [i for i, r in enumerate(batch.records) if not in_order(r)],
            "form.long": [i for i, parts in enumerate(batch.parts) if is_long(parts, self.longest)],
            "form.truncated": [i for i, reply in enumerate(batch.replies) if self._cut_off(reply)],
            "form.template": self._templates(batch),
            "form.boilerplate": matching(batch.reply_column, self._boilerplate),
        }

    def applies(self, batch: Batch) -> dict[str, int]:
        """Only preferences and pairs have two texts that could be the same."""
        two = sum(r.kind in ("preference", "pair") for r in batch.records)
        return {**super().applies(batch), "form.same": two}

    def _placeholders(self, batch: Batch) -> list[int]:
        each = arrow([text for parts in batch.parts for text in parts])
        ends = list(accumulate(map(len, batch.parts)))
        # One reply such as "None." is an answer: what counts is a request, or a request's input.
        hits = [(bisect(ends, k), k) for k in matching(each, self._placeholder)]
        whole = {row for row, k in hits if k + 1 < ends[row]}
        asked = matching(arrow(batch.prompts), self._joined)
        return sorted({*whole, *asked, *matching(batch.reply_column, self._no_reply)})

    def _templates(self, batch: Batch) -> list[int]:
        slots = (i for i in matching(batch.column, self._slot) if self._unfilled(batch.texts[i]))
        runaway = matching(batch.reply_column, self._runaway)
        return sorted({*matching(batch.column, self._template), *slots, *runaway})

    def _unfilled(self, text: str) -> bool:
        """Whether a text has a slot outside of code."""
        prose = _CODE.sub(" ", text)
        return bool(self._brackets.search(prose) or self._braces.search(_CODE_LINE.sub("", prose)))

    def _cut_off(self, reply: str) -> bool:
        end = reply[-60:]
        last = end.rstrip()[-1:]
        if not (last.isalnum() or last in _OPEN) or reply.count(" ") < _LEAST_WORDS:
            return False
        found = _OPEN_END.search(end)
        if found is None:
            return False
        return found[1] is None or found[1] in self._unfinished


def is_empty(parts: Sequence[str]) -> bool:
    """Whether any text of a row has nothing but white space."""
    return not all(map(str.strip, parts))


def is_long(parts: Sequence[str], longest: int) -> bool:
    """Whether the texts of a row have more than `longest` characters together."""
    return sum(map(len, parts)) > longest


def is_same(record: Record, parts: Sequence[str]) -> bool:
    """Whether chosen and rejected, or both texts of a pair, are the same but for spacing."""
    return record.kind in ("preference", "pair") and parts[-1].split() == parts[-2].split()


def in_order(record: Record) -> bool:
    """Whether user and assistant take turns, after the system's words, tools only within those of the assistant, who has the last."""
    if record.kind in ("pair", "document"):
        return True
    return all(_take_turns([m.role for m in turns or ()]) for turns in _conversations(record))


def _conversations(record: Record) -> tuple[tuple[Message, ...] | None, ...]:
    return (record.chosen, record.rejected) if record.kind == "preference" else (record.messages,)


def _take_turns(roles: list[str]) -> bool:
    if roles == ["user", "assistant"]:  # as nearly all are
        return True
    talk = list(dropwhile(("system", "developer").__contains__, roles))
    turns = pairwise(["", *talk])
    return talk[-1:] == ["assistant"] and all(role in _NEXT.get(before, ()) for before, role in turns)
