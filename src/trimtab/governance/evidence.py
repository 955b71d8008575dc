"""The evidence of one run, in its own directory or in a bundle: each file held against what the ledger states of it.

Signatures are not looked at here: that is what `trimtab verify` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.ledger.envelope import Statement, open_entry
from trimtab.governance.ledger.ledger import FOLDER
from trimtab.governance.ledger.log import Log
from trimtab.governance.verify.files import LEDGER, MANIFEST, check_links, read_manifest
from trimtab.governance.verify.log import read_log
from trimtab.governance.verify.report import Report
from trimtab.models.cache import file_digest
from trimtab.records.read import read_records
from trimtab.records.record import Record


@dataclass
class Evidence:
    """Files of a run and the whole ledger beside it; `missing` names what was asked for and is not as stated.

    Of a bundle, `listed` has the SHA-256 of its files and `bundle` that of its manifest.
    """

    folder: Path
    run: str
    ledger: Sequence[Statement]
    bundle: str = ""
    listed: Mapping[str, str] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)

    @cached_property
    def own(self) -> list[tuple[int, Statement]]:
        """Index and statement of everything that the ledger says of this run."""
        return [(i, s) for i, s in enumerate(self.ledger) if s.body.get("run") == self.run]

    @cached_property
    def stated(self) -> dict[str, tuple[int, str]]:
        """File → the last entry that states it, and its SHA-256 there."""
        return {name: (i, digest) for i, s in self.own for name, digest in s.subjects.items()}

    def of(self, kind: str) -> list[tuple[int, Statement]]:
        """Return index and statement of one kind."""
        return [(i, s) for i, s in self.own if s.kind == kind]

    def entry(self, name: str) -> int | None:
        """Return the entry that states a file; None where none does."""
        return self.stated[name][0] if name in self.stated else None

    def path(self, name: str) -> Path | None:
        """Return the path of a file that is as stated; None where it is not, which is noted, or where there is none."""
        path = self.folder / name
        known = {self.listed.get(name, ""), self.stated.get(name, (0, ""))[1]} - {""}
        if not known and not path.exists():
            return None
        if path.is_file() and known == {file_digest(path)}:
            return path
        self.note(name, "is not what the ledger states" if path.is_file() else "is gone")
        return None

    def note(self, name: str, why: str) -> None:
        """Note what is missing, once."""
        if (name, why) not in self.missing:
            self.missing.append((name, why))

    def records(self, mechanism: str) -> list[Record]:
        """Return what a mechanism's adapter learned from: the records that the screen kept."""
        name = f"records/{mechanism}.jsonl" if self.bundle else f"stages/03_screen/{mechanism}.parquet"
        path = self.path(name)
        return read_records(path).records if path and path.stat().st_size else []


def open_evidence(folder: Path) -> Evidence:
    """Return the evidence of a run's directory or a bundle.

    Raises ConfigError for a folder that is neither, InputError for a bundle that cannot be read.
    """
    if (folder / MANIFEST).is_file():
        return _of_bundle(folder)
    log = Log(folder.parent / FOLDER)
    entries = log.entries() if log.folder.is_dir() else []
    found = Evidence(folder, folder.name, [open_entry(e, f"{log.folder}, entry {i}").statement for i, e in enumerate(entries)])  # fmt: skip
    if not folder.is_dir() or not found.of("run-started"):
        fix = "Name a run's directory, its name beside --workspace, or a bundle."
        what = "is no bundle, and no run that the ledger beside it knows"
        raise ConfigError(Problem("trace.run", str(folder), what, fix))
    return found


def _of_bundle(folder: Path) -> Evidence:
    report = Report()
    manifest = read_manifest(folder, report) if check_links(folder, report) else None
    ledger = read_log(folder / LEDGER, report) if manifest else None
    if manifest is None or ledger is None or report.failures:
        fix = "See what is wrong with it: trimtab verify."
        raise InputError([Problem(f.code, f"{folder}, {f.place}", f.message, fix) for f in report.failures])
    listed = {name: file.sha256 for name, file in manifest.files.items()}
    entries = [open_entry(data, f"entry {i}").statement for i, data in enumerate(ledger[1])]
    return Evidence(folder, manifest.run, entries, file_digest(folder / MANIFEST), listed)
