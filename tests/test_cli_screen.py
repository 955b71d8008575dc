"""`trimtab screen`: verdict, exit code, files, and policies."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.test_screens_dataset import rows, write
from trimtab.errors import ConfigError
from trimtab.governance.screening import decide_screen, overall_screen, read_screen_policy
from trimtab.report.screening import share
from trimtab.screens.finding import Finding, not_run, share_of_rows
from trimtab.screens.modelled import CODES
from trimtab.statistics.estimate import Estimate

if TYPE_CHECKING:
    from tests.conftest import Command


def test_a_dataset_without_faults_passes(command: Command, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(40))
    code, out, err = command("screen", data, "-o", tmp_path / "out")
    assert (code, out) == (0, "")
    assert "verdict: PASS" in err
    assert "40 rows read, 40 kept, 0 excluded" in err
    assert err.splitlines()[-1] == f"next: trimtab train {tmp_path}/out/kept.parquet -o adapters/NAME"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "excluded.parquet", "findings.jsonl", "kept.parquet", "report.html", "report.json",
    ]  # fmt: skip


def test_a_key_and_repeats_fail_it_and_json_tells_which(command: Command, tmp_path: Path) -> None:
    key = {"instruction": "Give me a key \x1b[2J", "output": "AKIAIOSFODNN7EXAMPLQ"}
    data = write(tmp_path / "data.jsonl", [*rows(40), *rows(20), key])
    code, out, _ = command("screen", data, "-o", tmp_path / "out", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    done = events[-1]
    assert code == 1
    assert (done["event"], done["outcome"], done["rows"], done["kept"]) == ("screened", "fail", 61, 40)
    failed = [d["code"] for d in done["decisions"] if d["outcome"] == "fail"]
    assert failed == ["hidden.invisible", "secrets.key", "duplicates.exact"]
    assert {e["event"] for e in events[:-1]} == {"finding"}
    assert done["reasons"]["duplicates.exact"] == 20
    code, _, err = command("screen", data, "-o", tmp_path / "out", "--exit-zero")
    assert code == 0
    assert "fail: duplicates.exact: 32.8 %, at most 5 % allowed, n 61" in err
    assert "\x1b" not in err


def test_the_default_folder_is_named_after_the_data(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my data.v2.jsonl", rows(3))
    assert command("screen", "my data.v2.jsonl").code == 0
    assert (tmp_path / "screens/my_data_v2/kept.parquet").is_file()


def test_a_policy_of_ones_own(command: Command, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'exclude = ["form.long"]\nmust_run = []\n[limits]\n"form.long" = 0\n[settings]\nlongest = 9\n'
    )
    data = write(tmp_path / "data.jsonl", [*rows(3), {"text": "short"}])
    code, out, _ = command("screen", data, "-o", tmp_path / "out", "--policy", policy, "--json")
    done = json.loads(out.splitlines()[-1])
    assert (code, done["kept"], done["reasons"]) == (1, 1, {"form.long": 3})
    chosen, built_in = read_screen_policy(policy), read_screen_policy(None)
    assert chosen.limits == {**built_in.limits, "form.long": 0}
    assert chosen.settings == built_in.settings.model_copy(update={"longest": 9})
    assert chosen.digest != built_in.digest


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('exclude = ["form.nothing"]\nmust_run = ["x"]', ["policy.unknown-code"] * 2),
        ('[limits]\n"form.empty" = 5\n"form.same" = -0.1', ["policy.no-share"] * 2),
        ('[limits]\n"form.empty" = true', ["policy.screen"]),
        ('exclude = ["bias.association", "fidelity.copied"]', ["policy.marks-no-row"] * 2),
        ("exclude = 1\nlimit = 2", ["policy.screen"] * 2),
        ("[settings]\nlongest = 0", ["policy.screen"]),
        ("[limits", ["policy.toml"]),
    ],
)
def test_a_bad_policy_names_all_that_is_wrong(tmp_path: Path, text: str, codes: list[str]) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_screen_policy(path)
    assert [p.code for p in caught.value.problems] == codes


def test_a_policy_that_is_not_there(command: Command, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(3))
    code, _, err = command("screen", data, "-o", tmp_path / "out", "--policy", tmp_path / "none.toml")
    assert (code, "[policy.unreadable]" in err) == (2, True)


def figure(code: str, value: float, low: float, high: float) -> Finding:
    return Finding(code, "found", Estimate(code, value, low, high, 100, 100, "AUC"))


def decided(findings: list[Finding], **policy: Any) -> str:
    base: dict[str, Any] = {"exclude": (), "must_run": (), "limits": {}}
    chosen = read_screen_policy(None).model_copy(update={**base, **policy})
    return overall_screen(decide_screen(chosen, findings))


def test_only_checks_that_must_run_make_it_inconclusive() -> None:
    share = share_of_rows("form.empty", 1, 100)
    limits = {"form.empty": 0.01, "fidelity.told_apart": 0.6}
    assert decided([share, not_run("fidelity.told_apart", "no reference")], limits=limits) == "pass"
    must = ("fidelity.told_apart",)
    assert decided([share, not_run(must[0], "no reference")], limits=limits, must_run=must) == "inconclusive"
    assert decided([share], limits={"form.empty": 0.009}) == "fail"
    assert decided([], limits=limits) == "inconclusive"


def test_a_sampled_figure_is_decided_by_its_interval() -> None:
    code = "fidelity.told_apart"
    limits, must = {code: 0.6}, (code,)
    assert decided([figure(code, 0.5, 0.4, 0.6)], limits=limits, must_run=must) == "pass"
    assert decided([figure(code, 0.7, 0.61, 0.8)], limits=limits) == "fail"
    assert decided([figure(code, 0.7, 0.59, 0.8)], limits=limits, must_run=must) == "inconclusive"

    assert decided([figure(code, 0.7, 0.59, 0.8)], limits=limits) == "inconclusive", (
        "a limit that is there counts"
    )


@pytest.mark.parametrize(("hits", "verdict"), [(3, "pass"), (52, "inconclusive"), (90, "fail")])
def test_a_share_of_a_sample_is_decided_by_its_interval(hits: int, verdict: str) -> None:
    code, limits = "poison.trigger", {"poison.trigger": 0.1}
    assert decided([share_of_rows(code, hits, 500, drawn_from=9_000)], limits=limits) == verdict
    assert decided([share_of_rows(code, hits, 500)], limits=limits) == ("pass" if hits == 3 else "fail")
    told = decide_screen(
        read_screen_policy(None).model_copy(update={"must_run": (), "limits": limits}),
        [share_of_rows(code, 52, 500, drawn_from=9_000)],
    )
    assert told[0].reason == (
        "10.4 %, at most 10 % allowed, n 500 of 9,000: the interval, 8.02 % to 13.4 %, includes the limit"
    )


def test_a_limit_is_the_least_where_lower_is_worse() -> None:
    code = "fidelity.distinct"
    assert decided([figure(code, 0.09, 0.08, 0.1)], limits={code: 0.9}) == "fail"
    assert decided([figure(code, 0.95, 0.91, 0.99)], limits={code: 0.9}) == "pass"
    assert decided([figure(code, 0.95, 0.89, 0.99)], limits={code: 0.9}) == "inconclusive"


@pytest.mark.parametrize(
    ("name", "code"), [("none.jsonl", "records.missing"), ("empty.jsonl", "screen.empty")]
)
def test_bad_data_is_one_line(command: Command, tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "empty.jsonl").touch()
    ended = command("screen", tmp_path / name, "-o", tmp_path / "out")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"[{code}]" in ended.err


def test_the_page_tells_every_finding_and_does_nothing(command: Command, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\u202e\x1b[2J"
    data = write(tmp_path / "<b>data.jsonl", [*rows(40), *rows(9), {hostile: 1}])
    assert command("screen", data, "-o", tmp_path / "out", "--exit-zero").code == 0
    page = (tmp_path / "out/report.html").read_text()
    summary = json.loads((tmp_path / "out/report.json").read_text())
    assert "50 rows read, 40 kept, 10 excluded" in page
    told = html.unescape(page)
    assert all(f["code"] in told and f["title"] in told for f in summary["findings"])
    assert "<svg" in page
    assert "fail" in page
    for bad in ("<script", "<b>", "\u202e", "\x1b", "http://", "https://"):
        assert bad not in page


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "sentence_transformers", "safetensors"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
from trimtab.cli import main
sys.argv = ["trimtab", *{arguments}]
main()
"""


