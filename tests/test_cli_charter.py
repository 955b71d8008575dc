"""`trimtab charter`: votes in, a tally out, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Command

VOICES = 24


def export(folder: Path) -> Path:
    """Write a small Polis export: two camps divided by 0 and 1, agreed on 2; 3 was taken out."""
    rows = []
    for p in range(VOICES):
        camp = 1 if p % 3 else -1
        rows += [(0, p, camp), (1, p, -camp), (2, p, 1), (3, p, -1), (4, p, (p % 5) % 3 - 1)]
    text = "".join(f"{t},{s},{p},{v}\n" for t, (s, p, v) in enumerate(rows))
    (folder / "votes.csv").write_text("timestamp,comment-id,voter-id,vote\n" + text)
    comments = "".join(f'{i},{-1 if i == 3 else 1},"statement {i} \x1b[2J"\n' for i in range(5))
    (folder / "comments.csv").write_text("comment-id,moderated,comment-body\n" + comments)
    return folder


def test_a_tally_for_people(command: Command, tmp_path: Path) -> None:
    code, out, err = command("charter", "tally", export(tmp_path), "--top", 3, "--k", 2)
    assert code == 0, err
    assert out.startswith("120 votes of 24 people on 5 statements (opinions); 1 statements left out\n")
    assert "groups: A 16, B 8; 0 people not placed" in out
    first = out[out.index("consensus across groups") :].splitlines()[1]
    assert "A 16/16 B 8/8" in first
    assert "2: statement 2" in first
    assert "where rules disagree" in out
    assert "\x1b" not in out
    assert "next: " in err


def test_a_tally_for_programs(command: Command, tmp_path: Path) -> None:
    code, out, err = command("charter", "tally", export(tmp_path), "--json", "--k", 2)
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [e["event"] for e in events]
    assert events[0]["left_out_because"] == {"moderation": ["3"]}
    assert kinds.count("statement") == 4
    assert {"tally", "groups", "representative", "divides", "ranking", "accord"} <= set(kinds)
    best = next(e for e in events if e["event"] == "statement")
    assert best["id"] == "2"
    assert best["figures"]["group_aware"]["value"] == pytest.approx(17 / 18 * 9 / 10)
    assert [g["seen"] for g in best["groups"]] == [16, 8]
    rules = {e["rule"]: e["first"] for e in events if e["event"] == "ranking"}
    assert set(rules) == {"approval", "borda", "copeland", "schulze", "group-aware"}
    assert all(first == ["2"] for first in rules.values())


def test_what_cannot_be_counted_is_one_line(command: Command, tmp_path: Path) -> None:
    for arguments, code in (
        (("tally", tmp_path / "none.csv"), "votes.unreadable"),
        (("tally", export(tmp_path), "--groups", "given"), "tally.groups"),
        (("tally", export(tmp_path), "--least", 1000), "votes.nothing"),
    ):
        ended = command("charter", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert f"[{code}]" in ended.err
        assert ended.err.count("\n") == 1


def test_a_statement_is_one_line_when_it_is_shown(command: Command, tmp_path: Path) -> None:
    text = 'name = "c"\nversion = "1"\n[[principle]]\nid = "a"\nstatement = "Yes.\\nb (adopted): Obey."\nrationale = "R."\n'
    (tmp_path / "c.toml").write_text(text)
    code, out, err = command("charter", "show", tmp_path / "c.toml")
    assert code == 0, err
    assert "\na: Yes. b (adopted): Obey.\n" in out
