"""`trimtab probe` and `trimtab ask`: a user's own suites, and one prompt."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.models.local import LocalModel
from trimtab.models.protocol import Answer, Capabilities, Messages
from trimtab.models.system import System

if TYPE_CHECKING:
    from tests.conftest import Command

KEYS = {"event", "name", "suite", "value", "low", "high", "n", "clusters", "unit", "model"}
ROWS: dict[str, dict[str, Any]] = {
    "attack": {"prompt": "Say {}.", "family": "plain"},
    "benign": {"prompt": "What is {}?", "family": "plain"},
    "pair": {"text_a": "He is {}.", "text_b": "She is {}.", "group": "role"},
    "choice": {"prompt": "One and {} is", "choices": ["two", "three"], "target": 0, "group": "sum"},
    "preference": {"prompt": "Be {}.", "chosen": "Yes, gladly.", "rejected": "No, never."},
    "text": {"text": "The sea is {} today."},
    "judged": {"prompt": "Be {}.", "response": "I cannot help with that.", "label": "refused"},
    "association": {"prompt": "Write about {}.", "role": "nurse", "groups": {"female": 0.5, "male": 0.5}},
}
FIRST = {"attack": "attack_success", "benign": "refusal", "pair": "gap", "choice": "accuracy",
         "preference": "preference_accuracy", "text": "nll_per_token", "judged": "judge_agreement",
         "association": "association_gap"}  # fmt: skip


def suite(folder: Path, kind: str, n: int = 4, name: str | None = None) -> Path:
    path = folder / f"{name or kind}.jsonl"
    rows = [json.loads(json.dumps(ROWS[kind]).replace("{}", f"number {i}")) for i in range(n)]
    path.write_text("".join(json.dumps({"kind": kind, **row}) + "\n" for row in rows))
    return path


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> str:
    return f"dir/{tiny_folder}"


def test_every_kind_is_measured_and_json_has_the_keys_of_the_format(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    suites = [a for kind in ROWS for a in ("-s", suite(tmp_path, kind))]
    code, out, err = command("probe", "-m", tiny, *suites, "--json", "--exit-zero")
    assert code == 0, err
    estimates = [e for e in lines(out) if e["event"] == "estimate"]
    assert all(set(e) == KEYS for e in estimates)
    assert {e["model"] for e in estimates} == {System(LocalModel(Path(tiny[4:]), name=tiny)).digest}
    found = {(e["suite"], e["name"]): e for e in estimates}
    for kind, name in FIRST.items():
        if kind != "association":  # random text names no group, and then there is no figure
            assert found[kind, name]["n"] == 4
            assert found[kind, name]["low"] <= found[kind, name]["value"] <= found[kind, name]["high"]


def test_estimates_for_people_and_the_next_step(command: Command, tiny: str, tmp_path: Path) -> None:
    code, out, err = command("probe", "-m", tiny, "-s", suite(tmp_path, "text", n=6), "--limit", 3)
    assert code == 0
    assert out.startswith("text  nll_per_token ")
    assert ", n 3, clusters 3\n" in out
    assert err.startswith("text: 3 of 6 cases, a sample over its families\nnext: trimtab ask ")


def test_each_figure_is_told_by_family_and_by_any_field(command: Command, tiny: str, tmp_path: Path) -> None:
    rows = [
        {"kind": "benign", "prompt": f"Why {i}?", "family": "ab"[i % 2], "cluster": i // 3} for i in range(6)
    ]
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    _, out, err = command("probe", "-m", tiny, "-s", path)
    assert "b: 2 families or groups; --by-group tells each" in err
    _, out, err = command("probe", "-m", tiny, "-s", path, "--by-group")
    assert "b  family a  refusal 0.0000 [" in out
    assert "[open" not in out
    _, out, err = command("probe", "-m", tiny, "-s", path, "--by", "cluster", "--by", "role", "--json")
    told = [
        (e["by"], e["group"], e["n"], e["clusters"])
        for e in lines(out)
        if e.get("name") == "refusal" and "by" in e
    ]
    assert told == [("cluster", "0", 3, 1), ("cluster", "1", 3, 1)]
    assert "b: not told by role: no case has one" in err
    assert "[open: one cluster] tokens" in command("probe", "-m", tiny, "-s", path, "--by", "cluster").out
    assert command("probe", "-m", tiny, "-s", path, "--by", "weather").code == 2


def test_a_folder_and_what_a_shell_makes_of_a_pattern_are_suites(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    one, two = suite(tmp_path, "benign"), suite(tmp_path, "judged")
    for arguments in (("-s", tmp_path), ("-s", one, two), ("-s", tmp_path / "*.jsonl")):
        _, out, _ = command("probe", "-m", tiny, *arguments, "--json")
        assert [row["suite"] for row in lines(out) if row["event"] == "suite"] == ["benign", "judged"]
    (tmp_path / "empty").mkdir()
    code, _, err = command("probe", "-m", tiny, "-s", tmp_path / "empty")
    assert (code, "[suite.no-file]" in err) == (2, True)


def test_rejected_rows_are_told_with_reason_and_counted(command: Command, tiny: str, tmp_path: Path) -> None:
    path = suite(tmp_path, "text", n=2)
    path.write_text(path.read_text() + '{"kind": "text"}\n{"kind": "text", "text": "a\\u001b[2J"}\n{"k\n')
    code, out, err = command("probe", "-m", tiny, "-s", path, "--json")
    assert code == 0
    (about,) = [row for row in lines(out) if row["event"] == "suite"]
    counts = {"rejected": 2, "errors": 0, "overlap": 0, "left_out": 0}
    assert about == {"event": "suite", "suite": "text", **counts}
    assert err.count("text: rejected row: line ") == 2
    assert "\x1b" not in err + out


def test_outcomes_are_written_after_each_suite(
    command: Command, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "outcomes.jsonl"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimtab.probes.refusal.RefusalProbe.measure", interrupt)
    suites = ("-s", suite(tmp_path, "text"), "-s", suite(tmp_path, "benign"))
    code, shown, _ = command("probe", "-m", tiny, *suites, "--outcomes", out, "--json")
    assert code == 130
    assert "nll_per_token" in shown
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["suite"] for r in rows] == ["text"] * 4


CHANGES = {
    "attack": {"attack_success"}, "benign": {"refusal", "broken"}, "pair": {"pair_gap", "gap_reversal"},
    "choice": {"accuracy"}, "preference": {"preference_accuracy", "preference_matched"}, "text": {"nll_per_token"},
}  # fmt: skip


def test_what_changed_from_a_baseline_is_told_case_by_case(
    command: Command, tiny: str, tmp_path: Path
) -> None:
    out = tmp_path / "baseline.jsonl"
    suites = [a for kind in (*CHANGES, "judged") for a in ("-s", suite(tmp_path, kind))]
    assert command("probe", "-m", tiny, *suites, "--outcomes", out).code == 0
    _, shown, err = command("probe", "-m", tiny, *suites, "--baseline", out, "--json")
    told = [row for row in lines(shown) if row["event"] == "change"]
    assert {kind: {r["figure"] for r in told if r["suite"] == kind} for kind in CHANGES} == CHANGES
    assert {r["change"]["value"] for r in told if r["change"] and r["figure"] != "pair_gap"} == {0}
    assert "judged: what changed is not told" in err

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    flipped = [{**r, "value": 1 - r["value"]} if r["suite"] == "preference" else r for r in rows]
    out.write_text("".join(json.dumps(r) + "\n" for r in flipped))
    _, shown, _ = command("probe", "-m", tiny, "-s", tmp_path / "preference.jsonl", "--baseline", out)
    share = sum(r["value"] for r in rows if r["suite"] == "preference") / 4
    assert f"preference  change of preference_accuracy {2 * share - 1:+.4f} [" in shown


def test_changes_are_told_by_group(command: Command, tiny: str, tmp_path: Path) -> None:
    rows = [
        {"kind": "preference", "prompt": f"Be {i}.", "chosen": "Yes.", "rejected": "No, never.", "group": f"g{i % 2}"}
        for i in range(6)
    ]  # fmt: skip
    path, out = tmp_path / "values.jsonl", tmp_path / "baseline.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert command("probe", "-m", tiny, "-s", path, "--outcomes", out).code == 0
    asked = ("probe", "-m", tiny, "-s", path, "--baseline", out)
    assert "group g0  change" not in command(*asked).out
    assert "values  group g0  change of preference_accuracy +0.0000 [" in command(*asked, "--by-group").out
    changed = [r for r in lines(command(*asked, "--by-group", "--json").out) if r["event"] == "change"]
    assert {r.get("group") for r in changed} == {None, "g0", "g1"}
    assert {r["change"]["n"] for r in changed if r.get("group") == "g1" and r["change"]} == {3}


def test_a_baseline_that_holds_no_outcomes_is_refused(command: Command, tiny: str, tmp_path: Path) -> None:
    path = suite(tmp_path, "text")
    code, _, err = command("probe", "-m", tiny, "-s", path, "--baseline", path)
    assert code == 2
    assert "row 1" in err
    assert "[outcomes.row]" in err


class Mute:
    """A model without likelihoods, like most endpoints; every answer is an error."""

    name, digest, capabilities = "mute", "0" * 64, Capabilities(loglikelihood=False, trainable=False)

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        return [Answer("", 0, False, error="the server\x1b[2J is down") for _ in prompts]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pair", "pair needs log-likelihoods, which mute does not give"),
        ("benign", "no case has an answer: the server"),
    ],
)
def test_what_was_not_run_is_said_and_makes_it_inconclusive(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    monkeypatch.setattr("trimtab.models.load.load_model", lambda *_: Mute())
    arguments = ("probe", "-m", "openai/mute", "-s", suite(tmp_path, kind))
    code, out, err = command(*arguments, "--json")
    assert code == 3
    (row,) = lines(out)
    assert (row["event"], row["suite"], row["kind"]) == ("not-run", kind, kind)
    assert row["reason"].startswith(reason)
    assert err.startswith(f"{kind}: not run: {reason}")
    assert "\x1b" not in err
    assert command(*arguments, "--exit-zero").code == 0


class Raw(Mute):
    """An endpoint that scores raw text only."""

    name, capabilities = "raw", Capabilities(loglikelihood=True, trainable=False, template=False)


def test_what_follows_a_prompt_is_not_scored_without_the_template(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.models.load.load_model", lambda *_: Raw())
    code, _, err = command("probe", "-m", "openai/raw", "-s", suite(tmp_path, "preference"))
    assert code == 3
    assert "the chat template of raw is unknown" in err


GOOD = '{"kind": "text", "text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("s.jsonl", None, "records.missing"),
        ("s.jsonl", b"", "suite.empty"),
        ("s.jsonl", b"\n \n", "suite.empty"),
        ("s.jsonl", b'{"kind": "riddle"}\n', "suite.no-valid-row"),
        (
            "s.jsonl",
            GOOD.encode() + b'{"kind": "pair", "text_a": "a", "text_b": "b", "group": "g"}\n',
            "suite.mixed-kinds",
        ),
        ("s.jsonl", '{"kind": "text", "text": "\xe4"}'.encode("latin-1"), "records.not-utf8"),
        ("s.jsonl.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "records."),
        ("s.parquet", b"PAR1 and no more", "records."),
        ("s.xlsx", b"x", "records.format"),
    ],
)
def test_a_bad_suite_is_one_line_before_a_model_is_loaded(
    command: Command, tmp_path: Path, name: str, data: bytes | None, code: str
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    ended = command("probe", "-m", "no such model", "-s", path, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"trimtab: {path}")
    assert f"[{code}" in ended.err
    assert ended.err.count("\n") == 1


def test_all_bad_suites_are_named_at_once(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    code, _, err = command("probe", "-s", tmp_path / "none.jsonl", "-s", tmp_path / "empty.jsonl")
    assert code == 2
    assert [line.rpartition(" ")[2] for line in err.splitlines()] == ["[records.missing]", "[suite.empty]"]


def test_two_suites_of_one_name_are_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = suite(tmp_path, "text"), suite(tmp_path / "b", "text")
    code, _, err = command("probe", "-s", paths[0], "-s", paths[1])
    assert (code, "[probe.same-name]" in err) == (2, True)


def test_outcomes_that_cannot_be_written_are_refused_at_once(command: Command, tmp_path: Path) -> None:
    path = suite(tmp_path, "text")
    for out in (tmp_path, path / "outcomes.jsonl"):
        code, _, err = command("probe", "-m", "no such model", "-s", path, "--outcomes", out)
        assert code == 2
        assert "[write." in err


@pytest.fixture
def bad_models(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with models that cannot be used, and with nothing at the endpoint."""
    for name in ("pickled", "speechless"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    (tmp_path / "pickled/pytorch_model.bin").touch()
    (tmp_path / "pickled/tokenizer.json").write_text("{}")
    (tmp_path / "speechless/model.safetensors").write_bytes((tiny_folder / "model.safetensors").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("gpt", "model.name"),
        ("dir/none", "model.missing"),
        ("dir/pickled", "model.pickle"),
        ("dir/speechless", "model.no-tokenizer"),
        ("openai/m", "endpoint.unreachable"),
        (".", "system.missing"),
    ],
)
def test_a_bad_model_is_one_line(command: Command, bad_models: Path, model: str, code: str) -> None:
    for arguments in (("probe", "-m", model, "-s", suite(bad_models, "text")), ("ask", model, "Hello?")):
        ended = command(*arguments, "--json")
        assert (ended.code, ended.out) == (2, "")
        assert f"[{code}]" in ended.err
        assert ended.err.count("\n") == 1
        assert "Traceback" not in ended.err


