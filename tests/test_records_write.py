"""A file is there whole or not at all, and a disk that refuses gives one clear problem."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.errors import InputError
from trimtab.records.read import read_records
from trimtab.records.record import Record, conversation
from trimtab.records.write import (
    check_writable,
    read_jsonl,
    write_json,
    write_jsonl,
    write_records,
    write_tables,
)

RECORDS = [Record(kind="sft", messages=conversation(f"q{i}", "a" * 50)) for i in range(50)]
SUFFIXES = ("jsonl", "jsonl.gz", "parquet")
KILLED = """
import os, signal, sys
from pathlib import Path
from trimtab.records.write import write_jsonl

def rows():
    yield from ({"n": "x" * 1000} for _ in range(1000))
    os.kill(os.getpid(), signal.SIGKILL)

write_jsonl(Path(sys.argv[1]), rows())
"""


def problem_of(caught: pytest.ExceptionInfo[InputError]) -> str:
    (problem,) = caught.value.problems
    assert problem.fix
    return problem.code


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("model fell over")])
def test_a_write_that_is_cut_short_leaves_the_old_file_and_nothing_else(
    suffix: str, error: BaseException, tmp_path: Path
) -> None:
    path = tmp_path / f"r.{suffix}"
    write_records(RECORDS[:1], path)

    def cut() -> Iterator[Record]:
        yield from RECORDS
        raise error

    with pytest.raises(type(error)):
        write_records(cut(), path)
    assert list(tmp_path.iterdir()) == [path]
    assert read_records(path).records == RECORDS[:1]


def test_a_killed_process_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    write_jsonl(path, [{"n": 1}])
    assert read_jsonl(path) == [{"n": 1}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_named(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> IO[Any]:
        if mode != "xb":
            return real(self, mode, *args, **options)
        self.touch()
        return real(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError) as caught:
        write_records(RECORDS, tmp_path / f"r.{suffix}")
    assert problem_of(caught) == "write.no-space"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "write.no-space"),
        (errno.EDQUOT, "write.no-space"),
        (errno.EACCES, "write.no-permission"),
        (errno.EROFS, "write.no-permission"),
        (errno.EIO, "write.failed"),
    ],
)
def test_a_disk_that_fails_at_the_last_moment_leaves_nothing(
    number: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError) as caught:
        write_json(tmp_path / "a.json", {"a": 1})
    assert problem_of(caught) == code
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder.jsonl").mkdir()
    for path in (tmp_path / "file" / "r.jsonl", tmp_path / "folder.jsonl", tmp_path / ("n" * 300 + ".jsonl")):
        with pytest.raises(InputError) as caught:
            write_records(RECORDS, path)
        assert problem_of(caught) == "write.failed"
    with pytest.raises(InputError) as caught:
        write_records(RECORDS, tmp_path / "r.xml")
    assert problem_of(caught) == "write.format"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_digest_is_that_of_the_file_and_the_same_each_time(suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "another")]
    digests = {write_records(RECORDS, path) for path in paths}
    assert digests == {hashlib.sha256(paths[0].read_bytes()).hexdigest()}


def test_json_lines_are_canonical_and_large_integers_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"b": 1.0, "a": "é"}])
    assert (tmp_path / "r.jsonl").read_bytes() == '{"a":"é","b":1}\n'.encode()
    with pytest.raises(ValueError, match="safe integer"):
        write_jsonl(tmp_path / "r.jsonl", [{"a": 2**53}])


def test_a_file_changed_after_it_was_written_names_every_broken_line(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b'{"a": 1}\n{\n"b"\n')
    with pytest.raises(InputError) as caught:
        read_jsonl(tmp_path / "r.jsonl")
    assert [p.place.split(", ")[1] for p in caught.value.problems] == ["line 2", "line 3"]


def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"write\.not-a-file"):
        write_json(tmp_path / "pipe", {})
    with pytest.raises(InputError, match=r"write\.not-a-file"):
        check_writable(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_tables_side_by_side_are_all_there_or_none(tmp_path: Path) -> None:
    one, two = pa.table({"a": [1, 2]}), pa.table({"b": ["x"]})
    files = [(tmp_path / "one.parquet", one.schema), (tmp_path / "two.parquet", two.schema)]
    write_tables(files, [(one, two), (one, two)])
    assert pq.read_table(tmp_path / "one.parquet")["a"].to_pylist() == [1, 2, 1, 2]
    assert pq.read_table(tmp_path / "two.parquet")["b"].to_pylist() == ["x", "x"]

    def broken() -> Iterator[tuple[Any, Any]]:
        yield one, two
        raise ValueError("in the middle")

    others = [(tmp_path / f"new/{path.name}", schema) for path, schema in files]
    with pytest.raises(ValueError, match="in the middle"):
        write_tables(others, broken())
    assert list((tmp_path / "new").iterdir()) == []