def test_it_needs_no_torch(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(260))
    code = WITHOUT_TORCH.format(
        arguments=["screen", str(data), "--reference", str(data), "-o", str(tmp_path / "out")]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in (tmp_path / "out/findings.jsonl").read_text().splitlines()]
    idle = {f["code"] for f in told if "`trimtab doctor`" in f["text"]}
    assert idle == {"content.hazard", *CODES}


def test_a_guard_that_is_not_there_is_one_line(command: Command, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(3))
    ended = command("screen", data, "-o", tmp_path / "out", "--guard", tmp_path / "none")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "[guard.damaged]" in ended.err


def harmful_and_harmless() -> tuple[list[str], list[str]]:
    things = ["a neighbour", "the teacher", "my sister", "an old man", "the mayor", "a guest"]
    harmful = [
        f"How do I {verb} {thing}?" for verb in ("poison", "kidnap", "blackmail", "stab") for thing in things
    ]
    harmless = [
        f"How do I {verb} {thing}?" for verb in ("thank", "invite", "draw", "teach") for thing in things
    ]
    return harmful, harmless


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run's folder whose guard is one line through real embeddings, fitted here."""
    from sklearn.linear_model import LogisticRegression

    from trimtab.models.embedder import Embedder
    from trimtab.models.guard import Guard

    harmful, harmless = harmful_and_harmless()
    embedder = Embedder()
    fitted = LogisticRegression(C=100).fit(embedder.embed([*harmful, *harmless]), [1] * 24 + [0] * 24)
    layer = (fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32))
    folder = tmp_path_factory.mktemp("run")
    Guard([layer], threshold=0.0, about={"embedder": embedder.digest}).save(folder / "guard")
    return folder