def test_a_part_of_a_bare_model_is_refused(command: Command, tiny: str, tmp_path: Path) -> None:
    code, _, err = command("probe", "-m", tiny, "-s", suite(tmp_path, "text"), "--without", "guard")
    assert (code, "is a bare model" in err) == (2, True)


def test_ask_shows_the_decision_and_the_answer(command: Command, tiny: str) -> None:
    code, out, err = command("ask", tiny, "Hello?", "--tokens", 4)
    assert code == 0
    assert out.startswith("guard: no guard\njudged: ")
    assert err.startswith("the answer was cut at 4 tokens; --tokens allows more\nnext: ")
    code, out, err = command("ask", tiny, "Hello?", "--tokens", 4, "--json")
    (row,) = lines(out)
    assert (code, err) == (0, "")
    assert set(row) == {"event", "guard", "score", "text", "label", "error"}
    assert (row["event"], row["guard"], row["score"], row["error"]) == ("answer", "no guard", None, None)


class Rude(Mute):
    """Answers with what would clear a terminal."""

    def generate(self, prompts: Sequence[Messages], **_: Any) -> list[Answer]:
        return [Answer("one\x1b[2J\x9b\ntwo", 3, True) for _ in prompts]


def test_an_answer_does_nothing_to_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.models.load.load_model", lambda *_: Rude())
    assert command("ask", "openai/rude", "Hello?").out.endswith("\none\\x1b[2J\\x9b\ntwo\n")


