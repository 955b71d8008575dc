"""The record: one training example with its lineage, and its ids.

`id` is the SHA-256 of the canonical JSON (RFC 8785) of kind and content, `lineage_id` of the id and the
lineage without its time. Integers that may be large are strings, so that every JSON reader agrees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from trimtab import __version__

Kind = Literal["sft", "preference", "pair", "document"]
Source = Literal["human", "synthetic", "mixed", "unknown"]
CONTENT: dict[str, tuple[str, ...]] = {
    "sft": ("messages",),
    "document": ("messages",),
    "preference": ("chosen", "rejected"),
    "pair": ("text_a", "text_b"),
}


# The canonical JSON of kind and content, keys in order; the fields above are in order too.
_FORM = {
    kind: (
        "{"
        + ",".join(f'"{f}":' + (f'"{kind}"' if f == "kind" else "%b") for f in sorted(("kind", *fields)))
        + "}"
    ).encode()
    for kind, fields in CONTENT.items()
}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON (RFC 8785) of `value`."""
    return sha256(rfc8785.dumps(value))


def _canonical(value: dict[str, Any]) -> str:
    # The fields of a record are texts, lists of texts and one small integer under ASCII keys. For these, and not
    # in general, Python's own writer gives the canonical JSON (a test proves it), many times faster than rfc8785.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _no_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text holds a lone surrogate and is not valid Unicode") from error
    return text


def not_blank(text: str) -> str:
    """Return `text`; raises ValueError when it has nothing but white space. For pydantic's validators."""
    if not text.strip():
        raise ValueError("is blank")
    return text


Text = Annotated[str, AfterValidator(_no_surrogates)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_M = TypeVar("_M", bound=_Frozen)


class Message(_Frozen):
    """One turn of a conversation."""

    role: Text
    content: Text


class Lineage(_Frozen):
    """Where a record comes from. Digests are 64 hex digits; `seed` is a decimal string."""

    generator: Text | None = None
    operator: Text | None = None
    template: Text | None = None
    seed: str = Field(default="0", pattern=r"^-?[0-9]+$")
    parents: tuple[Text, ...] = ()
    depth: int = Field(default=0, ge=0, le=2**53 - 1)
    charter: Text | None = None
    version: Text = __version__
    time: Text = ""

    def row(self) -> dict[str, Any]:
        """Return the lineage as JSON values."""
        return {**self.__dict__, "parents": list(self.parents)}


class Record(_Frozen):
    """One training example with its lineage (the design's section 6)."""

    kind: Kind
    messages: tuple[Message, ...] | None = None
    chosen: tuple[Message, ...] | None = None
    rejected: tuple[Message, ...] | None = None
    text_a: Text | None = None
    text_b: Text | None = None
    mechanism: Text = ""
    cell: Text = ""
    source: Source = "unknown"
    lineage: Lineage = Lineage()

    @model_validator(mode="after")
    def _content_fits_kind(self) -> Record:
        fields = CONTENT[self.kind]
        missing = [f for f in fields if not getattr(self, f)]
        extra = [f for fs in CONTENT.values() for f in fs if f not in fields and getattr(self, f) is not None]
        if missing or extra:
            raise ValueError(f"a {self.kind} record needs {', '.join(fields)} and nothing else")
        return self

    def content(self) -> dict[str, Any]:
        """Return what the id is made of: the content fields of this kind, as JSON values."""
        return {f: _plain(getattr(self, f)) for f in CONTENT[self.kind]}

    # Not cached: a cached id would stay in a `model_copy` whose content is another.
    @property
    def id(self) -> str:
        """SHA-256 of kind and content."""
        values = tuple([_json_of(getattr(self, f)) for f in CONTENT[self.kind]])
        return sha256(_FORM[self.kind] % values)

    @property
    def lineage_id(self) -> str:
        """SHA-256 of the id and the lineage without its time."""
        return self.ids()[1]

    def ids(self) -> tuple[str, str]:
        """Return `id` and `lineage_id`."""
        return _both_ids(self, _without_time(self.lineage))

    def row(self) -> dict[str, Any]:
        """Return the record as one JSON row, ids first."""
        identity, lineage_id = self.ids()
        return {
            "id": identity, "lineage_id": lineage_id, "kind": self.kind, "messages": _plain(self.messages), "chosen": _plain(self.chosen), "rejected": _plain(self.rejected),
            "text_a": self.text_a, "text_b": self.text_b, "mechanism": self.mechanism, "cell": self.cell,
            "source": self.source, "lineage": self.lineage.row(),
        }  # fmt: skip


@lru_cache(maxsize=4096)
def _without_time(lineage: Lineage) -> bytes:
    # Foreign rows all have the same one: it is written out once.
    return _canonical(lineage.model_dump(mode="json", exclude={"time"})).encode()


def all_ids(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return `ids()` of each record; a lineage that many share is looked at once."""
    distinct = {id(record.lineage): record.lineage for record in records}
    lineages = {key: _without_time(lineage) for key, lineage in distinct.items()}
    return [_both_ids(record, lineages[id(record.lineage)]) for record in records]


def _both_ids(record: Record, lineage: bytes) -> tuple[str, str]:
    identity = record.id
    return identity, sha256(b'{"id":"%b","lineage":%b}' % (identity.encode(), lineage))


def _plain(value: str | tuple[Message, ...] | None) -> Any:
    if value is None or isinstance(value, str):
        return value
    return [{"role": m.role, "content": m.content} for m in value]


_quoted_role = lru_cache(maxsize=64)(to_json)


def _json_of(value: str | tuple[Message, ...]) -> bytes:
    """Return a text, or turns, as canonical JSON.

    Of texts, and not in general, pydantic's writer gives the bytes of RFC 8785 (a test proves it for every character).
    """
    if isinstance(value, str):
        return to_json(value)
    turns = [b'{"content":%b,"role":%b}' % (to_json(m.content), _quoted_role(m.role)) for m in value]
    return b"[%b]" % b",".join(turns)


def checked_message(role: str, content: str) -> Message:
    """Return a message of texts that were checked already: as by `Message`, in a tenth of the time."""
    return _unvalidated(Message, {"role": role, "content": content}, _GIVEN["message"])


def checked_record(kind: Kind, **content: str | tuple[Message, ...]) -> Record:
    """Return a record, without lineage, of content that fits `kind` and was checked already: as by `Record`."""
    return _unvalidated(Record, {**_DEFAULTS, "kind": kind, **content}, _GIVEN[kind])


def _unvalidated(model: type[_M], values: dict[str, Any], given: set[str]) -> _M:
    # What model_construct does, without its search for defaults and aliases, which takes longer than to validate.
    made = model.__new__(model)
    _set_values(made, values)
    _set_given(made, given)
    _set_extra(made, None)
    _set_private(made, None)
    return made


# What sets these four of a model, which is faster than to look for it by name each time.
_set_values, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[f"__{name}__"].__set__
    for name in ("dict", "pydantic_fields_set", "pydantic_extra", "pydantic_private")
)
# Shared, since nothing changes the set of a frozen model: a copy has one of its own.
_GIVEN = {"message": {"role", "content"}, **{kind: {"kind", *fields} for kind, fields in CONTENT.items()}}
_DEFAULTS = {name: known.default for name, known in Record.model_fields.items()}


def conversation(*turns: str) -> tuple[Message, ...]:
    """Return messages from alternating user and assistant texts, the user first."""
    roles = ("user", "assistant")
    return tuple(Message(role=roles[i % 2], content=t) for i, t in enumerate(turns))
