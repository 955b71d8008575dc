"""Ids are functions of content and lineage; round trips keep them; rows are what TRL reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trimtab.errors import InputError
from trimtab.records.columns import record_table
from trimtab.records.read import read_records
from trimtab.records.record import (
    Lineage,
    Message,
    Record,
    checked_message,
    checked_record,
    conversation,
    digest,
)  # fmt: skip
from trimtab.records.shapes import to_record
from trimtab.records.write import record_schema, to_trl, write_records

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TALK = st.lists(TEXT.filter(str.strip), min_size=2, max_size=4).map(lambda turns: conversation(*turns))
LINEAGE = st.builds(
    Lineage,
    generator=st.none() | TEXT,
    seed=st.integers().map(str),
    parents=st.lists(TEXT, max_size=2).map(tuple),
    depth=st.integers(0, 2**53 - 1),
    time=TEXT,
)
RECORD = st.one_of(
    st.builds(Record, kind=st.just("sft"), messages=TALK, cell=TEXT, lineage=LINEAGE),
    st.builds(Record, kind=st.just("preference"), chosen=TALK, rejected=TALK, lineage=LINEAGE),
    st.builds(Record, kind=st.just("pair"), text_a=TEXT, text_b=TEXT, mechanism=TEXT, lineage=LINEAGE),
)
SFT = Record(kind="sft", messages=conversation("Why is the sky blue?", "Because air scatters blue light."))
CANONICAL = (
    b'{"kind":"sft","messages":[{"content":"Why is the sky blue?","role":"user"},'
    b'{"content":"Because air scatters blue light.","role":"assistant"}]}'
)


def shuffled(value: Any) -> Any:
    """Return the same JSON with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(v) for v in value] if isinstance(value, list) else value


@given(RECORD)
def test_ids_do_not_depend_on_the_order_of_keys(record: Record) -> None:
    row = json.loads(json.dumps(shuffled(record.row())))
    assert to_record(row, place="row 1") == record


@given(RECORD)
def test_ids_are_of_canonical_json(record: Record) -> None:
    lineage = record.lineage.model_dump(mode="json", exclude={"time"})
    assert record.id == digest({"kind": record.kind, **record.content()})
    assert record.lineage_id == digest({"id": record.id, "lineage": lineage})


def test_every_character_is_written_as_canonical_json_writes_it() -> None:
    every = "".join(chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000)
    for start in range(0, len(every), 4096):
        text = every[start : start + 4096]
        record = checked_record("pair", text_a=text, text_b="1e400 12345678901234567890 -0.0 NaN")
        same = record.id == digest(
            {"kind": "pair", **record.content()}
        )  # no difference of megabytes in a message
        assert same, f"U+{ord(text[0]):04X} to U+{ord(text[-1]):04X}"


@given(st.text(st.characters()), st.text(st.characters()))
def test_a_text_has_the_bytes_of_canonical_json_or_none(role: str, content: str) -> None:
    record = checked_record("sft", messages=(checked_message(role, content),))
    try:
        told = digest({"kind": "sft", **record.content()})
    except rfc8785.CanonicalizationError:  # a lone surrogate
        with pytest.raises(ValueError, match="surrogate"):
            _ = record.id
    else:
        assert record.id == told


@given(RECORD)
def test_a_row_is_what_the_schema_dumps(record: Record) -> None:
    ids = {"id": record.id, "lineage_id": record.lineage_id}
    assert list(record.row().items()) == list({**ids, **record.model_dump(mode="json")}.items())


@given(TALK, TEXT)
def test_a_record_of_checked_content_is_as_a_validated_one(talk: tuple[Message, ...], text: str) -> None:
    turns = tuple(checked_message(m.role, m.content) for m in talk)
    whole = {
        "messages": checked_record("sft", messages=turns),
        "text": checked_record("pair", text_a=text, text_b=text),
    }
    assert whole["messages"] == Record(kind="sft", messages=talk)
    assert whole["text"] == Record(kind="pair", text_a=text, text_b=text)
    for record in whole.values():
        assert Record.model_validate(record.model_dump(), strict=True) == record
        assert record.model_copy(update={"source": "human"}).source == "human"
        assert hash(record) == hash(Record.model_validate(record.model_dump()))