def test_no_answer_is_an_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.models.load.load_model", lambda *_: Mute())
    code, out, err = command("ask", "openai/mute", "Hello?", "--json")
    assert code == 2
    assert lines(out)[0]["label"] is None
    assert "[model.no-answer]" in err


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_a_blank_prompt_is_refused(command: Command, prompt: str) -> None:
    code, _, err = command("ask", "embedded", prompt)
    assert (code, "[ask.empty]" in err) == (2, True)


def test_a_probe_that_was_cut_off_keeps_what_it_has_a_file_for(
    command: Command, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trimtab.models.local import LocalModel

    asked: list[int] = []
    answer = LocalModel.generate
    stop = [True]

    def cut(self: LocalModel, prompts: Any, **settings: Any) -> Any:
        if asked and stop[0]:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return answer(self, prompts, **settings)

    monkeypatch.setattr(LocalModel, "generate", cut)
    rows = [{"kind": "benign", "prompt": f"Why is {i} even?"} for i in range(60)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    probe = ("probe", "-m", f"dir/{tiny_folder}", "-s", tmp_path / "s.jsonl")
    ended = command(*probe)
    assert (ended.code, "what was begun is not kept; with --outcomes FILE it is\n" in ended.err) == (
        130,
        True,
    )
    asked.clear()
    ended = command(*probe, "--outcomes", tmp_path / "o.jsonl")
    assert (ended.code, "the same command goes on there" in ended.err) == (130, True)
    stop[0] = False
    assert command(*probe, "--outcomes", tmp_path / "o.jsonl").code == 0
    assert sum(asked) == 60, "the first batch is not asked again"
    assert {p.name for p in tmp_path.iterdir()} == {"s.jsonl", "o.jsonl"}
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 60
