"""A charter has a digest of all it says, and its problems are told at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.charter.charter import Charter, read_charter
from trimtab.errors import ConfigError, TrimtabError
from trimtab.records.toml import parse_toml

GOOD = """
name = "ours"
version = "1"
[[principle]]
id = "honesty"
statement = "Say what is known."
rationale = "People act on it."
specifics = ["No invented facts."]
examples = [{ keeps = "I do not know.", breaks = "Surely." }]
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "charter.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def codes(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_charter(path)
    assert all(p.place.startswith(str(path)) and p.fix for p in caught.value.problems)
    return [p.code for p in caught.value.problems]


def test_the_default_charter_has_ten_principles_with_examples() -> None:
    charter = read_charter()
    assert len(charter.principle) >= 10
    assert all(p.specifics and p.examples for p in charter.principle)


def test_a_charter_is_the_same_with_windows_line_ends_and_mark(tmp_path: Path) -> None:
    plain = read_charter(written(tmp_path, GOOD))
    assert read_charter(written(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())) == plain


@pytest.mark.parametrize("word", ["ours", '"1"', "honesty", "known", "act", "invented", "do not", "Surely"])
def test_every_word_is_in_the_digest(word: str, tmp_path: Path) -> None:
    before = read_charter(written(tmp_path, GOOD)).digest
    change = '"2"' if word == '"1"' else f"{word}x"
    assert read_charter(written(tmp_path, GOOD.replace(word, change))).digest != before


def test_the_order_of_keys_is_not_in_the_digest() -> None:
    charter = read_charter()
    row = charter.model_dump(mode="json")
    assert Charter.model_validate(dict(reversed(row.items()))).digest == charter.digest


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"\xff", "charter.unreadable"),
        ("name = ", "charter.toml"),
        ("name = " + "9" * 5000, "charter.toml"),
        ("name = " + "[" * 5000, "charter.toml"),
        ('name = "a"\nname = "b"', "charter.toml"),
    ],
)
def test_what_is_not_toml_is_named(text: str | bytes, code: str, tmp_path: Path) -> None:
    assert codes(written(tmp_path, text)) == [code]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert codes(written(tmp_path, "")) == ["charter.invalid"] * 3
    assert codes(written(tmp_path, 'name = "a"\nversion = "1"\nprinciple = []')) == ["charter.invalid"]
    text = (
        GOOD.replace("name", "nme").replace('"Say what is known."', '" "').replace('"honesty"', '"Not An Id"')
    )
    assert codes(written(tmp_path, text)) == ["charter.invalid"] * 4


def test_ids_used_twice_are_named(tmp_path: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("[[") :]
    with pytest.raises(ConfigError, match="used twice: honesty"):
        read_charter(written(tmp_path, twice))


def test_missing_and_forbidden_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(tmp_path / "none.toml") == ["charter.unreadable"]
    assert codes(tmp_path) == ["charter.unreadable"]
    path = written(tmp_path, GOOD)

    def forbidden(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert codes(path) == ["charter.unreadable"]


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_random_bytes_give_tables_or_a_trimtab_error(data: bytes) -> None:
    with suppress(TrimtabError):
        assert isinstance(parse_toml(data, place="x", area="charter"), dict)