@settings(deadline=None)  # the first call loads Arrow
@given(st.lists(RECORD, max_size=6))
def test_a_table_of_records_is_that_of_their_rows(records: list[Record]) -> None:
    rows = pa.Table.from_pylist([record.row() for record in records], schema=record_schema())
    assert record_table(records).equals(rows)


@given(RECORD, TEXT)
def test_time_changes_neither_id(record: Record, time: str) -> None:
    later = record.model_copy(update={"lineage": record.lineage.model_copy(update={"time": time})})
    assert (later.id, later.lineage_id) == (record.id, record.lineage_id)


@pytest.mark.parametrize(
    "change",
    [
        {"generator": "x"},
        {"operator": "x"},
        {"template": "x"},
        {"seed": "1"},
        {"parents": ("x",)},
        {"depth": 1},
        {"charter": "x"},
        {"version": "x"},
    ],
)
def test_all_else_in_the_lineage_changes_the_lineage_id_only(change: dict[str, Any]) -> None:
    other = SFT.model_copy(update={"lineage": Lineage(**change)})
    assert other.id == SFT.id
    assert other.lineage_id != SFT.lineage_id


def test_a_changed_copy_has_its_own_id() -> None:
    before = SFT.id
    assert SFT.model_copy(update={"messages": conversation("a", "b")}).id != before


def test_the_id_is_the_digest_of_the_canonical_json() -> None:
    assert SFT.id == hashlib.sha256(CANONICAL).hexdigest()


def test_kind_is_part_of_the_id() -> None:
    turns = conversation("a", "b")
    assert Record(kind="sft", messages=turns).id != Record(kind="document", messages=turns).id


@pytest.mark.parametrize(
    "lineage", [{"seed": "ten"}, {"seed": 3}, {"depth": 2**53}, {"depth": -1}, {"operator": "\ud800"}]
)
def test_a_lineage_that_json_readers_would_not_agree_on_is_refused(lineage: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Lineage(**lineage)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=st.lists(RECORD, min_size=1, max_size=5))
def test_what_is_written_is_read_again(suffix: str, records: list[Record]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"records.{suffix}"
        digest = write_records(records, path)
        reading = read_records(path)
        assert reading.records == records
        assert [r.lineage_id for r in reading.records] == [r.lineage_id for r in records]
        assert (reading.rejected, reading.digest, reading.ignored) == ([], digest, {})
        assert write_records(records, path) == digest


def test_a_tampered_row_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records([SFT, SFT], path)
    first, second = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f"{first}\n{second.replace('blue light', 'red light')}\n", encoding="utf-8")
    reading = read_records(path)
    assert [(r.place, r.code) for r in reading.rejected] == [("line 2", "records.id-mismatch")]


def test_trl_takes_every_preference_with_its_prompt() -> None:
    utils = pytest.importorskip("trl.data_utils")
    record = Record(
        kind="preference", chosen=conversation("ask", "good"), rejected=conversation("ask", "bad")
    )
    (row,) = to_trl([record])
    assert utils.is_conversational(row)
    assert utils.extract_prompt(row) == {
        "prompt": [{"role": "user", "content": "ask"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }


def test_trl_takes_conversations_and_documents() -> None:
    utils = pytest.importorskip("trl.data_utils")
    (row,) = to_trl([SFT])
    assert utils.is_conversational(row)
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    document = to_record({"text": "Prose."}, place="row 1")
    assert to_trl([document]) == [{"text": "Prose."}]
    assert to_trl([]) == []


def test_records_of_several_kinds_are_not_trained_on_together() -> None:
    with pytest.raises(InputError, match="1 pair, 1 sft"):
        to_trl([SFT, Record(kind="pair", text_a="a", text_b="b")])
