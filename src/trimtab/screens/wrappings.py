"""Wrappings: system turns, instructions and stock answers that many held-out cases share, and that are none of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

_SHARED = 3
_SYSTEM, _INSTRUCTION, _ANSWER, _ABOUT = "system", "instruction", "answer", "about"
_ROLES = {
    **dict.fromkeys(("system", "system_prompt", "developer"), _SYSTEM),
    **dict.fromkeys(("instruction", "instructions"), _INSTRUCTION),
    **dict.fromkeys(("output", "response", "completion", "answer", "answers", "target", "label", "assistant"), _ANSWER),
    **dict.fromkeys(("chosen", "rejected", "choices", "options", "gpt"), _ANSWER),
    **dict.fromkeys(("id", "_id", "idx", "uid", "uuid", "index", "hash", "name", "source", "url", "category", "type"), _ABOUT),
    **dict.fromkeys(("kind", "split", "suite", "cluster", "task", "subject", "topic", "language", "model", "date"), _ABOUT),
}  # fmt: skip


class Part(NamedTuple):
    """A text of a case, and what it is there: a system turn, an instruction, an answer, what tells of it, or (empty) its own."""

    text: str
    role: str


def parts_of(row: Any) -> list[Part]:
    """Return all texts of a row, wherever they are in it, each with the role that its key or its turn gives it."""
    found, todo = list[Part](), [(row, "")]
    while todo:
        value, role = todo.pop()
        if isinstance(value, str):
            found.append(Part(value, role))
        elif isinstance(value, dict):
            speaker = value.get("role", value.get("from"))
            if isinstance(speaker, str):
                role = _ROLES.get(speaker, "")
            todo += [(inner, _role(key, role)) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            todo += [(inner, role) for inner in value]
    return found


def _role(key: str, role: str) -> str:
    return _ABOUT if key.endswith("_id") else _ROLES.get(key, role)


def wrappings(cases: Iterable[Sequence[Part]]) -> frozenset[Part]:
    """Return the system turns, instructions and answers that three cases or more have which ask different things.

    What one case asks three times is its own, and so is a passage that several questions are about.
    """
    asked: dict[Part, set[frozenset[str]]] = {}
    for parts in cases:
        for role in {part.role for part in parts} & {_SYSTEM, _INSTRUCTION, _ANSWER}:
            # The numbers of cases are no questions.
            rest = frozenset(part.text for part in parts if part.role not in (role, _SYSTEM, _ANSWER, _ABOUT))
            for part in parts if rest else ():
                if part.role == role:
                    asked.setdefault(part, set()).add(rest)
    return frozenset(part for part, others in asked.items() if len(others) >= _SHARED)
