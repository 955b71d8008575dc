"""Recognises the field's usual shapes of a training example, and turns a row of each into a record.

The first shape whose keys all have a value is taken: trimtab's own, preference (`chosen` and `rejected`, with `prompt`,
`question` or `instruction`, or whole conversations or dialogues), pair (`text_a`, `text_b`), `messages`, ShareGPT
`conversations`, `instruction` and `output`, `prompt` and `completion`, `text`. Reading is strict: what is not text where text belongs is refused, never converted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trimtab.records.record import CONTENT, Message, Record, checked_message, checked_record

Row = dict[str, Any]
Turns = tuple[Message, ...]

ROLES = {
    **{role: role for role in ("system", "developer", "user", "assistant", "tool")},
    "human": "user",
    "gpt": "assistant",
}
SHAPES_HELP = (
    "Known are trimtab's own records (kind and content), chosen/rejected with or without prompt, question or instruction, text_a/text_b, "
    "messages, conversations, instruction/output, prompt/completion and text: rename the keys"
)


# Answers to which a label of false agrees.
_DENIALS = ("No", "no", "No.", "False", "false", "False.", "0")


class ShapeError(ValueError):
    """A row that cannot become a record: its stable code, its place and the reason."""

    def __init__(self, code: str, reason: str, place: str = "row") -> None:
        self.code, self.reason, self.place = code, reason, place
        super().__init__(code, reason, place)

    def __str__(self) -> str:
        """One line: place, reason and code."""
        return f"{self.place}: {self.reason} [{self.code}]"


@dataclass(frozen=True)
class Flaw:
    """Stands in parsed JSON for a part that JSON readers disagree on."""

    reason: str


def parse_json(text: str) -> Any:
    """Parse JSON; an object with a key given twice, NaN and Infinity become a `Flaw` in its place.

    Raises ValueError (or RecursionError, for absurd nesting) when the text is no JSON at all.
    """
    return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)


class _FlawedError(ValueError):
    """Parsed JSON has a flaw; which one is for `refuse_flaws` to say."""


def parse_flawless(text: str) -> Any:
    """Parse JSON that `refuse_flaws` would pass, many times faster; None where it would not, and for what is no JSON.

    A lone surrogate can only come from an escape: a text with one that could be is left to the slow way.
    """
    if "\\u" in text and _SURROGATE.search(text):
        return None
    try:
        value, end = _FLAWLESS.raw_decode(text)
        return value if text[end:] in ("", "\n", "\r\n") else None
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> Row | Flaw:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
    return Flaw(f"the key {short(twice)} appears twice")


def _constant(name: str) -> Flaw:
    return Flaw(f"{name} is not JSON")


def _flawless_object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _FlawedError
    return row


def _no_constant(_name: str) -> Any:
    raise _FlawedError


_DIALOG = re.compile(r"(?:^\s*|\n\n)(Human|Assistant): ?")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_FLAWLESS = json.JSONDecoder(object_pairs_hook=_flawless_object, parse_constant=_no_constant)


def short(value: object, limit: int = 60) -> str:
    """Return `value` for a message: quoted and escaped, for rows are hostile text, and cut to `limit`."""
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value[:limit] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def refuse_flaws(row: Any) -> None:
    """Raise ShapeError when a flaw or a lone surrogate is anywhere in `row`."""
    todo = [row]
    # A loop with its own stack: hostile nesting must not exhaust Python's.
    while todo:
        value = todo.pop()
        if isinstance(value, Flaw):
            raise ShapeError("records.json", value.reason)
        if isinstance(value, str):
            _refuse_surrogates(value)
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            todo += value


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = "text holds a lone surrogate and is not valid Unicode"
        raise ShapeError("records.surrogate", reason) from error


def to_record(row: Row, *, place: str, checked: bool = False) -> Record:
    """Return the record that `row` holds, whichever known shape it has; `checked` says that `refuse_flaws` passed it.

    Raises ShapeError (a ValueError), with `place` in it, when the shape is unknown, when a text is missing,
    empty or not a text, or when a given `id` or `lineage_id` does not match the row.
    """
    try:
        if not checked:
            refuse_flaws(row)
        return _own(row) if _is_own(row) else _shape(row).build(row)
    except ShapeError as error:
        raise ShapeError(error.code, error.reason, place) from error


def ignored_keys(row: Row) -> list[str]:
    """Return the keys of a foreign `row`, with a value, that its record does not hold (`messages[].score`)."""
    if _is_own(row):
        return []
    used = _shape(row).keys
    outer = [str(key) for key, value in row.items() if value is not None and key not in used]
    return outer + [name for key in used for name in _ignored_in_turns(key, row.get(key))]


def _ignored_in_turns(key: str, turns: Any) -> list[str]:
    dicts = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    names = dict.fromkeys(name for turn in dicts for name, value in turn.items() if value is not None)
    return [f"{key}[].{name}" for name in names if name not in ("role", "content", "from", "value")]


def _is_own(row: Row) -> bool:
    kind = row.get("kind")
    known = isinstance(kind, str) and kind in CONTENT
    return known or row.get("lineage") is not None or row.get("lineage_id") is not None


def _own(row: Row) -> Record:
    fields = {
        key: value for key, value in row.items() if value is not None and key not in ("id", "lineage_id")
    }
    try:
        # Strict mode of JSON input: no number becomes a text, while lists may become tuples.
        record = Record.model_validate_json(json.dumps(fields), strict=True)
        ids = {"id": record.id, "lineage_id": record.lineage_id}
    except ValidationError as error:
        raise ShapeError("records.schema", _schema_reasons(error)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ShapeError("records.schema", f"not a record in JSON: {short(str(error), 120)}") from error
    for name, value in ids.items():
        if row.get(name) not in (None, value):
            given = short(row[name])
            raise ShapeError("records.id-mismatch", f"{name} is {given}, but the content gives {value}")
    if record.kind == "document" and [m.role for m in record.messages or ()] != ["assistant"]:
        raise ShapeError("records.schema", "a document is one message with the role assistant")
    return record


def _schema_reasons(error: ValidationError) -> str:
    places = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors(include_url=False)]
    return "; ".join(f"{short(where)}: {what}" if where else what for where, what in places[:5])


@dataclass(frozen=True)
class _Shape:
    """Keys that must have a value, keys that may, and what makes the record."""

    needs: tuple[str, ...]
    may: tuple[str, ...]
    build: Callable[[Row], Record]

    @property
    def keys(self) -> tuple[str, ...]:
        return self.needs + self.may


def has_shape(row: Row) -> bool:
    """Whether an object has the keys of a row, of this project or another."""
    try:
        _shape(row)
    except ShapeError:
        return _is_own(row)
    return True


def _shape(row: Row) -> _Shape:
    for shape in _SHAPES:
        for key in shape.needs:
            if row.get(key) is None:
                break
        else:
            return shape
    keys = ", ".join(short(key) for key in list(row)[:12]) or "none"
    null = [short(key) for key, value in row.items() if value is None][:12]
    raise ShapeError(
        "records.unknown-shape",
        f"no known shape in the keys {keys}" + (f" (without a value: {', '.join(null)})" if null else ""),
    )


def _text(value: Any, key: str, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise ShapeError("records.not-text", f"{key} is {short(value)}, not a text")
    if not empty and not value.strip():
        raise ShapeError("records.empty-text", f"{key} is empty")
    return value


def to_turns(value: Any, key: str) -> Turns:
    """Return the turns in `value`: messages of role and content, or of ShareGPT's from and value, or a single one.

    CSV holds them as JSON text. Raises ShapeError, naming `key`, for anything else and for no turn at all.
    """
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError) as error:
            raise ShapeError("records.not-messages", f"{key} is a text, not a list of messages") from error
        refuse_flaws(value)
    if isinstance(value, dict):
        return (_turn(value, key),)
    if value == []:
        raise ShapeError("records.not-messages", f"{key} is a list without a message")
    if not isinstance(value, list):
        raise ShapeError("records.not-messages", f"{key} is {short(value)}, not a list of messages")
    return tuple(_turn(turn, f"{key}[{i}]") for i, turn in enumerate(value))


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise ShapeError("records.not-messages", f"{where} is {short(turn)}, not a message")
    if turn.get("tool_calls") or turn.get("function_call"):
        raise ShapeError("records.tool-call", f"{where} calls a tool, which records do not hold")
    role = turn["from"] if turn.get("role") is None and "from" in turn else turn.get("role")
    content = turn["value"] if turn.get("content") is None and "value" in turn else turn.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise ShapeError("records.role", f"{where} has the role {short(role)}, not one of {', '.join(ROLES)}")
    return checked_message(ROLES[role], _text(content, f"{where}.content", empty=True))


def _system(row: Row) -> Turns:
    text = row.get("system")
    return () if text in (None, "") else (checked_message("system", _text(text, "system")),)


def _prompt(row: Row) -> Turns:
    value = row.get("prompt")
    if value is None:
        return ()
    return (
        (checked_message("user", _text(value, "prompt")),)
        if isinstance(value, str)
        else to_turns(value, "prompt")
    )


def _reply(row: Row, key: str) -> Turns:
    """The whole conversation that ends in `row[key]`, whether or not it repeats the prompt."""
    prompt, value = _prompt(row), row[key]
    asked = _system(row) + prompt
    if isinstance(value, str):
        if not prompt:
            raise ShapeError("records.no-prompt", f"{key} is a text, and there is no prompt")
        return (*asked, checked_message("assistant", _text(value, key)))
    turns = to_turns(value, key)
    if turns[-1].role != "assistant":
        raise ShapeError("records.no-reply", f"{key} does not end with the assistant's turn")
    for head in (asked, prompt):
        if turns[: len(head)] == head:
            return asked + turns[len(head) :]
    if turns[0].role != "assistant":
        raise ShapeError("records.other-prompt", f"{key} begins with another prompt than the row's")
    return asked + turns


def _preference(row: Row) -> Record:
    spoken = [row["chosen"], row["rejected"]]
    if row.get("prompt") is None and all(isinstance(text, str) and _DIALOG.match(text) for text in spoken):
        chosen, rejected = map(_dialog, spoken)
        return checked_record("preference", chosen=_system(row) + chosen, rejected=_system(row) + rejected)
    return checked_record("preference", chosen=_reply(row, "chosen"), rejected=_reply(row, "rejected"))


def _dialog(text: str) -> Turns:
    """The turns of a dialogue in one text, as that of Anthropic's HH-RLHF."""
    _, *said = _DIALOG.split(text)
    pairs = zip(said[::2], said[1::2], strict=True)
    turns = tuple(checked_message(_SPEAKERS[who], _text(words.strip(), who)) for who, words in pairs)
    if turns[-1].role != "assistant":
        raise ShapeError("records.no-reply", "the dialogue does not end with the assistant's turn")
    return turns


