"""The release candidate: everything of a run that a bundle hands over, listed in `bundle.json`.

It is a function of the run alone, so that the digest which reviewers sign is the one that is released.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import rfc8785

from trimtab.charter.charter import read_charter
from trimtab.errors import InputError, Problem
from trimtab.governance.exports.documents import documents
from trimtab.governance.ledger.ledger import FOLDER, statements_in
from trimtab.governance.ledger.log import Log
from trimtab.governance.verify.files import FORMAT, MANIFEST
from trimtab.models.cache import file_digest
from trimtab.records.read import read_records
from trimtab.records.write import write_bytes, write_records

COPIED = (
    "run.json", "charter.json", "system.json", "figures.json", "adapters/**/*", "guard/**/*", "stages/*/*.json", "stages/*/*.jsonl",
    "evidence/test-split.jsonl", "evidence/screen-*.jsonl",
)  # fmt: skip
SCREENED = "stages/03_screen"


def build_candidate(run: Path, folder: Path, *, demo: bool = False) -> str:
    """Write the candidate of a finished run into an empty folder; return the SHA-256 of its `bundle.json`.

    Raises InputError where the run is not finished or was changed.
    """
    about = _about(run)
    for source in _sources(run):
        target = folder / source.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    config = about["config"]
    write_bytes(folder / "policy.json", rfc8785.dumps(config["gates"]))
    if not (folder / "charter.json").exists():  # a run of an older version names its file only
        charter = read_charter(Path(config["charter"]) if config["charter"] else None)
        write_bytes(folder / "charter.json", rfc8785.dumps(charter.content()))
    stated = _screened(run)
    for mechanism in config["mechanisms"]:
        source = run / SCREENED / f"{mechanism}.parquet"
        found = file_digest(source) if source.exists() else None
        if stated is not None and found != stated.get(source.name):
            what, fix = "is not the table that the screen stated", "Put it back as it was, or run anew."
            raise InputError(Problem("release.changed", str(source), what, fix))
        kept = read_records(source).records if source.exists() else []
        write_records(kept, folder / "records" / f"{mechanism}.jsonl")
    standalone = files("trimtab.governance.standalone")
    write_bytes(folder / "verify.py", standalone.joinpath("verify.py").read_bytes())
    write_bytes(folder / "VERIFY.md", _guide(demo).encode())
    for name, text in documents(folder, demo=demo).items():
        write_bytes(folder / name, text.encode())
    return write_bytes(folder / MANIFEST, rfc8785.dumps(_manifest(folder, run.name, demo)))


def _screened(run: Path) -> dict[str, str] | None:
    """Return name → digest of the tables that a run's screen stated; None where it stated nothing.

    They are not in the bundle, so that nobody who verifies it can compare them.
    """
    log = Log(run.parent / FOLDER)
    entries = [entry.statement for _, entry in statements_in(log)]
    found = [s for s in entries if s.kind == "screen" and s.body["run"] == run.name]
    return {Path(name).name: digest for name, digest in found[-1].subjects.items()} if found else None


def _guide(demo: bool) -> str:
    text = files("trimtab.governance.standalone").joinpath("VERIFY.md").read_text(encoding="utf-8")
    trial = (
        "**This bundle is a trial: its maker holds the keys of all reviewers, and nobody reviewed it.**\n\n"
    )
    return text.replace("\n\n", f"\n\n{trial}", 1) if demo else text


def _about(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / "run.json").read_text(encoding="utf-8"))
        missing = [name for name in ("figures.json", "system.json") if not (run / name).exists()]
    except (OSError, ValueError) as error:
        fix = "Name the directory of a finished run."
        raise InputError(Problem("release.no-run", str(run), f"is not a run ({error})", fix)) from error
    if not isinstance(found, dict) or not _is_run(found.get("config")):
        fix = "Name the directory of a finished run."
        raise InputError(Problem("release.no-run", str(run), "is not a run that trimtab wrote", fix))
    if missing:
        fix = "Let it finish: trimtab run resumes it."
        raise InputError(Problem("release.unfinished", str(run), f"there is no {', '.join(missing)}", fix))
    return found


def _is_run(config: Any) -> bool:
    """Whether this is a configuration whose mechanisms can be names of files: reviewers get runs from others."""
    good = isinstance(config, dict) and {"charter", "gates", "mechanisms"} <= config.keys()
    return good and all(re.fullmatch("[a-z]+", str(m)) for m in config["mechanisms"])


def _sources(run: Path) -> Iterator[Path]:
    for pattern in COPIED:
        for path in sorted(run.glob(pattern)):
            if path.is_symlink():
                fix = "Put the file itself there."
                raise InputError(Problem("release.link", str(path), "is a link", fix))
            if path.is_file():
                yield path


def _manifest(folder: Path, run: str, demo: bool) -> dict[str, Any]:
    listed = {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "size": path.stat().st_size}
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {"demo": demo, "files": listed, "format": FORMAT, "run": run}
