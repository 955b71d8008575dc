"""`trimtab run`, and the commands that take a run: `probe`, `ask`, `trim`, `compare`; on a tiny model, bias only."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.models.system import read_system
from trimtab.run.directory import STAGES

if TYPE_CHECKING:
    from tests.conftest import Command

CONFIG = """
model = "dir/{}"
mechanisms = ["bias"]
evidential = false
[strengths]
bias = [0.5, 1.0]
[sizes]
attacks = 3
ordinary = 2
role_pairs = 6
trait_pairs = 2
preferences = 3
texts = 1
associations = 2
reattack_behaviours = 2
reattack_attempts = 1
writings = 2
pair_records = 8
trait_records = 2
anchors = 0
tune_cases = 2
"""
ESTIMATE = {"event", "name", "suite", "value", "low", "high", "n", "clusters", "unit", "model"}
LOOP: dict[str, Any] = {}  # the run that the tests below share, made once


@pytest.fixture
def config(tmp_path: Path, tiny_folder: Path) -> Path:
    (tmp_path / "small.toml").write_text(CONFIG.format(tiny_folder))
    return tmp_path / "small.toml"


@pytest.fixture
def finished(
    command: Command, config: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Path:
    """Return a copy of a finished run."""
    if not LOOP:
        root = tmp_path_factory.mktemp("loop")
        LOOP["ended"] = command("run", "-c", config, "-o", root, "--json")
        (LOOP["run"],) = root.glob("*_loop_*")
    return Path(shutil.copytree(LOOP["run"], tmp_path / LOOP["run"].name))


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_run_ends_with_its_verdict_and_only_json_on_stdout(finished: Path) -> None:
    code, out, err = LOOP["ended"]
    *estimates, verdict = lines(out)
    assert {"pass": 0, "fail": 1, "inconclusive": 3}[verdict["outcome"]] == code, err
    assert verdict["event"] == "verdict"
    assert verdict["run"] == str(LOOP["run"])
    assert Path(verdict["report"]).exists()
    assert {e["suite"] for e in estimates} >= {"attack_success", "pair_gap"}
    assert all(set(e) == ESTIMATE for e in estimates)
    assert "charter" in json.loads((finished / "stages/02_records/done.json").read_text())


def test_exit_zero_and_the_panel_for_people(command: Command, config: Path, finished: Path) -> None:
    # The last stages again, on a copy.
    for name in ("report.json", "report.html", f"stages/{len(STAGES):02d}_{STAGES[-1]}/done.json"):
        (finished / name).unlink()
    code, out, err = command("run", "-c", config, "-o", finished.parent, "--exit-zero")
    assert code == 0
    assert out == ""
    assert "verdict:" in err
    assert err.rstrip().splitlines()[-1].startswith("next: trimtab ")


def test_another_configuration_of_an_unfinished_run_is_refused(
    command: Command, config: Path, finished: Path
) -> None:
    (finished / "report.json").unlink()
    code, _, err = command("run", "-c", config, "-o", finished.parent, "--seed", 3)
    assert code == 2
    assert f"{finished}, seed: " in err
    assert "[run.config-changed]" in err


def test_all_problems_of_a_configuration_come_at_once_one_line_each(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('sped = 1\nseed = "x\\u001b[2J"\n[sizes]\nattacks = 0\n')
    code, out, err = command("run", "-c", path, "-o", tmp_path / "runs", "--json")
    assert (code, out) == (2, "")
    assert err.count("\n") == 3
    assert all(line.startswith(f"trimtab: {path}, ") for line in err.splitlines())
    assert "\x1b" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-c", "none.toml"), "config.missing"),
        (("--seed", -1), "config.value"),
        (("--model", "gpt"), "model.name"),
        (("--model", ""), "config.value"),
        (("--model", "dir/missing"), "model.missing"),
        (("--model", "openai/m", "--config", "costly.toml"), "endpoint.no-price"),
        (("--engine", "spark"), "engine.unknown"),
        (("--output", "file/runs"), "run.not-writable"),
    ],
)
def test_bad_options_are_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], code: str
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    (tmp_path / "file").touch()
    (tmp_path / "costly.toml").write_text("[endpoint]\nmax_cost_usd = 1.0\n")
    ended = command("run", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert f"[{code}]" in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["costly.toml", "file"], (
        "no run is left behind, to be gone on with"
    )


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (("--model", "nonsense"), ["model.name"]),
        (("--model", "dir/missing"), ["model.missing"]),
        (("--model", "."), ["model.is-folder"]),
        (("--engine", "bogus"), ["engine.unknown"]),
        (("-c", "values.toml"), ["charter.unreadable"]),
        (("-c", "costly.toml", "--model", "openai/m"), ["endpoint.no-url", "endpoint.no-price"]),
        (("--model", "embedded", "-o", "file/runs"), ["run.not-writable"]),
        (("-c", "values.toml", "--model", "nonsense", "--engine", "bogus"),
         ["engine.unknown", "model.name", "charter.unreadable"]),
    ],
)  # fmt: skip
def test_a_dry_run_finds_what_would_end_a_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], codes: list[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (tmp_path / "file").touch()
    (tmp_path / "values.toml").write_text('charter = "none.toml"')
    (tmp_path / "costly.toml").write_text("[endpoint]\nmax_cost_usd = 1.0")
    ended = command("run", "--dry-run", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert re.findall(r"\[([a-z.-]+)\]\n", ended.err) == codes


def test_a_dry_run_says_which_number_format_it_reckons_with(command: Command, config: Path) -> None:
    code, out, _ = command("run", "--dry-run", "-c", config)
    assert code == 0
    assert re.search(r"^total .* on two cores in (bfloat16|float32); a GPU takes less$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("url", "key", "code"),
    [("localhost:8000", "k", "endpoint.bad-url"), ("http://127.0.0.1:1/v1", "a\nb", "endpoint.bad-key")],
)
def test_a_dry_run_looks_at_the_settings_of_an_endpoint_and_quotes_no_secret(
    command: Command, monkeypatch: pytest.MonkeyPatch, url: str, key: str, code: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    ended = command("run", "--dry-run", "--model", "openai/m")
    assert (ended.code, f"[{code}]" in ended.err) == (2, True)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@127.0.0.1:1/v1?key=secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    ended = command("run", "--dry-run", "--model", "openai/m")
    assert (
        "endpoint  http://127.0.0.1:1/v1, a key from OPENAI_API_KEY; whether it answers was not" in ended.out
    )
    assert "secret" not in ended.out + ended.err


def test_the_plan_of_an_endpoint_has_requests_and_cost(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    path = tmp_path / "c.toml"
    path.write_text("[endpoint]\nusd_per_million_output = 2.0\nmax_requests = 3\n")
    code, out, err = command("run", "--dry-run", "-c", path, "--model", "openai/m")
    assert code == 0
    assert "requests  about 1,2" in out
    assert "USD" in out
    assert err.startswith("warning: endpoint.max_requests = 3 is less than the plan\nnext: trimtab run -c ")
    assert "--dry-run" not in err
    path.write_text("")
    assert "not known: set the prices" in command("run", "--dry-run", "-c", path, "--model", "openai/m").out
    (row,) = lines(command("run", "--dry-run", "-c", path, "--json").out)
    assert row["event"] == "plan"
    assert row["cost_usd"] == 0
    assert [s["stage"] for s in row["stages"]] == list(STAGES)


def test_the_limits_of_the_configuration_reach_the_endpoint(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def stop(name: str, limits: Any) -> None:
        seen.append((name, limits))
        raise KeyboardInterrupt

    suite = tmp_path / "s.jsonl"
    suite.write_text('{"kind": "text", "text": "a b"}\n')

    monkeypatch.setattr("trimtab.models.load.load_model", stop)
    (tmp_path / "c.toml").write_text('model = "openai/m"\n[endpoint]\nmax_requests = 7\nconcurrency = 2\n')
    assert command("run", "-c", tmp_path / "c.toml", "-o", tmp_path / "runs").code == 130
    caps = ("--max-requests", 7, "--max-cost-usd", 0.5, "--prices", 2, 8)
    assert command("probe", "-m", "openai/m", "-s", suite, *caps).code == 130
    assert command("harden", "-m", "openai/m", "-o", tmp_path / "r.jsonl", "--max-requests", 7).code == 130
    assert [(name, limits.max_requests) for name, limits in seen] == [("openai/m", 7)] * 3
    assert seen[0][1].concurrency == 2
    assert (seen[1][1].max_cost_usd, seen[1][1].prices) == (0.5, (2.0, 8.0))


def test_a_disk_that_fills_up_keeps_what_was_finished(
    command: Command, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    sync = os.fsync

    def refuse(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 24:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr("trimtab.records.write.os.fsync", refuse)
    code, out, err = command("run", "-c", config, "-o", tmp_path / "runs", "--json")
    assert (code, out) == (2, "")
    assert "the disk is full" in err
    assert err.count("\n") == 1
    (run,) = (tmp_path / "runs").glob("*_loop_*")
    assert list(run.glob("stages/01_before/**/part-*.parquet"))
    assert not list(run.glob("**/*.part"))


def test_trim_shows_the_trade_off_and_sets_the_operating_point(command: Command, finished: Path) -> None:
    code, out, err = command("trim", finished)
    assert code == 0
    assert out.count("× ") == 3
    assert out.count("* bias") == 1
    assert "chosen by rule: bias and values each alone" in out
    assert err == f"next: trimtab trim {finished} --set bias=0.5\n"
    code, out, err = command("trim", finished, "--set", "bias=0.25")
    assert code == 0
    assert 'set {"bias": 0.25}' in out
    assert read_system(finished)["strengths"] == {"bias": 0.25}
    assert "chosen by someone who gave no name" in command("trim", finished).out
    command("trim", finished, "--set", "bias=0.5", "--by", "Ana", "--because", "it costs less")
    assert re.search(r"chosen by Ana, \d{4}-[\dT:+-]+: it costs less\n", command("trim", finished).out)
    assert command("ask", finished, "Hello?", "--tokens", 2).code == 0


def test_a_run_that_goes_on_keeps_its_strengths(command: Command, finished: Path) -> None:
    (finished / "report.json").unlink()
    code, _, err = command("trim", finished, "--set", "bias=0.25")
    assert (code, "[trim.unfinished]" in err) == (2, True)
    assert read_system(finished)["strengths"] == {"bias": 0.5}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"by": "Ana"}'])
def test_a_damaged_choice_is_named(command: Command, finished: Path, text: str) -> None:
    (finished / "operating_point.json").write_text(text)
    ended = command("trim", finished)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(f"trimtab: {finished / 'operating_point.json'}: ")
    assert "[trim.damaged]" in ended.err
    assert command("trim", finished, "--set", "bias=0.5").code == 0


def test_a_runs_adapters_are_exported_as_one(command: Command, finished: Path, tmp_path: Path) -> None:
    command("trim", finished, "--set", "bias=0.5")
    code, out, err = command("export", finished, "-o", tmp_path / "served")
    assert code == 0
    assert "one adapter of rank 8 for " in out
    assert f"--max-lora-rank 8 --lora-modules trimtab={tmp_path / 'served'}" in err
    assert {p.name for p in (tmp_path / "served").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    refused = {
        (): "adapter.not-written",
        ("--without", "bias"): "system.no-adapter",
        ("--without", "bais"): "system.part",
    }
    for arguments, code_of in refused.items():
        target = tmp_path / "other" if arguments else tmp_path / "served"
        ended = command("export", finished, "-o", target, *arguments)
        assert (ended.code, f"[{code_of}]" in ended.err) == (2, True)


@pytest.mark.parametrize(
    "change", ["bias", "bias=", "bias=x", "bias=nan", "bias=inf", "bias=-1", "values=1", "=1"]
)
def test_a_strength_that_is_none_changes_nothing(command: Command, finished: Path, change: str) -> None:
    before = (finished / "system.json").read_bytes()
    ended = command("trim", finished, "--set", "bias=0.5", "--set", change)
    assert (ended.code, ended.out) == (2, "")
    assert "[trim.set]" in ended.err
    assert ended.err.count("\n") == 1
    assert (finished / "system.json").read_bytes() == before


def test_a_run_is_probed_and_what_it_learned_from_is_counted(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    from trimtab.run.directory import RunDirectory

    record = RunDirectory(finished).stage("screen").records("bias")[0]
    rows = [{"kind": "text", "text": record.text_a}, {"kind": "text", "text": "The sea is calm."}]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    code, out, err = command("probe", "-m", finished, "-s", tmp_path / "s.jsonl")
    assert code == 0
    assert "s: 1 of 2 cases were learned from or tuned on" in err
    bare = command("probe", "-m", finished, "-s", tmp_path / "s.jsonl", "--without", "bias").out
    assert bare.startswith("s  nll_per_token")
    assert bare != out, "the adapter was not left out"


@pytest.mark.parametrize(("part", "code"), [("guard", "system.part-absent"), ("gaurd", "system.part")])
def test_a_part_that_the_run_has_not_is_named(
    command: Command, finished: Path, tmp_path: Path, part: str, code: str
) -> None:
    (tmp_path / "s.jsonl").write_text('{"kind": "text", "text": "a b"}\n')
    for arguments in (("probe", "-m", finished, "-s", tmp_path / "s.jsonl"), ("ask", finished, "Hello?")):
        ended = command(*arguments, "--without", part)
        assert ended.code == 2
        assert f"--without {part}: " in ended.err
        assert f"[{code}]" in ended.err


def test_an_unfinished_run_is_named_by_every_command(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    for name in ("system.json", "report.json"):
        (finished / name).unlink()
    (tmp_path / "s.jsonl").write_text('{"kind": "text", "text": "a b"}\n')
    for arguments, code in (
        (("probe", "-m", finished, "-s", tmp_path / "s.jsonl"), "system.missing"),
        (("ask", finished, "Hello?"), "system.missing"),
        (("trim", finished), "system.missing"),
        (("compare", finished, finished), "compare.no-report"),
    ):
        ended = command(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"trimtab: {finished}: ")
        assert f"[{code}]" in ended.err
        assert "trimtab run" in ended.err


def test_compare_shows_what_differs(command: Command, finished: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    report = json.loads((other / "report.json").read_text())
    report["seed"] = 9
    report["figures"][0] |= {"title": "attack\x1b[2J success", "change": None}
    report["figures"].append({**report["figures"][1], "figure": "new", "title": "a new one"})
    (other / "report.json").write_text(json.dumps(report))
    about = json.loads((other / "run.json").read_text())
    about["config"]["sizes"]["attacks"] += 1
    about["config"]["seed"] = 9
    (other / "run.json").write_text(json.dumps(about))
    code, out, err = command("compare", finished, other)
    assert code == 0
    assert out.startswith("seed: 0 | 9\nconfig.sizes.attacks: ")
    assert out.count("seed") == 1
    assert re.search(r"points \[.*\], now .* %, (pass|fail|inconclusive)", out)
    assert "model: " not in out
    assert "| not run\n" in out
    assert "a new one" in out
    assert out.endswith(f"verdict: {report['outcome']} | {report['outcome']}\n")
    assert "\x1b" not in command("compare", other, finished).out
    assert err.startswith("next: ")
    rows = lines(command("compare", finished, other, "--json").out)
    assert rows[0] == {"event": "differs", "key": "seed", "values": [0, 9]}
    assert {r["figure"]: r["runs"][0] for r in rows if r["event"] == "figure"}["new"] is None
    assert rows[-1]["event"] == "verdict"
    (other / "run.json").unlink()
    assert 'config: null | "not readable"\n' in command("compare", finished, other).out


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"figures": [1]}', '{"figures": [{"figure": "a"}]}']
)
def test_a_report_that_is_none_is_named(command: Command, tmp_path: Path, text: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(text)
    ended = command("compare", tmp_path / "a", tmp_path / "b")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("[compare.no-report]") == ended.err.count("\n") == 2
