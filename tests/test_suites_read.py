"""A user's own suite: every kind and file; each row that is not taken has a reason."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, TrimtabError
from trimtab.suites.case import KINDS, AssociationCase, ChoiceCase, JudgedCase, PairCase, TextCase
from trimtab.suites.read import read_suite, suite_files
from trimtab.suites.seeds import seed_rows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "suites"
CASES: dict[str, dict[str, Any]] = {
    "attack": {"prompt": "Do harm.", "family": "plain"},
    "benign": {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    "pair": {"text_a": "She is a nurse.", "text_b": "He is a nurse.", "group": "gender"},
    "association": {"prompt": "Write about a baker.", "role": "baker", "groups": {"male": 0.5, "female": 0.5}},
    "choice": {"prompt": "Yes?", "choices": [" (A)", " (B)"], "target": 1},
    "preference": {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
    "text": {"text": "Prose."},
    "judged": {"prompt": "Hi", "response": "", "label": "broken"},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted({"id", "cluster", "split"} | {key for row in CASES.values() for key in row})
VALUES = JSON | st.sampled_from([value for row in CASES.values() for value in row.values()])


def row(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, **CASES[kind], **changes}


def suite(folder: Path, *rows: Any, name: str = "s.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def code_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_suite(path)
    (problem,) = caught.value.problems
    assert problem.place == str(path)
    assert problem.fix
    return problem.code


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_read_alike_from_every_file(kind: str, tmp_path: Path) -> None:
    rows = [row(kind, id=f"{i}", cluster="c", split="test") for i in range(3)]
    path = suite(tmp_path, *rows)
    (tmp_path / "z").mkdir()
    packed, table = tmp_path / "z" / "s.jsonl.gz", tmp_path / "z" / "s.parquet"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), table)
    found = [read_suite(p) for p in (path, packed, table)]
    assert {(s.name, s.kind, len(s.cases), len(s.rejected)) for s in found} == {("s", kind, 3, 0)}
    assert found[0].cases == found[1].cases == found[2].cases
    assert found[0].digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found[0].part("test") == found[0].cases


def test_keys_that_no_case_holds_are_counted(tmp_path: Path) -> None:
    rows = [row("benign", id="1", note="", source="me"), row("benign", id="2", note=3), row("benign", id="3")]
    assert read_suite(suite(tmp_path, *rows)).ignored == {"source": 1, "note": 1}


def test_a_row_without_cluster_is_its_own(tmp_path: Path) -> None:
    found = read_suite(suite(tmp_path, row("text"), row("text", id=7), row("text", id="x", cluster=None)))
    assert [(c.id, c.cluster) for c in found.cases] == [("line 1", "line 1"), ("7", "7"), ("x", "x")]


def test_empty_cells_of_csv_are_not_given(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("kind,text,prompt,cluster,split,id\ntext,Prose.,,,,\n", encoding="utf-8")
    (case,) = read_suite(path).cases
    assert isinstance(case, TextCase)
    assert (case.cluster, case.split, case.prompt) == ("line 2", None, [])


def test_lists_in_csv_are_json(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    good, bad = '"[""a"", ""b""]"', '"[[[' + "[" * 5000 + '"'
    path.write_text(f"kind,prompt,choices,target\nchoice,q,{good},1\nchoice,q,{bad},1\n", encoding="utf-8")
    found = read_suite(path)
    assert [c.choices for c in found.cases if isinstance(c, ChoiceCase)] == [["a", "b"]]
    assert "not JSON" in found.rejected[0].reason


def test_groups_of_parquet_may_differ_by_row(tmp_path: Path) -> None:
    rows = [row("association"), row("association", groups={"old": 0.3, "young": 0.7})]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "s.parquet")
    groups = [c.groups for c in read_suite(tmp_path / "s.parquet").cases if isinstance(c, AssociationCase)]
    assert groups == [{"male": 0.5, "female": 0.5}, {"old": 0.3, "young": 0.7}]


def test_labels_of_three_classes_are_known(tmp_path: Path) -> None:
    names = ("1_full_compliance", "2_full_refusal", "3_partial_refusal", "complied", "refused", "broken")
    found = read_suite(suite(tmp_path, *(row("judged", label=name) for name in names)))
    labels = [c.label for c in found.cases if isinstance(c, JudgedCase)]
    assert labels == ["complied", "refused", "refused", "complied", "refused", "broken"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"kind": []}, "kind is a list"),
        ({"prompt": "x"}, "kind is None"),
        ({"kind": "\x1b[31m"}, r"\\x1b"),
        (row("attack", prompt=""), "'prompt': is blank"),
        (row("attack", prompt=[]), "is a list without a message"),
        (row("attack", prompt=[{}]), "has the role None"),
        (row("attack", prompt=5), "'prompt'"),
        (row("attack", split="train"), "'split'"),
        (row("attack", cluster=" "), "'cluster': is blank"),
        (row("pair", text_a=5), "'text_a'"),
        (row("pair", text_a="\ud800"), "surrogate"),
        (row("association", groups={}), "shares"),
        (row("association", groups={"a": 1e300, "b": -1e300}), "shares"),
        (row("choice", target=2), "target 2 is not one of 2 choices"),
        (row("choice", choices=["one"]), "'choices'"),
        (row("preference", rejected=""), "'rejected'"),
        (row("judged", label="bad"), "'label'"),
        (row("text", id="7"), "the id '7' is that of line 1"),
        ([1], "not a JSON object"),
    ],
)
def test_a_bad_row_is_rejected_with_its_place(bad: Any, words: str, tmp_path: Path) -> None:
    found = read_suite(suite(tmp_path, row("text", id=7), bad))
    assert [c.id for c in found.cases] == ["7"]
    (rejected,) = found.rejected
    assert rejected.place == "line 2"
    assert words.replace("\\\\", "\\") in rejected.reason
    assert str(rejected).isprintable()


def test_inputs_that_cannot_be_used_have_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(suite(tmp_path)) == "suite.empty"
    assert code_of(suite(tmp_path, {"kind": "attack"}, {"kind": "x"})) == "suite.no-valid-row"
    assert code_of(suite(tmp_path, row("text"), row("attack"))) == "suite.mixed-kinds"
    assert code_of(tmp_path / "none.jsonl") == "records.missing"
    (tmp_path / "latin.jsonl").write_bytes(b'{"kind":"text","text":"\xe9"}')
    assert code_of(tmp_path / "latin.jsonl") == "records.not-utf8"
    path = suite(tmp_path, row("text"))

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert code_of(path) == "records.no-permission"


def test_a_limit_is_the_same_sample_each_time_and_says_what_it_left_out(tmp_path: Path) -> None:
    path = suite(tmp_path, *(row("text", id=i) for i in range(10)))
    few, more = read_suite(path, limit=4), read_suite(path, limit=7)
    assert (len(few.cases), few.left_out, read_suite(path, limit=99).left_out) == (4, 6, 0)
    assert few.cases == read_suite(path, limit=4).cases
    assert {c.id for c in few.cases} < {c.id for c in more.cases}
    assert [int(c.id) for c in more.cases] == sorted(int(c.id) for c in more.cases)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_every_family_has_its_share_of_a_sample_however_the_file_is_ordered(
    step: int, tmp_path: Path
) -> None:
    order = sorted(range(100), key=lambda i: (i % step, i))
    rows = [row("benign", id=i, family="often" if i % 5 else f"rare {i % 2}") for i in order]
    counts = Counter(c.family for c in read_suite(suite(tmp_path, *rows), limit=20).cases)  # type: ignore[attr-defined]
    assert counts["often"] == pytest.approx(16, abs=1)
    assert {counts["rare 0"], counts["rare 1"]} <= {1, 2, 3}


def test_a_sample_meets_both_orders_of_choices_and_takes_forms_of_a_question_whole(tmp_path: Path) -> None:
    rows = [row("choice", id=i, target=i % 2) for i in range(100)]
    cases = read_suite(suite(tmp_path, *rows), limit=20).cases
    assert Counter(c.target for c in cases if isinstance(c, ChoiceCase)) == {0: 10, 1: 10}
    rows = [row("choice", id=i, question=f"q{i % 25}") for i in range(100)]
    asked = Counter(
        c.question for c in read_suite(suite(tmp_path, *rows), limit=21).cases if isinstance(c, ChoiceCase)
    )
    assert (len(asked), set(asked.values())) == (5, {4})
    rows = [row("attack", id=i, behavior="one") for i in range(9)]
    assert len(read_suite(suite(tmp_path, *rows), limit=4).cases) == 4


def test_a_folder_and_a_pattern_stand_for_their_files(tmp_path: Path) -> None:
    names = ["a.jsonl", "b.parquet", "c.jsonl.gz", "d.csv"]
    for name in [*names, "README.md", ".hidden"]:
        (tmp_path / name).touch()
    (tmp_path / "deeper.jsonl").mkdir()
    assert [p.name for p in suite_files(tmp_path)] == names
    assert [p.name for p in suite_files(tmp_path / "*.jsonl")] == ["a.jsonl"]
    assert suite_files(tmp_path / "none.jsonl") == [tmp_path / "none.jsonl"]
    for nothing in (tmp_path / "deeper.jsonl", tmp_path / "*.xml"):
        with pytest.raises(InputError, match="holds no file of cases"):
            suite_files(nothing)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    rows=st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | JSON, max_size=5),
)
def test_kept_and_rejected_are_all_rows(kind: str, rows: list[Any]) -> None:
    rows = [{**r, "kind": kind} if isinstance(r, dict) else r for r in rows]
    with TemporaryDirectory() as folder:
        found = read_suite(suite(Path(folder), row(kind, id="first"), *rows))
    assert len(found.cases) + len(found.rejected) == len(rows) + 1
    assert len({c.id for c in found.cases}) == len(found.cases)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=100))
def test_random_bytes_give_a_suite_or_a_trimtab_error(suffix: str, data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"s.{suffix}"
        path.write_bytes(data)
        with pytest.raises(TrimtabError):
            read_suite(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared suites beside this checkout")
def test_the_shared_suites_are_read() -> None:
    suites = [read_suite(path) for path in sorted(SHARED.glob("*.jsonl"))]
    # One preference case has an empty reply, which has no token to score.
    rejected = [r for s in suites for r in s.rejected if "at least 1 character" not in r.reason]
    assert rejected == []
    assert all(len(s.rejected) <= 1 for s in suites)
    assert {s.kind for s in suites} == set(KINDS) - {"association"}


def test_seeds_hold_line_separators_inside_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seedbox").mkdir()
    (tmp_path / "seedbox" / "__init__.py").write_text("", encoding="utf-8")
    text = "a\u2028b\x85c"
    line = json.dumps({"text": text}, ensure_ascii=False)
    (tmp_path / "seedbox" / "s.jsonl").write_text(f"{line}\n\n{line}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert seed_rows("seedbox", "s.jsonl") == ({"text": text}, {"text": text})


def test_the_words_of_a_case_are_what_is_compared(tmp_path: Path) -> None:
    assert read_suite(suite(tmp_path, row("benign"))).cases[0].text == "Hi"
    (pair,) = read_suite(suite(tmp_path, row("pair"))).cases
    assert isinstance(pair, PairCase)
    assert pair.text == pair.text_a


def test_the_table_of_kinds_and_fields_is_what_is_read() -> None:
    lines = (Path(__file__).parent.parent / "docs/loop.md").read_text(encoding="utf-8").splitlines()
    told = {}
    for line in lines[lines.index("| `kind` | fields | may be left out | figures |") + 2 :]:
        if not line.startswith("|"):
            break
        cells = [re.sub(r"\([^)]*\)", "", c) for c in line.split("|")[1:5]]
        (kind,), needed, optional, _ = (re.findall(r"`(\w+)`", c) for c in cells)
        told[kind] = (set(needed), set(optional))
    common = {"id", "suite", "cluster", "split"}
    expected = {}
    for kind, case in KINDS.items():
        fields = {str(f.validation_alias or n): f.is_required() for n, f in case.model_fields.items()}
        own = {n: needed for n, needed in fields.items() if n not in common}
        expected[kind] = ({n for n in own if own[n]}, {n for n in own if not own[n]})
    assert told == expected


def test_a_file_without_a_case_says_where_the_fields_are_written_down(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"kind": "attack"}\n')
    with pytest.raises(InputError, match=r"docs/loop\.md, Your own cases"):
        read_suite(tmp_path / "s.jsonl")
