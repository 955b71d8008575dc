"""The command line as a whole: help, version, `init`, `doctor`, and what is done with hostile text and refusals."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trimtab import __version__, cli
from trimtab.cli import output
from trimtab.cli.app import COMMANDS
from trimtab.records.read import Rejected

if TYPE_CHECKING:
    from tests.conftest import Command

HOSTILE = "\x1b[2Jgone\x9b31m\u202e\rover"


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"trimtab {__version__}\n", "")


def test_the_help_lists_every_command(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)
    assert "Example" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(command: Command, name: str) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert "Example" in out
    assert f"trimtab {name}" in out


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--fly"], ["probe"], ["probe", "--limit", "many"]])
def test_misuse_exits_with_2_and_says_what(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err
    assert "Traceback" not in err


def test_init_writes_what_run_reads(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("init")
    assert code == 0
    assert "next: trimtab run" in out
    assert (
        command("run", "--dry-run", "--json").out
        == command("run", "--dry-run", "--json", "-c", "trimtab.toml").out
    )
    assert Path("trimtab.toml").read_bytes() == (Path(output.__file__).parent / "trimtab.toml").read_bytes()


def test_init_overwrites_only_when_told(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 1")
    code, _, err = command("init", path)
    assert code == 2
    assert "[init.exists]" in err
    assert path.read_text() == "seed = 1"
    assert command("init", path, "--force").code == 0
    before = path.read_bytes()
    code, _, err = command("init", path / "under", "--force")
    assert (code, "[init.not-written]" in err) == (2, True)
    assert path.read_bytes() == before
    assert path.read_text() != "seed = 1"


def test_doctor_says_what_is_here_and_shows_no_password(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@host:1/v1")
    code, out, err = command("doctor")
    assert code == 0
    assert f"trimtab {__version__}" in out
    assert "host:1/v1" in out
    assert "secret" not in out
    assert "next: " in err


def test_doctor_names_the_line_that_installs_what_is_missing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ['no-such-package-as-this>=2; extra == "ray"', 'trimtab[ray]; extra == "sign"', "daft>=1"]
    monkeypatch.setattr("trimtab.cli.doctor.requires", lambda name: lines)
    monkeypatch.setattr("trimtab.cli.doctor.find_spec", lambda name: None)
    out = command("doctor").out
    assert "[missing] ray" in out
    assert "missing no-such-package-as-this: pip install 'trimtab[ray]'" in out


def test_doctor_looks_at_every_part_that_the_package_names() -> None:
    import re
    import tomllib

    from trimtab.cli.doctor import EXTRAS, parts
    from trimtab.errors import WEIGHTS

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    names = {
        extra: {re.split(r"[<>=\[]", line)[0] for line in lines} - {"trimtab"}
        for extra, lines in project["optional-dependencies"].items()
    }
    assert {extra: set(found) for extra, found in parts().items()} == {e: names[e] for e in EXTRAS}
    assert set(names) - set(EXTRAS) == {"dev"}
    # Installed without what they declare, by the line that is told, at the versions of the extra.
    assert set(WEIGHTS) | {"trimtab[local]"} == set(project["optional-dependencies"]["embedded"])


def test_text_from_data_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell(f"{HOSTILE}\nnext line\ttab")
    output.say(HOSTILE)
    output.say_rejected(f"{HOSTILE}.jsonl", [Rejected("line 1", "code", HOSTILE)], {HOSTILE: 2})
    out, err = capsys.readouterr()
    assert out.endswith("\nnext line\ttab\n")
    for text in (out, err):
        assert all(c.isprintable() or c in "\n\t" for c in text)
        assert "gone" in text


def test_many_rejected_rows_are_counted_by_code(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Rejected(f"line {i}", "a" if i % 2 else "b", "why") for i in range(output.SHOWN + 6)]
    output.say_rejected("f", rows)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == output.SHOWN + 2
    assert lines[-2:] == ["f: rejected rows: 3 more [a]", "f: rejected rows: 3 more [b]"]


def test_events_are_json_that_any_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = {
        "name": "gap",
        "value": 0.5,
        "low": float("-inf"),
        "high": float("nan"),
        "n": 1,
        "clusters": 1,
    }
    output.estimate_event({**estimate, "unit": "nats", "note": ""}, suite=f"{HOSTILE}\ud800", model="d")
    out = capsys.readouterr().out
    assert out.isascii()
    row = json.loads(out)
    assert list(row) == ["event", "name", "suite", "value", "low", "high", "n", "clusters", "unit", "model"]
    assert (row["low"], row["high"]) == (None, None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the output: No space left on device. Free some space",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/\x1by"),
            r"/x/\x1by: Permission denied. Check",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    def refuse(text: str) -> None:
        raise error

    monkeypatch.setattr("trimtab.cli._drop_output", lambda: None)
    monkeypatch.setattr("trimtab.cli.output.tell", refuse)
    code, out, err = command("doctor")
    assert (code, out) == (2, "")
    assert err.startswith(f"trimtab: {told}")
    assert err.count("\n") == 1
    assert err.endswith("[system.refused]\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_under_stdout_is_one_line() -> None:
    code = "from trimtab.cli import main; main()"
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code, "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("trimtab: the output: No space left on device.")
    assert ended.stderr.count("\n") == 1


def test_an_interruption_says_what_is_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimtab.cli.doctor._version", interrupt)
    code, _, err = command("doctor")
    assert code == 130
    assert err == "trimtab: interrupted; what was begun is not kept\n", "it writes nothing that could be kept"
    for arguments in (
        ["run"],
        ["harden", "-o", "r.jsonl"],
        ["probe", "--outcomes", "o.jsonl"],
        ["probe", "--outcomes=o"],
    ):
        assert cli._interrupted(arguments).endswith("the same command goes on there")
    assert cli._interrupted(["probe", "-s", "s.jsonl"]).endswith("with --outcomes FILE it is")
