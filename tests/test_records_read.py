"""Every usual shape and file is read; what cannot be read has a reason, and never a traceback."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, TrimtabError
from trimtab.records import _text, shapes
from trimtab.records.read import iter_rows, one_kind, read_records
from trimtab.records.record import conversation
from trimtab.records.shapes import ShapeError, to_record

SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, "sft"),
    ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "sft"),
    ({"instruction": "q", "input": "", "output": "a"}, "sft"),
    ({"prompt": "q", "completion": "a"}, "sft"),
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference"),
    ({"question": "q", "chosen": "a", "rejected": "b"}, "preference"),
    ({"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}, "preference"),
    ({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}, "preference"),
    ({"text_a": "a", "text_b": "b"}, "pair"),
    ({"text": "prose"}, "document"),
]
GOOD = json.dumps(SHAPES[0][0])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted(
    {key for row, _ in SHAPES for key in row}
    | {"kind", "id", "lineage", "lineage_id", "system", "source", "mechanism", "cell"}
)
VALUES = (
    JSON
    | st.sampled_from([value for row, _ in SHAPES for value in row.values()])
    | st.sampled_from(["sft", "preference", "pair", "document", "human", {"seed": "1"}, {"depth": 2**70}])
)
ROWS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | JSON
SUFFIXES = ("jsonl", "jsonl.gz", "json", "csv", "parquet")


def code_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_records(path)
    (problem,) = caught.value.problems
    assert str(path) in problem.place
    assert problem.fix
    return problem.code


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def as_csv(row: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([row, [v if isinstance(v, str) else json.dumps(v) for v in row.values()]])
    return out.getvalue()


@pytest.mark.parametrize(("row", "kind"), SHAPES)
def test_every_shape_is_read_from_every_file(row: dict[str, Any], kind: str, tmp_path: Path) -> None:
    line = json.dumps(row)
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "r.parquet")
    paths = [
        written(tmp_path / "r.jsonl", line),
        written(tmp_path / "bom.jsonl", b"\xef\xbb\xbf" + line.encode()),
        written(tmp_path / "r.jsonl.gz", gzip.compress(line.encode(), mtime=0)),
        written(tmp_path / "r.json", f"\n [{line}]"),
        written(tmp_path / "lines.json", f"{line}\n"),
        written(tmp_path / "printed.json", json.dumps(row, indent=2)),
        written(tmp_path / "held.json", json.dumps({"version": "1", "data": [row]})),
        written(tmp_path / "held_printed.json", json.dumps({"train": [row]}, indent=2)),
        written(tmp_path / "r.csv", as_csv(row)),
        tmp_path / "r.parquet",
    ]
    found = [read_records(path) for path in paths]
    assert {one_kind(reading) for reading in found} == {kind}
    assert len({reading.records[0].id for reading in found}) == 1


def test_no_row_of_a_json_file_is_lost(tmp_path: Path) -> None:
    row, other = ({"text": text, "examples": [{"text": "c"}]} for text in "ab")
    apart = f"\n{json.dumps(row)}\n\n \n{json.dumps(other)}\n"
    for text, found in ((apart, [row, other]), (json.dumps(row), [row]), (json.dumps(row, indent=1), [row])):
        assert [item for _, item in iter_rows(written(tmp_path / "r.json", text))] == found


def test_a_reply_may_be_one_message() -> None:
    said = {key: {"role": "assistant", "content": key} for key in ("chosen", "rejected")}
    turns = {key: [message] for key, message in said.items()}
    found, listed = (to_record({"prompt": "q", **row}, place="row 1") for row in (said, turns))
    assert (found.kind, found.id) == ("preference", listed.id)


def test_a_dataset_saved_on_disk_is_read_with_all_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    train = datasets.Dataset.from_list([SHAPES[0][0]] * 2)
    datasets.DatasetDict({"train": train, "test": train}).save_to_disk(tmp_path / "d")
    reading = read_records(tmp_path / "d")
    assert len(reading.records) == 4
    assert [place for place, _ in iter_rows(tmp_path / "d")][2] == "test row 1"
    next((tmp_path / "d").rglob("*.arrow")).write_bytes(b"cut")
    assert code_of(tmp_path / "d") == "records.folder"


def test_shapes_keep_system_prompt_and_input() -> None:
    row = {"system": "Be kind.", "instruction": "Add.", "input": "1 2", "output": "3"}
    record = to_record(row, place="row 1")
    turns = [(m.role, m.content) for m in record.messages or ()]
    assert turns == [("system", "Be kind."), ("user", "Add.\n\n1 2"), ("assistant", "3")]


def test_a_preference_holds_whole_conversations_whether_the_prompt_is_repeated_or_not() -> None:
    whole = [m.model_dump() for m in conversation("q", "a")]
    other = [m.model_dump() for m in conversation("q", "b")]
    ids = {
        to_record(row, place="row 1").id
        for row in (
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            {"prompt": "q", "chosen": whole, "rejected": other},
            {"prompt": "q", "chosen": whole[1:], "rejected": other[1:]},
            {"prompt": whole[:1], "chosen": "a", "rejected": "b"},
            {"chosen": whole, "rejected": other},
            {"question": "other", "chosen": whole, "rejected": other},
            {"question": "q", "chosen": "a", "rejected": "b"},
            {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
            {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        )
    }
    assert len(ids) == 1
    dialog = "Human: q\n\nAssistant: Human: is\nAssistant: a word.\n\nHuman: r\n\nAssistant: {}"
    turns = (
        to_record({"chosen": dialog.format("a"), "rejected": dialog.format("b")}, place="row 1").chosen or ()
    )
    assert [m.content for m in turns] == ["q", "Human: is\nAssistant: a word.", "r", "a"]


def test_what_records_do_not_hold_is_counted(tmp_path: Path) -> None:
    row = {"text": "prose", "url": "u", "stars": None}
    reading = read_records(written(tmp_path / "r.jsonl", f"{json.dumps(row)}\n" * 2))
    assert reading.ignored == {"url": 2}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "records.json"),
        (b"[1]", "records.not-object"),
        (b'{"text": "a", "text": "b"}', "records.json"),
        (b'{"text": NaN}', "records.json"),
        (b'{"text": "\\ud800"}', "records.surrogate"),
        (b'{"text": "x", "\\udfff": 1}', "records.surrogate"),
        (b'{"text": "\xff"}', "records.not-utf8"),
        (b'{"text": 12345678901234567890123}', "records.not-text"),
        (b'{"text": ' + b"9" * 5000 + b"}", "records.json"),
        (b"[" * 100_000, "records.json"),
        (b'{"text": " "}', "records.empty-text"),
        (b'{"words": "a"}', "records.unknown-shape"),
        (b'{"messages": []}', "records.not-messages"),
        (b'{"messages": [{"role": "king", "content": "a"}]}', "records.role"),
        (b'{"chosen": "a", "rejected": "b"}', "records.no-prompt"),
        (b'{"chosen": "Human: q", "rejected": "Human: q"}', "records.no-reply"),
        (b'{"chosen": "Human: q\\n\\nAssistant: ", "rejected": "Human: q"}', "records.empty-text"),
        (b'{"prompt": "q", "completion": "a", "label": false}', "records.unwanted"),
        (b'{"kind": "sft", "messages": [{"role": "user", "content": 5}]}', "records.schema"),
        (b'{"kind": "pair", "text_a": "a", "text_b": "b", "id": "0"}', "records.id-mismatch"),
        (b'{"kind": "pair", "text_a": "a", "text_b": "b", "lineage": {"depth": 9007199254740992}}', "records.schema"),
    ],
)  # fmt: skip
def test_a_bad_row_is_rejected_and_the_others_kept(line: bytes, code: str, tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", GOOD.encode() + b"\n" + line + b"\n\n" + GOOD.encode())
    reading = read_records(path)
    assert len(reading.records) == 2
    assert [(r.place, r.code) for r in reading.rejected] == [("line 2", code)]
    assert str(reading.rejected[0]).isprintable()


def test_a_line_of_fifty_megabytes_is_one_rejected_row(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", b'{"text": "' + b"a" * (50 * 2**20) + b'"}\n' + GOOD.encode())
    reading = read_records(path)
    assert len(reading.records) == 1
    assert [(r.place, r.code) for r in reading.rejected] == [("line 1", "records.line-too-long")]


def test_a_long_row_of_csv_is_rejected_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "MAX_LINE", 30)
    path = written(tmp_path / "r.csv", f'text\nfirst\n"open\n{"x" * 40}\nend"\nlast\n')
    reading = read_records(path)
    assert [r.messages[0].content for r in reading.records if r.messages] == ["first", "last"]
    assert [r.code for r in reading.rejected] == ["records.line-too-long"]


@pytest.mark.parametrize(
    ("text", "replies"),
    [
        ('\ninstruction;input;output\nWhy?;;"So; it is"\nHow?;;Thus, so.\n', ["So; it is", "Thus, so."]),
        ("prompt\tcompletion\nWhy?\tSo, or so; yes.\n", ["So, or so; yes."]),
        ("prompt,completion\nWhy; how?,So;\n", ["So;"]),
    ],
)
def test_the_header_of_csv_says_what_parts_its_cells(text: str, replies: list[str], tmp_path: Path) -> None:
    reading = read_records(written(tmp_path / "r.csv", text))
    assert [r.messages[-1].content for r in reading.records if r.messages] == replies
    assert not reading.rejected


def test_a_quote_left_open_names_all_the_lines_it_swallows(tmp_path: Path) -> None:
    reading = read_records(written(tmp_path / "r.csv", 'text\nfirst\n"open\nsecond\nthird\n'))
    assert [(r.place, r.code) for r in reading.rejected] == [("line 3 to 5", "records.csv")]


def test_many_keys_of_which_one_is_twice_take_no_quadratic_time() -> None:
    class Name(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    pairs: list[tuple[str, Any]] = [(Name(f"k{i}"), 1) for i in range(1000)]
    assert isinstance(shapes._object([*pairs, (Name("z"), 1), (Name("z"), 2)]), shapes.Flaw)
    assert Name.compared < 10_000


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("r.jsonl", b"", "records.empty"),
        ("r.jsonl", b"\n \n", "records.empty"),
        ("r.json", b"[]", "records.empty"),
        ("r.csv", b"", "records.empty"),
        ("r.csv", b"text\n", "records.empty"),
        ("r.parquet", b"", "records.empty"),
        ("r.jsonl.gz", b"", "records.empty"),
        ("r.jsonl", b"{}", "records.no-valid-row"),
        ("r.json", b"[1, ", "records.json"),
        ("r.json", b'{"train": [{"text": "a"}],\n "test": [{"text": "b"}]}', "records.json"),
        ("r.json", b'{"train": [{"text": "a"}], "dev": [{"text": "b"}]}', "records.json"),
        ("r.json", b'{"data": []}', "records.empty"),
        ("r.json", b'{"data": [\n1]}', "records.no-valid-row"),
        ("r.json", b'{"text": [\n"a"', "records.no-valid-row"),
        ("r.json", b"[" * 100_000, "records.json"),
        ("r.json", b'["\xff"]', "records.not-utf8"),
        ("r.jsonl", '{"text": "é"}'.encode("latin-1"), "records.not-utf8"),
        ("r.jsonl", '{"text": "é"}'.encode("utf-16"), "records.not-utf8"),
        ("r.csv", "text\né".encode("utf-16"), "records.not-utf8"),
        ("r.jsonl", '{"text": "é"}'.encode("utf-16-le"), "records.not-utf8"),
        ("r.csv", "text\né".encode("utf-16-be"), "records.not-utf8"),
        ("r.csv", "é\nx".encode("latin-1"), "records.not-utf8"),
        ("r.csv", b"text,text\na,b", "records.csv"),
        ("r.jsonl.gz", gzip.compress(GOOD.encode(), mtime=0)[:-4], "records.gzip"),
        ("r.jsonl.gz", b"no gzip", "records.gzip"),
        ("r.parquet", b"no parquet", "records.parquet"),
        ("r.pkl", b"x", "records.format"),
    ],
)
def test_an_input_that_cannot_be_used_has_one_problem(
    name: str, content: bytes, code: str, tmp_path: Path
) -> None:
    assert code_of(written(tmp_path / name, content)) == code


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_truncated_parquet_is_named(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(2000)]}), path)
    data = path.read_bytes()
    assert code_of(written(path, data[: int(len(data) * kept)])) == "records.parquet"


def test_parquet_with_a_column_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"colname": ["a"]}), path, store_schema=False)
    assert code_of(written(path, path.read_bytes().replace(b"colname", b"\xffolname"))) == "records.parquet"


def test_missing_folder_and_forbidden_inputs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(tmp_path / "none.jsonl") == "records.missing"
    assert code_of(tmp_path / "none.xyz") == "records.missing"
    assert code_of(tmp_path) == "records.folder"
    path = written(tmp_path / "r.jsonl", GOOD)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert code_of(path) == "records.no-permission"


def test_a_loop_of_links_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    os.symlink(path, path)
    assert code_of(path) == "records.unreadable"


def test_mixed_kinds_are_refused_where_one_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", "\n".join(json.dumps(row) for row, _ in SHAPES))
    reading = read_records(path)
    assert len(reading.records) == len(SHAPES)
    with pytest.raises(InputError, match=r"records\.mixed-kinds"):
        one_kind(reading)
    assert [r.code for r in read_records(path, kind="pair").rejected] == ["records.other-kind"] * (
        len(SHAPES) - 1
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200))
@example(data=b'text\n"')
@example(data=b"PAR1PAR1")
def test_random_bytes_give_rows_or_a_trimtab_error(suffix: str, data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / f"r.{suffix}", data)
        with suppress(TrimtabError):
            assert read_records(path).records


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(ROWS, max_size=6))
def test_kept_and_rejected_rows_are_all_rows(rows: list[Any]) -> None:
    # With a row that can always be read: an input without one is an error as a whole.
    lines = [GOOD, *(json.dumps(row) for row in rows)]
    with TemporaryDirectory() as folder:
        for name, text in (("r.jsonl", "\n".join(lines)), ("r.json", f"[{','.join(lines)}]")):
            reading = read_records(written(Path(folder) / name, text))
            assert len(reading.records) + len(reading.rejected) == len(rows) + 1


@settings(max_examples=150, deadline=None)
@given(row=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_a_row_becomes_a_record_or_a_shape_error(row: dict[str, Any]) -> None:
    with suppress(ShapeError):
        record = to_record(row, place="row 1")
        assert to_record(record.row(), place="row 1") == record
