"""What a screen reads and writes: no file of a user is deleted, overwritten, read twice or left out unsaid."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.test_screens_dataset import one_process, read, rows, run, text, write
from trimtab import engine
from trimtab.errors import InputError
from trimtab.records.read import read_records
from trimtab.screens import dataset, sources
from trimtab.screens.ignored import MOST_KEYS, OTHERS, Ignored
from trimtab.screens.inputs import list_files
from trimtab.screens.settings import Settings
from trimtab.screens.work import WORK, close_work, open_work

if TYPE_CHECKING:
    from tests.conftest import Command

__all__ = ["one_process"]  # a fixture that every test here uses


def names(data: object, out: Path | None = None) -> list[str]:
    return [file.name for file in list_files(str(data), out).files]


def left_out(data: object, out: Path | None = None) -> dict[str, str]:
    return list_files(str(data), out).left_out


def put(path: Path, start: int = 0, n: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, rows(n, start=start))


def codes(data: object, out: Path, **more: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        run(data, out, **more)
    return [problem.code for problem in caught.value.problems]


# ---- what is written


def test_a_folder_of_the_users_under_the_output_stays(tmp_path: Path) -> None:
    data = put(tmp_path / "d/parts/data.jsonl")
    assert run(data.parent, tmp_path / "d").kept == 3
    assert data.is_file()
    assert (tmp_path / "d/kept.parquet").is_file()
    assert not (tmp_path / "d" / WORK).exists()


def test_a_work_folder_without_the_mark_is_somebody_elses(tmp_path: Path) -> None:
    data = put(tmp_path / "data.jsonl")
    mine = put(tmp_path / "out" / WORK / "rows/mine.jsonl")
    assert codes(data, tmp_path / "out") == ["screen.work"]
    assert mine.is_file()
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / WORK).symlink_to(mine.parent, target_is_directory=True)
    assert codes(data, tmp_path / "link") == ["screen.work"]
    assert [path.name for path in mine.parent.iterdir()] == ["mine.jsonl"]


def test_closing_leaves_what_a_screen_did_not_write(tmp_path: Path) -> None:
    work = open_work(tmp_path)
    put(work / "rows/rows-00000.jsonl")
    mine = put(work / "mine.jsonl")
    close_work(work)
    assert not (work / "rows").exists()
    assert mine.is_file()
    mine.unlink()
    close_work(work)
    assert not work.exists()


def test_a_screen_that_fails_leaves_no_old_verdict(command: Command, tmp_path: Path) -> None:
    data, out = put(tmp_path / "data.jsonl"), tmp_path / "out"
    assert command("screen", data, "-o", out).code == 0
    before = sorted(path.name for path in out.iterdir())
    assert command("screen", tmp_path / "none.jsonl", "-o", out).code == 2
    assert sorted(path.name for path in out.iterdir()) == before, "nothing was begun"
    mine = put(out / "mine.jsonl")
    data.write_text("\n")
    assert "[screen.empty]" in command("screen", data, "-o", out).err
    assert sorted(path.name for path in out.iterdir()) == [WORK, "mine.jsonl"]
    assert mine.is_file()
    put(data)
    assert command("screen", data, "-o", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*before, "mine.jsonl"])


def test_a_report_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    data = put(tmp_path / "data.jsonl")
    mine = tmp_path / "out/report.json"
    mine.parent.mkdir()
    mine.write_text('{"mine": 1}')
    assert codes(data, mine.parent) == ["screen.not-ours"]
    assert mine.read_text() == '{"mine": 1}'


@pytest.mark.parametrize("name", ["kept.parquet", "findings.jsonl", "report.html"])
def test_a_file_of_the_users_is_not_overwritten_nor_left_out(tmp_path: Path, name: str) -> None:
    put(tmp_path / "d/data.jsonl")
    (tmp_path / "d" / name).write_bytes(b"mine")
    assert codes(tmp_path / "d/data.jsonl", tmp_path / "d") == ["screen.not-ours"]
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == sorted(["data.jsonl", name])
    assert (tmp_path / "d" / name).read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["my runs/x", "run[1]", "oa*", "q?{a,b}\\z%20 é"])
def test_an_output_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put(tmp_path / "data.jsonl")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data.jsonl", [*rows(3), rows(1)[0]])
    done = run("data.jsonl", Path(name))
    assert (done.kept, done.excluded) == (3, 1)
    assert len(read(tmp_path / name / "kept.parquet")) == 3


def test_work_is_handed_on_by_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The processes of a cluster run in folders of their own.
    put(tmp_path / "d/data.jsonl")
    put(tmp_path / "d/more.csv").write_text(f"text\n{text(91)}\n")
    monkeypatch.chdir(tmp_path)
    plain = engine.spread_out

    def elsewhere(work: Any, items: Any) -> Any:
        def moved(item: str) -> str:
            (tmp_path / "else").mkdir(exist_ok=True)
            monkeypatch.chdir(tmp_path / "else")
            try:
                return str(work(item))
            finally:
                monkeypatch.chdir(tmp_path)

        return plain(moved, items)

    monkeypatch.setattr("trimtab.screens.sources.spread_out", elsewhere)
    monkeypatch.setattr("trimtab.screens.scan.spread_out", elsewhere)
    assert run("d", Path("out")).kept == 4
    assert list((tmp_path / "else").iterdir()) == []


def test_an_output_name_that_is_not_utf8_is_one_error(tmp_path: Path) -> None:
    data = put(tmp_path / "data.jsonl")
    assert codes(data, tmp_path / os.fsdecode(b"o\xff")) == ["screen.output-name"]


def test_versions_of_a_file_have_folders_of_their_own(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("train.v1.jsonl", "train.v2.jsonl", "a/train.v1.jsonl")):
        put(tmp_path / name, start=10 * i)
    assert command("screen", "train.v1.jsonl").code == 0
    assert command("screen", "train.v2.jsonl").code == 0
    assert sorted(path.name for path in (tmp_path / "screens").iterdir()) == ["train_v1", "train_v2"]
    ended = command("screen", "a/train.v1.jsonl")
    assert (ended.code, "[screen.other-data]" in ended.err) == (2, True)
    assert command("screen", tmp_path / "train.v1.jsonl").code == 0, "the same file again"


# ---- what is read


def test_a_screen_does_not_read_what_it_wrote(command: Command, tmp_path: Path) -> None:
    put(tmp_path / "data.jsonl")
    evaluation = put(tmp_path.parent / f"{tmp_path.name}.jsonl", start=50)
    out = tmp_path / "screens/one"
    for _ in range(2):
        code, told, _ = command("screen", tmp_path, "--against", evaluation, "-o", out, "--json")
        done = json.loads(told.splitlines()[-1])
        assert (code, done["rows"]) == (0, 3)
    assert done["left_out"]["screens/one"] == "in the output folder"
    again = command("screen", tmp_path, "-o", tmp_path / "screens/two").err
    assert "not read, the output of another screen: screens/one" in again
    assert "3 rows read" in again


def test_a_folder_screened_into_itself(tmp_path: Path) -> None:
    put(tmp_path / "data.jsonl")
    for _ in range(2):
        done = run(tmp_path, tmp_path)
        assert [source.file for source in done.sources] == ["data.jsonl"]
    assert done.left_out == dict.fromkeys(
        ("excluded.parquet", "findings.jsonl", "kept.parquet"), "what a screen writes to the output folder"
    )


@pytest.mark.parametrize("data", ["kept.parquet", "../out/kept.parquet"])
def test_an_input_that_is_an_output_is_refused(tmp_path: Path, data: str) -> None:
    out = tmp_path / "out"
    run(put(tmp_path / "data.jsonl"), out)
    before = (out / "kept.parquet").read_bytes()
    assert codes(out / data, out) == ["screen.own-output"]
    assert codes(tmp_path / "data.jsonl", out, reference=str(out / data)) == ["screen.own-output"]
    assert codes(f"{out}/*.parquet", out) == ["records.missing"]
    assert (out / "kept.parquet").read_bytes() == before
    assert run(out / "kept.parquet", tmp_path / "again").kept == 3


def test_files_of_one_name_in_two_folders_have_two_places(tmp_path: Path) -> None:
    put(tmp_path / "d/a/data.jsonl")
    write(tmp_path / "d/b.jsonl", rows(1))
    run(tmp_path / "d", tmp_path / "out")
    (row,) = read(tmp_path / "out/excluded.parquet")
    assert (row["place"], row["why"]) == ("b.jsonl, line 1", "repeats a/data.jsonl, line 1")


def test_every_ending_of_a_known_format_is_read(tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in rows(7)]
    folder = tmp_path / "d"
    put(folder / "a.ndjson", n=1)
    put(folder / "b.JSONL", start=1, n=1)
    for name, data in {
        "c.json.gz": b"[" + lines[2] + b"]", "d.ndjson.gz": lines[3], "e.csv.gz": f"text\n{text(99)}\n".encode(),
        "f.JSONL.GZ": lines[4],
    }.items():  # fmt: skip
        (folder / name).write_bytes(gzip.compress(data))
    (folder / "g.JSON").write_bytes(lines[5])
    pq.write_table(pa.table({"text": [text(98)]}), folder / "h.PARQUET")
    done = run(folder, tmp_path / "out")
    assert (done.rows, done.kept, done.left_out) == (8, 8, {})
    assert [read_records(folder / name).records[0].kind for name in ("a.ndjson", "d.ndjson.gz", "b.JSONL")]
    against = [str(folder / "c.json.gz"), str(folder / "h.PARQUET")]
    assert run(folder / "a.ndjson", tmp_path / "o2", against=against).kept == 1
    (folder / "c.json.gz").write_bytes(gzip.compress(b"[{"))
    with pytest.raises(InputError, match=r"^c\.json\.gz: is not JSON"):
        run(folder, tmp_path / "out")


def test_what_a_folder_holds_and_is_not_read_is_named(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    put(folder / "a.jsonl")
    put(tmp_path / "far/b.jsonl", start=10)
    (folder / "README.md").write_text("no data")
    (folder / "linked").symlink_to(tmp_path / "far", target_is_directory=True)
    (folder / "linked2").symlink_to(tmp_path / "far", target_is_directory=True)
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "gone.jsonl").symlink_to(tmp_path / "none.jsonl")
    (folder / "round.jsonl").symlink_to(folder / "round.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    assert names(folder) == ["a.jsonl", "linked/b.jsonl"]
    assert left_out(folder) == {
        "README.md": "an unknown extension",
        "linked2": "a link to a folder that is read already",
        "up": "a link to a folder that is read already",
        "gone.jsonl": "a broken link",
        "round.jsonl": "a broken link",
        "pipe.jsonl": "not a file",
    }
    err = command("screen", folder, "-o", tmp_path / "out").err
    assert "not read, a broken link: gone.jsonl, round.jsonl" in err
    assert "pipe.jsonl" in (tmp_path / "out/report.html").read_text()


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.jsonl")
    put(tmp_path / "shut/b.jsonl")
    plain = Path.iterdir

    def shut(path: Path) -> Any:
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(Path, "iterdir", shut)
    assert left_out(tmp_path) == {"shut": "a folder that cannot be read (Permission denied)"}


def test_patterns(tmp_path: Path) -> None:
    for name in (
        "a/data.jsonl",
        "b/data.jsonl",
        "b/deep/x.jsonl",
        "top.jsonl",
        "[x]/one.jsonl",
        "b/note.txt",
    ):
        put(tmp_path / name)
    assert names(tmp_path / "*/data.jsonl") == ["a/data.jsonl", "b/data.jsonl"]
    assert names(tmp_path / "?/*.jsonl") == ["a/data.jsonl", "b/data.jsonl"]
    assert len(names(tmp_path / "**/*.jsonl")) == 5
    assert names(tmp_path / "b/**") == ["data.jsonl", "deep/x.jsonl"]
    assert left_out(tmp_path / "b/**") == {"note.txt": "an unknown extension"}
    assert left_out(tmp_path / "b/*")["deep"] == "a folder: name it, or end the pattern in **"
    assert names(tmp_path / "[x]/one.jsonl") == names(tmp_path / "[x]/*.jsonl") == ["one.jsonl"]
    assert names(tmp_path / "[ab]/data.jsonl") == ["a/data.jsonl", "b/data.jsonl"]
    with pytest.raises(InputError, match=r"records\.pattern"):
        list_files(str(tmp_path / "b**/*.jsonl"))
    with pytest.raises(InputError, match=r"not read, an unknown extension: note\.txt"):
        list_files(str(tmp_path / "b/*.txt"))
    run(tmp_path / "top.jsonl", tmp_path / "out")
    assert left_out(tmp_path / "*/*")["out/kept.parquet"] == ("the output of another screen")


@pytest.mark.parametrize("name", ["real", "real/*/r.jsonl", "file://{}/real/a/*.jsonl"])
def test_references_and_evaluation_sets_are_named_as_data_is(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / "d.jsonl", [*rows(3), rows(1, start=40)[0]])
    put(tmp_path / "real/a/r.jsonl", start=40, n=5)
    named = name.format(tmp_path) if "://" in name else str(tmp_path / name)
    done = run(data, tmp_path / "out", against=[named], reference=named)
    assert done.reasons == {"contamination.grams": 1}
    assert done.reference == f"reference {named}: 5 rows read, 5 taken"
    assert not (tmp_path / "out" / WORK).exists()
    (tmp_path / "real/note.txt").write_text("no data")
    left = run(data, tmp_path / "out", reference=str(tmp_path / "real")).left_out
    assert left == {f"{tmp_path}/real: note.txt": "an unknown extension"}


def test_rows_of_a_reference_that_are_not_taken_are_counted(command: Command, tmp_path: Path) -> None:
    data = put(tmp_path / "d.jsonl")
    real = write(tmp_path / "r.jsonl", [{"text": text(i)} for i in range(3)] + [{"text": ""}, "{", "["])
    err = command("screen", data, "--reference", real, "-o", tmp_path / "out").err
    words = " ".join(err.split())
    assert "6 rows read, 3 taken, 3 left out (1 records.empty-text, 2 records.json)" in words
    assert "3 left out" in (tmp_path / "out/report.html").read_text()


def test_all_names_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    data = put(tmp_path / "d.jsonl")
    missing = [str(tmp_path / name) for name in ("one.jsonl", "two.jsonl")]
    assert codes(data, tmp_path / "out", against=missing, reference=missing[0]) == ["records.missing"] * 3
    assert not (tmp_path / "out").exists()


def test_a_file_name_that_is_not_utf8(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / os.fsdecode(b"n\xff.jsonl")).write_bytes(put(tmp_path / "x.jsonl").read_bytes() + b"{\n")
    (folder / os.fsdecode(b"n\xff.csv")).write_text(f"text\n{text(90)}\n")
    assert command("screen", folder, "-o", tmp_path / "out", "--exit-zero").code == 0
    (row,) = read(tmp_path / "out/excluded.parquet")
    assert row["place"] == "n\\xff.jsonl, line 4"
    one = folder / os.fsdecode(b"n\xff.jsonl")
    assert command("screen", one, "-o", tmp_path / "one", "--exit-zero").code == 0


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_random_numbers_cannot_begin_with(command: Command, tmp_path: Path, seed: int) -> None:
    data, policy = put(tmp_path / "d.jsonl"), tmp_path / "p.toml"
    policy.write_text(f"[settings]\nseed = {seed}\n")
    ended = command("screen", data, "--policy", policy, "--reference", data, "-o", tmp_path / "out")
    assert (ended.code, "[policy.screen]" in ended.err) == (2, True)
    assert Settings(seed=2**32 - 1).seed == 2**32 - 1


@pytest.mark.parametrize("ending", ["parquet", "csv", "json.gz"])
def test_a_bomb_of_any_format_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(sources, "FREE_UNPACKED", 2**20)
    path = tmp_path / f"bomb.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"text": pa.array(["x" * 1000] * 20_000).dictionary_encode()}), path)
    elif ending == "csv":
        path.write_text(",".join(f"{i:0500}" for i in range(100)) + "\n" + "," * 99 + ("\n" + "," * 99) * 200)
    else:
        path.write_bytes(gzip.compress(b"[" + b" " * 2_000_000 + b"]"))
    assert codes(path, tmp_path / "out") == ["screen.unpacks-too-far"]
    held = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert held <= max(2**20, sources.MOST_UNPACKED * path.stat().st_size) + 2**16


# ---- what is not in the kept rows


def test_keys_that_records_do_not_hold_are_named(command: Command, tmp_path: Path) -> None:
    asked = [{**row, "context": "c", "system_prompt": None} for row in rows(4)]
    asked += [{**row, "context": "c", "system_prompt": "s"} for row in rows(2, start=10)]
    turns = [{"messages": [{"role": "user", "content": text(i), "score": 1}]} for i in (70, 71)]
    data = write(tmp_path / "d.jsonl", [*asked, *turns, {"other": 1}])
    ended = command("screen", data, "-o", tmp_path / "out", "--exit-zero", "--json")
    told = json.loads(ended.out.splitlines()[-1])
    assert told["ignored"] == {"context": 6, "system_prompt": 2, "messages[].score": 2}
    err = " ".join(command("screen", data, "-o", tmp_path / "out", "--exit-zero").err.split())
    assert (
        "records do not hold it: 'context' of 6 rows, 'messages[].score' of 2 rows, 'system_prompt' of 2"
        in err
    )
    assert "of 6 rows" in (tmp_path / "out/report.html").read_text()


_ASKED = {"role": "user", "content": "a"}
TURNS: list[dict[str, Any]] = [
    {"messages": [_ASKED], "meta": {"a": 1}, "n": None},
    {"messages": [{**_ASKED, "name": None}], "tags": ["a"]},
    {"messages": [_ASKED, {**_ASKED, "name": "b"}]},
]


def test_ignored_keys_are_those_of_each_row_and_few() -> None:
    one = Ignored()
    for row in (
        *rows(2),
        {"kind": "pair", "text_a": "a", "text_b": "b", "source": "human"},
        {"text": "a", "n": 1},
        *TURNS,
    ):
        one.see(row)
    assert one.counts() == {"n": 1, "meta": 1, "tags": 1, "messages[].name": 1}
    many = Ignored()
    for i in range(3 * MOST_KEYS):
        many.see({"text": "a", f"k{i:03}": 1})
    assert len(many.counts()) == MOST_KEYS + 1
    assert many.counts()[OTHERS] == 2 * MOST_KEYS
    long = Ignored()
    long.see({"text": "a", "k" * 9999: 1})
    assert max(map(len, long.counts())) <= 62


def test_replies_that_are_marked_as_bad_are_not_kept(tmp_path: Path) -> None:
    kto = [{"prompt": text(i), "completion": text(i + 100), "label": bool(i % 2)} for i in range(4)]
    no = {"prompt": "Is ice heavier than water?", "completion": "No", "label": False}
    kto[2]["completion"] = [{"role": "assistant", "content": text(102)}]
    done = run(write(tmp_path / "d.jsonl", [*kto, no]), tmp_path / "out")
    assert (done.kept, done.ignored) == (3, {"label": 3})
    assert [(row["place"][-1], row["why"][-18:]) for row in read(tmp_path / "out/excluded.parquet")] == [
        (line, "[records.unwanted]") for line in "13"
    ]


def test_the_keys_of_most_rows_are_named_first(command: Command, tmp_path: Path) -> None:
    lines = [
        {"text": text(i), **{f"k{j}": 1 for j in range(10)}, **({"z": 1} if i else {})} for i in range(3)
    ]
    for line in lines[1:]:
        del line["k0"]
    err = " ".join(
        command(
            "screen", write(tmp_path / "d.jsonl", lines), "-o", tmp_path / "out", "--exit-zero"
        ).err.split()
    )
    assert "'k1' of 3 rows" in err
    assert "and 3 more keys" in err
    assert "'k0'" not in err


def test_of_mixed_kinds_one_is_trained_on(command: Command, tmp_path: Path) -> None:
    pairs = [{"text_a": text(i), "text_b": text(i + 100)} for i in (300, 301)]
    data = write(tmp_path / "d.jsonl", [*rows(3), *pairs])
    err = command("screen", data, "-o", tmp_path / "my out").err
    kept = tmp_path / "my out/kept.parquet"
    assert err.splitlines()[-1] == f"next: trimtab train '{kept}' --kind sft -o adapters/NAME"
    assert "kinds: 2 pair, 3 sft; an adapter learns from one, named by --kind" in err
    ended = command("train", kept, "--kind", "other", "-o", tmp_path / "adapter")
    assert (ended.code, "[train.kind]" in ended.err) == (2, True)
    ended = command("train", kept, "--kind", "preference", "-o", tmp_path / "adapter")
    assert (ended.code, "[records.no-valid-row]" in ended.err) == (2, True)


def test_nothing_is_lost_when_it_is_cut_off_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "d/a.jsonl")
    against, out = put(tmp_path / "ev.jsonl", start=50), tmp_path / "d/out"
    with monkeypatch.context() as cut_off:
        cut_off.setattr(dataset, "sort_rows", None)
        with pytest.raises(TypeError):
            run(tmp_path / "d", out, against=[str(against)])
    (part,) = (out / WORK / "rows").iterdir()
    written = part.stat().st_mtime_ns
    seen = []
    monkeypatch.setattr(dataset, "close_work", lambda work, *_: seen.append(part.stat().st_mtime_ns))
    assert run(tmp_path / "d", out, against=[str(against)]).rows == 3
    assert seen == [written]
