"""The record: one training example with its lineage, and its ids.

`id` is the SHA-256 of the canonical JSON (RFC 8785) of kind and content, `lineage_id` of the id and the
lineage without its time. Integers that may be large are strings, so that every JSON reader agrees.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from trimtab import __version__

Kind = Literal["sft", "preference", "pair", "document"]
Source = Literal["human", "synthetic", "mixed", "unknown"]
CONTENT: dict[str, tuple[str, ...]] = {
    "sft": ("messages",),
    "document": ("messages",),
    "preference": ("chosen", "rejected"),
    "pair": ("text_a", "text_b"),
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
        return sha256(_canonical({"kind": self.kind, **self.content()}).encode())

    @property
    def lineage_id(self) -> str:
        """SHA-256 of the id and the lineage without its time."""
        return self._lineage_id(self.id)

    def _lineage_id(self, identity: str) -> str:
        return sha256(f'{{"id":"{identity}","lineage":{_without_time(self.lineage)}}}'.encode())

    def row(self) -> dict[str, Any]:
        """Return the record as one JSON row, ids first."""
        identity = self.id
        ids = {"id": identity, "lineage_id": self._lineage_id(identity)}
        return {**ids, **self.model_dump(mode="json")}


@lru_cache(maxsize=4096)
def _without_time(lineage: Lineage) -> str:
    # Foreign rows all have the same one: it is written out once.
    return _canonical(lineage.model_dump(mode="json", exclude={"time"}))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else [{"role": m.role, "content": m.content} for m in value]


def conversation(*turns: str) -> tuple[Message, ...]:
    """Return messages from alternating user and assistant texts, the user first."""
    roles = ("user", "assistant")
    return tuple(Message(role=roles[i % 2], content=t) for i, t in enumerate(turns))
