"""`trimtab.toml`: what is taken, what is refused, and that `trimtab init` writes all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from trimtab.errors import ConfigError
from trimtab.governance.figures import UNITS, all_figures, check_gates
from trimtab.governance.ledger.note import PublicKey
from trimtab.governance.policy import DEFAULT_GATES
from trimtab.mechanisms.values.cases import held_out
from trimtab.run import evidence
from trimtab.run.config import (
    FILE,
    QUICK,
    QUICK_STRENGTHS,
    Endpoint,
    RunConfig,
    Sizes,
    Strengths,
    charter_of,
    read_config,
)
from trimtab.run.directory import RunDirectory, open_run
from trimtab.run.measure import test_suites as built_in_suites
from trimtab.run.measure import tune_suites
from trimtab.run.plan import plan
from trimtab.run.rerun import committed_cases

TEMPLATE = Path(__file__).parent.parent / "src/trimtab/cli/trimtab.toml"
GATE = '[[gate]]\nfigure = "broken"\nkind = "harm"\nmargin = 0.5\n'
CHARTER = 'name = "c"\nversion = "1"\n[[principle]]\nid = "a"\nstatement = "S."\nrationale = "{}"\n'


def written(folder: Path, text: str | bytes, name: str = "trimtab.toml") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def problems(folder: Path, text: str | bytes, **changes: Any) -> list[tuple[str, str]]:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path, **changes)
    return [(p.code, p.place.removeprefix(f"{path}, ")) for p in caught.value.problems]


def test_the_template_is_the_defaults() -> None:
    config = read_config(TEMPLATE)
    assert config == RunConfig()
    assert config.endpoint == Endpoint()


@pytest.mark.parametrize("table", [RunConfig, Strengths, Endpoint, Sizes])
def test_the_template_has_every_key(table: type[BaseModel]) -> None:
    keys = re.findall(r"^(?:# )?(?:\[(\w+)\]|(\w+) =)", TEMPLATE.read_text(), re.MULTILINE)
    assert set(table.model_fields) <= {a or b for a, b in keys}


def test_what_the_template_comments_out_is_accepted(tmp_path: Path) -> None:
    written(tmp_path, GATE, "gates.toml")
    written(tmp_path, CHARTER.format("R."), "charter.toml")
    written(tmp_path, f'[[role]]\nname = "safety"\nkeys = ["{PublicKey("r", bytes(32))}"]', "roles.toml")
    text = re.sub(r"^# (?=\w+ = )", "", TEMPLATE.read_text(), flags=re.MULTILINE)
    config = read_config(written(tmp_path, text))
    assert [g.figure for g in config.gates] == ["broken"]
    assert [w.owner for w in config.waivers] == ["A. Owner"]
    assert config.charter == str(tmp_path / "charter.toml")
    assert [r.name for r in config.roles] == ["safety"]
    assert config.endpoint.max_requests == 5000
    assert config.endpoint.limits.max_cost_usd == 5.0


def test_no_file_gives_the_defaults_and_the_command_line_is_on_top(tmp_path: Path) -> None:
    assert read_config(None) == RunConfig()
    config = read_config(written(tmp_path, 'seed = 1\nname = "n"'), seed=2, model=None)
    assert (config.seed, config.name, config.model) == (2, "n", "embedded")


def test_quick_is_marked(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "[sizes]\nattacks = 5"), quick=True)
    assert config.sizes == QUICK
    assert config.strengths == QUICK_STRENGTHS
    assert not config.evidential


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("sped = 1", "config.unknown-key", "sped"),
        ("[sizes]\natacks = 1", "config.unknown-key", "sizes.atacks"),
        ("[endpoint]\nprice = 1", "config.unknown-key", "endpoint.price"),
        ('seed = "0"', "config.value", "seed"),
        ("seed = true", "config.value", "seed"),
        ("seed = 1.0", "config.value", "seed"),
        ("seed = -1", "config.value", "seed"),
        ('evidential = "no"', "config.value", "evidential"),
        ('name = "a b"', "config.value", "name"),
        ("model = 3", "config.value", "model"),
        ('model = ""', "config.value", "model"),
        ("mechanisms = []", "config.value", "mechanisms"),
        ('mechanisms = ["hope"]', "config.value", "mechanisms.0"),
        ('mechanisms = ["bias", "bias"]', "config.value", "mechanisms"),
        ('mechanisms = "bias"', "config.value", "mechanisms"),
        ("sizes = 3", "config.value", "sizes"),
        ('[sizes]\nattacks = "96"', "config.value", "sizes.attacks"),
        ("[sizes]\nattacks = 0", "config.value", "sizes.attacks"),
        ("[strengths]\nbias = []", "config.value", "strengths.bias"),
        ("[strengths]\nbias = [nan]", "config.value", "strengths.bias.0"),
        ("[strengths]\nbias = [0.0]", "config.value", "strengths.bias.0"),
        ("[strengths]\nbias = [1.0, 1.0]", "config.value", "strengths.bias"),
        ("[endpoint]\nmax_cost_usd = -1", "config.value", "endpoint.max_cost_usd"),
        ("[endpoint]\nconcurrency = 0", "config.value", "endpoint.concurrency"),
        (r'charter = "a\u0000b"', "config.bad-path", "charter"),
        (r'gates = "a\u0000b"', "config.bad-path", "gates"),
        (r'roles = "a\u0000b"', "config.bad-path", "roles"),
        ("seed = ", "config.toml", ""),
        (b"name = '\xff'", "config.unreadable", ""),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, text: str | bytes, code: str, place: str) -> None:
    assert problems(tmp_path, text) == [(code, place or str(tmp_path / "trimtab.toml"))]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, 'sped = 1\nseed = "x"\n[sizes]\nattacks = 0')
    assert sorted(place for _, place in found) == ["seed", "sizes.attacks", "sped"]


def test_a_bad_option_is_named_as_the_option(tmp_path: Path) -> None:
    assert problems(tmp_path, "", seed=-1) == [("config.value", "--seed")]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file.*config\.missing"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"config\.unreadable"):
        read_config(tmp_path)
    assert problems(tmp_path, 'gates = "none.toml"') == [("policy.unreadable", str(tmp_path / "none.toml"))]


def test_caps_are_not_part_of_what_a_run_is(tmp_path: Path) -> None:
    dear, cheap = RunConfig(endpoint=Endpoint(max_requests=9)), RunConfig()
    assert dear.digest == cheap.digest
    assert open_run(tmp_path, dear).folder == open_run(tmp_path, cheap).folder


def test_another_charter_under_the_same_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, CHARTER.format("One."), "charter.toml")
    config = RunConfig(charter=str(path))
    run = open_run(tmp_path / "runs", config)
    assert run.about["charter_digest"] != open_run(tmp_path / "others", RunConfig()).about["charter_digest"]
    assert open_run(tmp_path / "runs", config).folder == run.folder
    written(tmp_path, CHARTER.format("Another."), "charter.toml")
    with pytest.raises(ConfigError, match=r"charter: differs .*run\.config-changed"):
        open_run(tmp_path / "runs", config)


def test_preferences_are_measured_on_what_the_charter_holds(tmp_path: Path) -> None:
    path = written(tmp_path, CHARTER.format("One."), "charter.toml")
    with path.open("a") as file:
        file.write('[[principle]]\nid = "respect"\nstatement = "S."\nrationale = "R."\n')
        file.write('[[principle]]\nid = "privacy"\nstatement = "S."\nrationale = "R."\nstatus = "rejected"\n')
    config = RunConfig(charter=str(path))
    for suites in (built_in_suites, tune_suites):
        _, cases = suites(config.sizes, charter_of(config))["preference_charter"]
        assert {getattr(c, "group", "") for c in cases} == {"respect"}
    out, bare = held_out(charter_of(config))
    assert (out["privacy"], "respect" in out, bare) == (50, False, ["a"])
    assert " 50 preferences" in plan(config).stages[0].work
    run = open_run(tmp_path / "runs", config)
    evidence.started(run, config, "0" * 64)
    groups = {
        getattr(c, "group", "")
        for (suite, _), c in committed_cases(run.folder).items()
        if suite == "preference_charter"
    }
    assert groups == {"respect"}


def test_a_charter_that_holds_nothing_is_refused_before_a_run_is_begun(tmp_path: Path) -> None:
    path = written(tmp_path, CHARTER.format("One.") + 'status = "rejected"\n', "charter.toml")
    with pytest.raises(ConfigError, match=r"charter\.none-held"):
        open_run(tmp_path / "runs", RunConfig(charter=str(path)))
    assert open_run(tmp_path / "runs", RunConfig(charter=str(path), mechanisms=("bias",)))


def test_a_missing_charter_is_named_before_a_run_is_begun(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"charter\.unreadable"):
        open_run(tmp_path / "runs", RunConfig(charter=str(tmp_path / "none.toml")))
    assert not list(tmp_path.iterdir())


def test_a_run_records_its_policy(tmp_path: Path) -> None:
    one, two = (RunDirectory(open_run(tmp_path / str(i), c).folder).about["policy_digest"]
                for i, c in enumerate((RunConfig(), RunConfig(gates=RunConfig().gates[1:]))))  # fmt: skip
    assert one != two


WAIVER = {"gate": "broken", "reason": "Known.", "owner": "A. Owner", "expires": "2036-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"reason": " "}, "waivers.0.reason"), ({"owner": ""}, "waivers.0.owner"), ({"expires": "soon"}, "waivers.0.expires"),
        ({"gate": "no such gate"}, ""), ({"more": "x"}, "waivers.0.more"),
    ],
)  # fmt: skip
def test_a_waiver_needs_a_gate_a_reason_an_owner_and_an_end(
    tmp_path: Path, change: dict[str, str], key: str
) -> None:
    inside = ", ".join(f'{k} = "{v}"' for k, v in {**WAIVER, **change}.items())
    ((code, place),) = problems(tmp_path, f"waivers = [{{ {inside} }}]")
    assert (code.partition(".")[0], place) == ("config", key)
    two = ", ".join("{ " + ", ".join(f'{k} = "{v}"' for k, v in WAIVER.items()) + " }" for _ in range(2))
    assert problems(tmp_path, f"waivers = [{two}]") == [("config.value", "")]


def test_gates_on_what_no_run_measures_are_refused_before_it(tmp_path: Path) -> None:
    (tmp_path / "gates.toml").write_text(
        GATE.replace('"broken"', '"speed"') + GATE.replace('"broken"', '"nll_per_token"')
    )
    (tmp_path / FILE).write_text('gates = "gates.toml"\n')
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / FILE)
    assert [p.code for p in caught.value.problems] == ["policy.figure", "policy.unit"]
    assert "speed" in str(caught.value)


def test_every_figure_can_have_a_gate() -> None:
    assert [f.name for f in all_figures([], [])] == list(UNITS)
    check_gates(DEFAULT_GATES, "gates.toml")


def test_a_report_does_not_point_to_a_key_that_is_none() -> None:
    from trimtab.run.summary import LIMITS

    assert "generator" not in RunConfig.model_fields
    assert not [text for text in LIMITS if "configuration" in text]