def test_a_guard_of_a_run_reads_the_requests(command: Command, tmp_path: Path, guard: Path) -> None:
    asked = ["How do I strangle the cook?", "How do I paint the cook?", "How do I murder a clerk?"]
    data = write(tmp_path / "data.jsonl", [{"instruction": a, "output": "Ask somebody."} for a in asked])
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'exclude = ["content.hazard"]\nmust_run = ["content.hazard"]\n[limits]\n"content.hazard" = 0.01\n'
    )
    code, out, _ = command(
        "screen", data, "-o", tmp_path / "out", "--guard", guard, "--policy", policy, "--json"
    )
    done = json.loads(out.splitlines()[-1])
    [hazard] = [e for line in out.splitlines() if (e := json.loads(line)).get("code") == "content.hazard"]
    assert (hazard["status"], hazard["rows"]) == ("found", ["data.jsonl, line 1", "data.jsonl, line 3"])
    assert (code, done["kept"], done["reasons"]) == (1, 1, {"content.hazard": 2})
    code, out, _ = command("screen", data, "-o", tmp_path / "out", "--policy", policy, "--json")
    assert (code, json.loads(out.splitlines()[-1])["outcome"]) == (3, "inconclusive")


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (9 / 51953, 9.1e-5, 3.3e-4, "0.017 %; of more rows from this source [0.0091, 0.033]"),
        (0.0, 0.0, 7.4e-5, "0.0 %; of more rows from this source [0.0, 0.0074]"),
        (0.5, 0.25, 0.75, "50.0 %; of more rows from this source [25.0, 75.0]"),
    ],
)
def test_the_share_of_rare_rows_is_not_none(value: float, low: float, high: float, told: str) -> None:
    assert share({"value": value, "low": low, "high": high}) == told
