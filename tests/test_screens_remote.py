"""Datasets that are far away: an S3 store on this machine, and one clear error where nothing can be reached."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.test_screens_dataset import rows
from trimtab.records import _tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Command


def lines(made: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in made)


FILES = {
    "d/one.jsonl": lines(rows(30)),
    "d/two.jsonl.gz": gzip.compress(lines(rows(60)[30:]), mtime=0),
    "d/readme.txt": b"nothing to read",
    "cut/cut.jsonl.gz": gzip.compress(lines(rows(30)), mtime=0)[:-20],
    "denied/data.jsonl": lines(rows(1)),
}


class Store(BaseHTTPRequestHandler):
    """As much of S3 as reading takes: listing a folder, and a file whole or in part."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key = url.path.removeprefix("/bucket/")
        if "list-type" in url.query:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            found = [
                f"<Contents><Key>{name}</Key><Size>{len(data)}</Size></Contents>"
                for name, data in FILES.items()
                if name.startswith(prefix)
            ]
            self.answer(200, f"<ListBucketResult>{''.join(found)}</ListBucketResult>".encode())
        elif key not in FILES:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif key.startswith("denied/") and self.command == "GET":
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            data = FILES[key][int(first) : int(last) + 1 if last else None]
            self.answer(206, data, f"bytes {first}-{int(first) + len(data) - 1}/{len(FILES[key])}")
        else:
            self.answer(200, FILES[key])

    def answer(self, code: int, data: bytes, part: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture(scope="module")  # Daft reads the endpoint once in a process
def store() -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1", "EC2_METADATA_DISABLED": "true",
            "ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        }.items():  # fmt: skip
            patch.setenv(f"AWS_{name}", value)
        yield
    server.shutdown()
    server.server_close()


def screened(command: Command, out: Path, data: str) -> dict[str, Any]:
    code, told, err = command("screen", data, "-o", out, "--exit-zero", "--json")
    assert code == 0, err
    return dict(json.loads(told.splitlines()[-1]))


@pytest.mark.usefixtures("store")
def test_files_of_a_store_are_read_like_files_here(command: Command, tmp_path: Path) -> None:
    done = screened(command, tmp_path / "far", "s3://bucket/d/*")
    assert (done["rows"], done["kept"]) == (60, 60)
    (tmp_path / "d").mkdir()
    for name in ("one.jsonl", "two.jsonl.gz"):
        (tmp_path / "d" / name).write_bytes(FILES[f"d/{name}"])
    screened(command, tmp_path / "near", str(tmp_path / "d"))
    far, near = ((tmp_path / name / "kept.parquet").read_bytes() for name in ("far", "near"))
    assert far == near


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ("s3://bucket/d/none.jsonl", "records.missing", "holds no file of a known extension"),
        ("s3://bucket/nothing/*.jsonl", "records.missing", "holds no file of a known extension"),
        ("s3://bucket/denied/data.jsonl", "records.unreadable", "AWS_"),
        ("s3://bucket/cut/cut.jsonl.gz", "records.gzip", "is not whole gzip data"),
    ],
)
def test_what_a_store_does_not_give_is_one_line(
    command: Command, tmp_path: Path, data: str, code: str, words: str
) -> None:
    ended = command("screen", data, "-o", tmp_path / "out")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"[{code}]" in ended.err
    assert words in ended.err


def test_the_hub_without_a_network_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(_tables, "_datasets", lambda why: None)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    ended = command("screen", "hf://org/name", "-o", tmp_path / "out")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "Name or service not known" in ended.err
    assert "[records.hub]" in ended.err
