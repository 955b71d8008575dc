"""Model names: what each loads, and one clear error for everything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import ConfigError, ModelError
from trimtab.models.load import is_run, load_model, load_system


class TransportError(Exception):
    """An error of whatever library the hub's client sends with."""


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The hub's download, answered by a folder laid out as its cache is; returns what was asked of it."""
    asked: dict[str, Any] = {}
    snapshot = Path(shutil.copytree(tiny_folder, tmp_path / "models--org--name" / "snapshots" / COMMIT))

    def download(repo: str, **settings: Any) -> str:
        asked.update(settings, repo=repo)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


@pytest.mark.parametrize(("name", "revision"), [("hf/org/name", None), ("hf/org/name@main", "main")])
def test_a_hub_name_is_resolved_to_a_commit_and_no_code_or_pickle_is_fetched(
    hub: dict[str, Any], name: str, revision: str | None
) -> None:
    model = load_model(name)
    assert model.name == f"hf/org/name@{COMMIT}"
    assert (hub["repo"], hub["revision"]) == ("org/name", revision)
    assert not {"*", "*.py", "*.bin", "*.pt", "*.pth"} & set(hub["allow_patterns"])


@pytest.mark.parametrize("error", [TransportError("no route"), OSError("disk"), ValueError("odd")])
def test_a_hub_that_cannot_be_reached_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelError, match=r"hf/org/name: cannot be fetched .*dir/PATH.*model\.hub"):
        load_model("hf/org/name")


@pytest.mark.parametrize("repo", ["", "a/b/c/d", "../x", "-a/b"])
def test_a_name_that_the_hub_does_not_know_the_form_of_asks_nothing(repo: str) -> None:
    with pytest.raises(ModelError, match=r"model\.hub"):
        load_model(f"hf/{repo}")


def test_a_folder_is_loaded_by_its_path_and_a_bare_system_is_it(tiny_folder: Path) -> None:
    system = load_system(f"dir/{tiny_folder}")
    assert system.name == f"dir/{tiny_folder}"
    assert system.digest == load_model(f"dir/{tiny_folder}").digest
    assert system.capabilities.trainable


@pytest.mark.parametrize("name", ["", "gpt-9", "/no/such/folder", "embedded2", "dir", "HF/org/name"])
def test_a_name_of_another_form_is_refused_with_the_forms_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=r"hf/ORG/NAME.*model\.name"):
        load_system(name)


def test_a_bare_model_has_no_parts_to_leave_out(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--without.*system\.part"):
        load_system(f"dir/{tiny_folder}", without=["guard"])


def test_an_endpoint_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match=r"Set OPENAI_BASE_URL.*endpoint\.no-url"):
        load_model("openai/some-model")


def test_a_run_is_a_folder_without_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embedded").mkdir()
    assert is_run(str(tmp_path))
    assert not is_run(f"dir/{tmp_path}")
    assert not is_run("embedded")
    assert not is_run("none")
    with pytest.raises(ModelError, match=r"there is no system\.json.*system\.missing"):
        load_system(str(tmp_path))


def test_no_module_trusts_remote_code() -> None:
    import trimtab

    for path in Path(trimtab.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("trust_remote_code=") == text.count("trust_remote_code=False"), path


@pytest.mark.parametrize(
    ("name", "code"),
    [("openai/m", "endpoint.unreachable"), ("dir/none", "model.missing"), ("x", "model.name")],
)
def test_the_command_line_says_it_in_one_line_and_exits_with_2(name: str, code: str) -> None:
    # Nothing listens on port 1 of this machine: an ordinary user cannot even open it.
    environment = os.environ | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "sk-secret-key"}
    command = [sys.executable, "-c", "from trimtab.cli import main; main()", "ask", name, "hello"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert f"[{code}]" in lines[0]
    assert "sk-secret-key" not in done.stdout + done.stderr
