"""The run directory: stages with their results, finished ones marked, so that a killed run goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785

from trimtab import __version__
from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.policy import gates_digest
from trimtab.probes.outcome import Outcome, read_outcomes
from trimtab.records.read import read_records
from trimtab.records.record import Record
from trimtab.records.write import check_writable, write_bytes, write_json, write_jsonl, write_records
from trimtab.run.config import RunConfig, charter_of, check_charter

STARTED = "run.json"
STAGES = ("before", "records", "screen", "train", "trim", "after", "reattack")


class RunDirectory:
    """`run.json`, `charter.json`, `stages/NN_name/` with `done.json`, `adapters/`, `guard/`, `report.html` and `report.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_mark(folder / STARTED, "config", "started")
        if not isinstance(self.about["config"], dict):
            raise _damaged(folder / STARTED, "config is not an object")
        if not isinstance(self.about["started"], str):
            raise _damaged(folder / STARTED, "started is not a time")

    def stage(self, name: str) -> Stage:
        """Return a stage of the run."""
        return Stage(self.folder / "stages" / f"{STAGES.index(name) + 1:02d}_{name}")

    @property
    def finished(self) -> bool:
        """Whether the run came to its report."""
        return all((self.folder / name).exists() for name in ("report.json", "report.html"))


class Stage:
    """One stage: a folder that is finished when `done.json` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started = time.monotonic()
        self._resumed = False

    @property
    def done(self) -> dict[str, Any] | None:
        """What the stage came to; None while it is unfinished."""
        path = self.folder / "done.json"
        return read_mark(path) if path.exists() else None

    def begin(self) -> None:
        """Start counting the stage's time, anew where it was begun before."""
        self._resumed = self.folder.is_dir() and any(self.folder.iterdir())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                Problem("run.not-writable", str(self.folder), str(error), "Choose another -o.")
            ) from error
        self._started = time.monotonic()

    def once(self, name: str, work: Callable[[], dict[str, Any]], made: Path) -> dict[str, Any]:
        """Return what `work`, which makes `made`, came to; done once, also when the stage is begun again."""
        path = self.folder / f"{name}.json"
        if path.exists() and made.exists():
            return read_mark(path)
        path.unlink(missing_ok=True)
        results = work()
        write_json(path, results)
        return results

    def finish(self, **results: Any) -> dict[str, Any]:
        """Mark the stage as finished, with its results and seconds: those since it was `resumed`, if it was."""
        spent = {"seconds": round(time.monotonic() - self._started, 2)}
        done = {**spent, **({"resumed": True} if self._resumed else {}), **results}
        write_json(self.folder / "done.json", done)
        return done

    def write_outcomes(self, outcomes: Sequence[Outcome], name: str = "outcomes") -> None:
        """Write outcomes as canonical JSON lines."""
        write_jsonl(self.folder / f"{name}.jsonl", (o.to_json() for o in outcomes))

    def outcomes(self, name: str = "outcomes") -> list[Outcome]:
        """Read outcomes; none where none were written."""
        path = self.folder / f"{name}.jsonl"
        return read_outcomes(path) if path.exists() else []

    def write_records(self, records: Sequence[Record], name: str) -> None:
        """Write records of one kind as Parquet; nothing for none."""
        if records:
            write_records(records, self.folder / f"{name}.parquet")

    def records(self, name: str) -> list[Record]:
        """Read records; none where none were written."""
        path = self.folder / f"{name}.parquet"
        return read_records(path).records if path.exists() else []


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from working on the run in `folder`; raises ConfigError when one does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        fix = "Wait for it, or start another run with --fresh."
        what = "another process is working on this run"
        raise ConfigError(Problem("run.in-use", str(folder), what, fix)) from error


def open_run(root: Path, config: RunConfig, *, fresh: bool = False) -> RunDirectory:
    """Return the run to go on with (`unfinished_run`) unless `fresh`, or a new one."""
    return (None if fresh else unfinished_run(root, config)) or _new(root, config)


def check_root(root: Path) -> None:
    """Raise InputError when no run can be made in `root`: before a model is loaded for it."""
    try:
        check_writable(root / STARTED)
    except InputError as error:
        why, fix = error.problems[0].message, "Choose a folder that can be written to with -o."
        raise InputError(Problem("run.not-writable", str(root), why, fix)) from error


def unfinished_run(root: Path, config: RunConfig) -> RunDirectory | None:
    """Return the newest unfinished run of this name in `root`; one that is older than a finished one was given up.

    Raises ConfigError when it was started with another configuration, naming the first field.
    """
    named = [r for r in runs(root) if r.about["config"].get("name") == config.name]
    over = max((r.about["started"] for r in named if r.finished), default="")
    unfinished = [r for r in named if not r.finished and r.about["started"] >= over]
    if not unfinished:
        return None
    run = unfinished[-1]
    # Waivers came later than the first runs: one without the key has none.
    old, new = (
        {"config": {"waivers": [], **a["config"]}, **_digests(a)} for a in (run.about, _about(config))
    )
    if field := _changed(old, new).removeprefix("config."):
        fix = "Use the old value, or start anew with --fresh."
        what = "differs from the unfinished run"
        raise ConfigError(Problem("run.config-changed", f"{run.folder}, {field}", what, fix))
    if (version := run.about.get("version")) != __version__:
        what, fix = (
            f"trimtab {version} began it, this is {__version__}",
            "Go on with that version, or start anew with --fresh.",
        )
        raise ConfigError(Problem("run.version-changed", str(run.folder), what, fix))
    return run


def runs(root: Path) -> list[RunDirectory]:
    """Return the runs in a folder, oldest first."""
    found = sorted(p for p in root.glob("*") if re.match(r"\d{8}T\d{6}Z_", p.name) and (p / STARTED).exists())
    return [RunDirectory(p) for p in found]


def _new(root: Path, config: RunConfig) -> RunDirectory:
    now = datetime.now(UTC)
    folder = root / f"{now:%Y%m%dT%H%M%SZ}_{config.name}_{secrets.token_hex(3)}"
    about = {**_about(config), "started": now.isoformat(timespec="seconds"), "version": __version__}
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        fix = "Choose a folder that can be written to with -o."
        raise InputError(Problem("run.not-writable", str(folder), str(error), fix)) from error
    # Whoever reviews the run elsewhere has its folder, and not the file that was named.
    write_bytes(folder / "charter.json", rfc8785.dumps(charter_of(config).content()))
    write_json(folder / STARTED, about)
    return RunDirectory(folder)


def _about(config: RunConfig) -> dict[str, Any]:
    """Return what decides the results of a run, with the digests of the files that its configuration names."""
    check_charter(config)
    return {
        "config": config.model_dump(mode="json"),
        "config_digest": config.digest,
        "policy_digest": gates_digest(config.gates),
        "charter_digest": charter_of(config).digest,
    }


def _digests(about: dict[str, Any]) -> dict[str, Any]:
    return {"charter": about.get("charter_digest")}


def read_mark(path: Path, *keys: str) -> dict[str, Any]:
    """Return the JSON object in a file of a run; raises InputError when it is not there or not as it was written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        fix = "Name the directory of a run, such as runs/20260131T120000Z_loop_1a2b3c."
        raise InputError(Problem("run.missing", str(path), "no such file", fix)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if not isinstance(found, dict) or (missing := [key for key in keys if key not in found]):
        raise _damaged(path, f"{missing[0]} is missing" if isinstance(found, dict) else "is not an object")
    return found


def _damaged(path: Path, what: str) -> InputError:
    return InputError(Problem("run.damaged", str(path), what, "Restore the file, or remove it to go on."))


def _changed(old: Any, new: Any, path: str = "") -> str:
    """Return the first field in which two configurations differ; empty when none does."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            if found := _changed(old.get(key), new.get(key), f"{path}.{key}".lstrip(".")):
                return found
        return ""
    return "" if old == new else path