def _asked_preference(row: Row) -> Record:
    """Both replies to a question, or to an instruction with or without an input, that has a key of its own."""
    if isinstance(row["chosen"], str) and isinstance(row["rejected"], str):
        if row.get("question") is not None:
            asked = _text(row["question"], "question")
        else:
            given = row.get("input")
            asked = _text(row["instruction"], "instruction")
            asked += f"\n\n{_text(given, 'input')}" if given else ""
        row = {**row, "prompt": asked}
    return _preference(row)


def _pair(row: Row) -> Record:
    return checked_record(
        "pair", text_a=_text(row["text_a"], "text_a"), text_b=_text(row["text_b"], "text_b")
    )


def _messages(row: Row) -> Record:
    return checked_record("sft", messages=to_turns(row["messages"], "messages"))


def _conversations(row: Row) -> Record:
    return checked_record("sft", messages=_system(row) + to_turns(row["conversations"], "conversations"))


def _instruction(row: Row) -> Record:
    asked, given = _text(row["instruction"], "instruction"), row.get("input")
    given = "" if given is None else _text(given, "input", empty=True)
    question = checked_message("user", f"{asked}\n\n{given}" if given else asked)
    answer = checked_message("assistant", _text(row["output"], "output"))
    return checked_record("sft", messages=(*_system(row), question, answer))


def _completion(row: Row) -> Record:
    # A reply that somebody marked as bad (TRL's KTO) would be learned as if it were good.
    if row.get("label") is False and row["completion"] not in _DENIALS:
        raise ShapeError(
            "records.unwanted", "label is false: the completion is marked as one that is not wanted"
        )
    return checked_record("sft", messages=_reply(row, "completion"))


def _document(row: Row) -> Record:
    return checked_record("document", messages=(checked_message("assistant", _text(row["text"], "text")),))


_SHAPES = (
    _Shape(("chosen", "rejected", "prompt"), ("system",), _preference),
    _Shape(("chosen", "rejected", "question"), ("system",), _asked_preference),
    _Shape(("chosen", "rejected", "instruction"), ("input", "system"), _asked_preference),
    _Shape(("chosen", "rejected"), ("system",), _preference),
    _Shape(("text_a", "text_b"), (), _pair),
    _Shape(("messages",), (), _messages),
    _Shape(("conversations",), ("system",), _conversations),
    _Shape(("instruction", "output"), ("input", "system"), _instruction),
    _Shape(("prompt", "completion"), ("system",), _completion),
    _Shape(("text",), (), _document),
)
